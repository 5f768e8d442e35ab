/* How fft.c cuts a convolution into overlapping tiles of outputs ("overlap-save") and into sums of short kernels. Used
 * by fft.c.
 *
 * Strides and dilations become kernels of stride 1, as in tiling.h: with stride s, every s-th tap sees every s-th pixel
 * (segments, which are summed like channels); with dilation d, every d-th output is an image of its own (a subimage).
 * Kernels that would leave a tile few outputs are cut into pieces, which are summed as well. Every phase of a
 * transposed convolution is such a convolution; all have the same tiles.
 *
 * The tiles are those of the least predicted cost. */
#ifndef FC_FFT_TILING_H
#define FC_FFT_TILING_H

#include <math.h>

#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "conv/fft_axis.h"
#include "conv/fourier.h"
#include "conv/grid.h"

/* Bytes: of one tile; of one that threads share; of the tiles that a filter sums up at once; of sums; of all weights;
 * of neighbouring columns that are transformed, from the image or into it, while L2 holds them. */
enum {
    MOST_TILE = 4 << 20,
    MOST_SHARED = 48 << 20,
    MOST_TILES = 512 << 10,
    MOST_SUMS = 1 << 20,
    MOST_WEIGHTS = 64 << 20,
    GROUP_BYTES = 256 << 10,
};

/* Measured on Zen 4: what sharing a tile costs, which goes through L3 five times, against one of a thread. */
#define SHARING 1.5

/* What the axes of all grids share: a tile has `points` inputs and `outputs` outputs, and a piece `taps` taps at
 * most. */
typedef struct {
    int64_t points, outputs, pieces, taps;
    int64_t subimages, segments, tiles; /* subimages that have outputs; tiles of each */
} fft_cut;

typedef struct {
    fft_cut y, x;
    fourier f;       /* of half of a tile's points */
    int rows_folded; /* the halves are of rows; else of columns: where there is one row */
    const real *twists;
    int64_t group;                     /* vectors of columns that are loaded, or stored, together */
    int in_place, shared;              /* there is nothing to sum up; threads share one tile after the other */
    int64_t grids, parts;              /* parts of a kernel: segments and pieces */
    int64_t reduction, chunk;          /* (channel, part) pairs; how many are transformed before they are summed */
    int64_t tiles, blocks, together;   /* tiles of an image; blocks of filters, and filters of each */
    int64_t area, roots, kernel_reals; /* reals of a buffer; of roots and twists; of the transforms for a filter */
    double cycles;
} fft_tiling;

static fft_cut cut_axis(const fft_axis *a, int64_t points) {
    fft_cut c = {.points = points, .subimages = max64(1, min64(a->subimages, a->count)), .segments = a->segments};
    int64_t taps = ceil_div(a->taps, a->segments), outputs = ceil_div(a->count, c.subimages);
    c.pieces = taps <= points - points / 4 ? 1 : ceil_div(taps, points / 2);
    c.taps = ceil_div(taps, c.pieces);
    c.outputs = points - c.taps + 1;
    c.tiles = max64(1, ceil_div(outputs, c.outputs));
    return c;
}

/* Sizes of tiles along an axis, from the least on. */
enum { MOST_SIZES = 48 };
typedef struct {
    fft_cut cuts[MOST_SIZES];
    int count;
} fft_sizes;

/* Products of 2, 3 and 5 times `unit`, from an eighth of the kernel to 16 times the kernel, as far as there are
 * outputs; only the least of those that take as many tiles. */
static void sizes_of(const fft_axis *a, int64_t unit, fft_sizes *sizes) {
    static const int64_t eighths[] = {8, 9, 10, 12, 15};
    int64_t taps = ceil_div(a->taps, a->segments),
            outputs = ceil_div(a->count, max64(1, min64(a->subimages, a->count)));
    int64_t all = taps + outputs - 1, most = max64(unit, min64(all, 16 * taps));
    sizes->count = 0;
    for (int64_t whole = 1, points = 0; points < most; whole *= 2)
        for (int i = 0; i < 5 && points < most; i++) {
            points = whole * eighths[i] / 8 * unit;
            if (whole * eighths[i] % 8 || points < taps / 8 || sizes->count == MOST_SIZES) continue;
            fft_cut c = cut_axis(a, points), *last = sizes->cuts + sizes->count - 1;
            int no_better = sizes->count && last->pieces == c.pieces && last->tiles == c.tiles;
            /* where tiles are many, sizes in between change little */
            if (no_better || (c.tiles > 4 && i % 3)) continue;
            sizes->cuts[sizes->count++] = c;
        }
}

/* Predicted cycles, half of those of all tasks: two threads share them. Not what `once` adds, which may not change the
 * tiles. */
static double fft_cycles(const operands *o, const fft_tiling *w) {
    int64_t points = w->f.rows * w->f.columns;
    double vectors = (double)points / VL, transform = cycles_of_transform(points);
    double load = cycles_of_loading(points, w->x.subimages * w->x.segments * o->x_pixel) * fc_these_costs->load;
    double finish = (double)(w->y.outputs * w->x.outputs) / VL * (o->out_pixel > 1 ? MOVING(2.3) * VL : MOVING(6.3));
    double filters = (double)o->filters, reduction = (double)w->reduction;
    double tiles = fmax(1, (double)(w->grids * o->groups * o->batch * w->tiles)), tasks = tiles * (double)w->blocks;
    double weights = (double)(w->grids * o->groups * o->filters * w->kernel_reals) * sizeof(real);
    double once = (double)w->blocks * reduction * (load + transform) + filters * (transform + finish) +
                  filters * reduction * vectors * PRODUCT_CYCLES * (w->reduction > 1 || filters > 1 ? 14 : 1.5);
    double cycles = tiles * once * ceil(tasks / 2) / tasks + STEPPING(9600);
    if (w->shared) cycles = tasks * (once / 2 * SHARING + 3 * STEPPING(9600));
    cycles += grouped_image_cycles(o, 1, 1);
    if (weights > (double)fc_l2_bytes() / 2)
        cycles += fc_stream_cycles(weights / (double)(w->grids * o->groups) * tiles / 2, weights);
    return cycles;
}

static double cycles_of_weights(const operands *o, const fft_tiling *w) {
    double kernels = (double)(w->grids * o->groups * o->filters * w->reduction);
    double vectors = (double)(w->f.rows * w->f.columns) / VL;
    return kernels * (cycles_of_transform(w->f.rows * w->f.columns) + vectors * MOVING(51)) / 2 + (double)w->roots * 2;
}

static COLD void set_tiling(const operands *o, fft_tiling *w) {
    w->area = w->f.rows * w->f.row_step;
    w->grids = o->grid_rows * o->grid_columns;
    w->parts = w->y.segments * w->y.pieces * w->x.segments * w->x.pieces;
    w->reduction = o->channels * w->parts;
    w->in_place = w->reduction == 1 && o->filters == 1;
    w->group = max64(4, GROUP_BYTES / (w->f.rows * 2 * VECTOR_BYTES));
    int64_t bytes = w->area * (int64_t)sizeof(real);
    w->chunk = max64(1, min64(w->reduction, MOST_TILES / bytes));
    w->tiles = w->y.subimages * w->y.tiles * w->x.subimages * w->x.tiles;
    w->together = w->chunk < w->reduction ? max64(1, min64(o->filters, MOST_SUMS / bytes)) : o->filters;
    int64_t tasks = w->grids * o->groups * o->batch * w->tiles;
    if (tasks < 4) w->together = min64(w->together, ceil_div(o->filters, ceil_div(4, max64(1, tasks))));
    w->blocks = ceil_div(o->filters, w->together);
    w->roots = FC_NAME(fourier_roots)(w->f.columns, 1, NULL) +
               round_up(FC_NAME(fourier_roots)(w->f.rows, 0, NULL), VL) +
               round_up(2 * (w->rows_folded ? w->f.rows : w->f.columns), VL);
    w->kernel_reals = w->reduction * 2 * w->f.rows * w->f.columns;
    w->cycles = fft_cycles(o, w);
}

static int axes_of_grid(const fc_conv *p, const operands *o, int64_t index, fft_axis *y, fft_axis *x) {
    grid g = grid_of(p, o, index), longest = grid_of(p, o, 0);
    return fft_axis_of(y, &g.y, &longest.y) && fft_axis_of(x, &g.x, &longest.x);
}

/* Returns 0 where no tiles serve. */
static NOINLINE int tile_fft(const fc_conv *p, const operands *o, fft_tiling *best) {
    fft_axis y, x;
    int found = 0;
    if (!axes_of_grid(p, o, 0, &y, &x)) return 0; /* the one with the most taps */
    if (p->transposed)                            /* every phase is a grid; that of output 0 has the most outputs */
        y.count = ceil_div(o->out_height, p->stride_h), x.count = ceil_div(o->out_width, p->stride_w);
    for (int rows_folded = 0; rows_folded < 2; rows_folded++) {
        fft_sizes of_y, of_x;
        if (!rows_folded && y.taps > 1) continue;
        sizes_of(&y, 1 + rows_folded, &of_y), sizes_of(&x, rows_folded ? VL : 2 * VL * VL, &of_x);
        if (!rows_folded) of_y.count = 1;
        for (int i = 0; i < of_y.count; i++)
            for (int k = 0; k < of_x.count; k++) {
                fft_tiling w = {.y = of_y.cuts[i], .x = of_x.cuts[k], .rows_folded = rows_folded};
                int64_t rows = w.y.points / (1 + rows_folded), columns = w.x.points / (2 - rows_folded);
                w.f = (fourier){.rows = rows, .columns = columns, .row_step = fourier_row_step(rows, columns)};
                int64_t bytes = rows * columns * 2 * (int64_t)sizeof(real);
                if (rows % fourier_rows_together(columns) || bytes > MOST_SHARED) continue;
                w.shared = bytes > MOST_TILE;
                set_tiling(o, &w);
                if (w.shared && !w.in_place) continue;
                double weights = (double)(w.grids * o->groups * o->filters) * (double)w.kernel_reals * sizeof(real);
                if (weights > MOST_WEIGHTS || (found && w.cycles >= best->cycles)) continue;
                *best = w, found = 1;
            }
    }
    return found;
}

#endif
