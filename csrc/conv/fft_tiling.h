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

#include "base/parallel.h"
#include "base/processor.h"
#include "conv/fft_axis.h"
#include "conv/fourier.h"
#include "conv/grid.h"

/* Bytes: of one tile; of the tiles that a filter sums up at once; of sums; of all weights. */
enum { MOST_TILE = 4 << 20, MOST_TILES = 512 << 10, MOST_SUMS = 1 << 20, MOST_WEIGHTS = 64 << 20 };

/* What the axes of all grids share: a tile has `points` inputs and `outputs` outputs, and a piece `taps` taps at
 * most. */
typedef struct {
    int64_t points, outputs, pieces, taps;
    int64_t subimages, segments, tiles; /* subimages that have outputs; tiles of each */
} fft_cut;

typedef struct {
    fft_cut y, x;
    fourier f;
    int64_t grids, parts;              /* parts of a kernel: segments and pieces */
    int64_t reduction, chunk;          /* (channel, part) pairs; how many are transformed before they are summed */
    int64_t pairs, blocks, together;   /* pairs of tiles of an image; blocks of filters, and filters of each */
    int64_t area, roots, kernel_reals; /* reals of a tile; of all roots; of the transforms that a filter needs */
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

/* From a quarter of what kernel and outputs would take to 16 times the kernel, as far as there are outputs. */
static void sizes_of(const fft_axis *a, int64_t *least, int64_t *most) {
    int64_t taps = ceil_div(a->taps, a->segments),
            outputs = ceil_div(a->count, max64(1, min64(a->subimages, a->count)));
    for (*most = 1; *most < taps + outputs - 1 && *most < 16 * taps;) *most *= 2;
    for (*least = 1; *least < taps && *least < *most;) *least *= 2;
    *least = taps > 1 ? max64(8, *least / 8) : 1, *most = max64(*least, *most);
}

/* Predicted cycles, half of those of all tasks: two threads share them. Not what `once` adds, which may not change the
 * tiles. */
static double fft_cycles(const operands *o, const fft_tiling *w) {
    double vectors = (double)(w->y.points * w->x.points) / VL,
           transform = cycles_of_transform(w->y.points * w->x.points);
    double load = cycles_of_loading(w->y.points * w->x.points, w->x.subimages * w->x.segments * o->x_pixel);
    double finish =
        (double)(w->y.outputs * w->x.outputs) / VL * 2 * (o->out_pixel > 1 ? MOVING(2.3) * VL : MOVING(6.3));
    double filters = (double)o->filters, reduction = (double)w->reduction;
    double pairs = fmax(1, (double)(w->grids * o->groups * o->batch * w->pairs)), tasks = pairs * (double)w->blocks;
    double weights = (double)(w->grids * o->groups * o->filters * w->kernel_reals) * sizeof(real);
    double once = (double)w->blocks * reduction * (load + transform) + filters * (transform + finish) +
                  filters * reduction * vectors * PRODUCT_CYCLES * (w->reduction > 1 || filters > 1 ? 14 : 1.5);
    double cycles = pairs * once * ceil(tasks / 2) / tasks + STEPPING(9600);
    cycles += image_cycles(o, 1, 1);
    if (weights > (double)fc_l2_bytes() / 2)
        cycles += fc_stream_cycles(weights / (double)(w->grids * o->groups) * pairs / 2, weights);
    return cycles;
}

static double cycles_of_weights(const operands *o, const fft_tiling *w) {
    double kernels = (double)(w->grids * o->groups * o->filters * w->reduction);
    double vectors = (double)(w->y.points * w->x.points) / VL;
    return kernels * (cycles_of_transform(w->y.points * w->x.points) + vectors * MOVING(51)) / 2 + (double)w->roots * 2;
}

static void set_tiling(const operands *o, fft_tiling *w) {
    int64_t row_step = fourier_row_step(w->y.points, w->x.points);
    w->f = (fourier){.rows = w->y.points, .columns = w->x.points, .row_step = row_step};
    w->area = w->y.points * row_step;
    w->grids = o->grid_rows * o->grid_columns;
    w->parts = w->y.segments * w->y.pieces * w->x.segments * w->x.pieces;
    w->reduction = o->channels * w->parts;
    int64_t bytes = w->area * (int64_t)sizeof(real);
    w->chunk = max64(1, min64(w->reduction, MOST_TILES / bytes));
    w->pairs = ceil_div(w->y.subimages * w->y.tiles * w->x.subimages * w->x.tiles, 2);
    w->together = w->chunk < w->reduction ? max64(1, min64(o->filters, MOST_SUMS / bytes)) : o->filters;
    int64_t tasks = w->grids * o->groups * o->batch * w->pairs;
    if (tasks < 4) w->together = min64(w->together, ceil_div(o->filters, ceil_div(4, max64(1, tasks))));
    w->blocks = ceil_div(o->filters, w->together);
    w->roots =
        FC_NAME(fourier_roots)(w->x.points, 1, NULL) + round_up(FC_NAME(fourier_roots)(w->y.points, 0, NULL), VL);
    w->kernel_reals = w->reduction * 2 * w->y.points * w->x.points;
    w->cycles = fft_cycles(o, w);
}

/* Returns 0 where no tiles serve. */
static int tile_fft(const fc_conv *p, const operands *o, fft_tiling *best) {
    grid g = grid_of(p, o, 0); /* the one with the most outputs and taps */
    fft_axis y, x;
    int64_t least_y, most_y, least_x, most_x, found = 0;
    if (!fft_axis_of(&y, &g.y) || !fft_axis_of(&x, &g.x)) return 0;
    sizes_of(&y, &least_y, &most_y), sizes_of(&x, &least_x, &most_x);
    for (int64_t points_y = least_y; points_y <= most_y; points_y *= 2)
        for (int64_t points_x = max64(VL, least_x); points_x <= max64(VL * VL, most_x); points_x *= 2) {
            fft_tiling w = {0};
            if (points_y * points_x < VL * VL) continue;
            if (points_y * points_x * 2 * (int64_t)sizeof(real) > MOST_TILE) continue;
            w.y = cut_axis(&y, points_y), w.x = cut_axis(&x, points_x);
            set_tiling(o, &w);
            double bytes = (double)(w.grids * o->groups * o->filters) * (double)w.kernel_reals * sizeof(real);
            if (bytes > MOST_WEIGHTS) continue;
            if (!found || w.cycles < best->cycles) *best = w;
            found = 1;
        }
    return found != 0;
}

#endif
