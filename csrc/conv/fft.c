/* Convolution with large kernels by the fast Fourier transform, in overlapping tiles ("overlap-save"): of rows where
 * the kernel is one, else of pixels. Called through `kernels.def`.
 *
 * A transform takes one half of a tile as real and the other as imaginary part, the lower half of its rows where it has
 * several: with twists (fourier.h) that is a real transform of all of the tile, so that nothing need be known of the
 * symmetries of such. A task is a tile and a block of filters: the transformed channels serve all of these, and their
 * products are added up before the way back. The prepared weights are the roots of the transforms, the twists, and of
 * each (grid, group, filter): [vector of points][channel and part of the kernel][real, imaginary][lane]. Limit: L1 and
 * L2 bandwidth. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "conv/epilogue.h"
#include "conv/fft_tiling.h"
#include "conv/fourier.h"
#include "conv/grid.h"
#include "conv/kernel.h"

typedef struct {
    const fc_conv *p;
    const operands *o;
    const fft_tiling *w;
    const real *x, *weight, *packed;
    real *transforms, *out;
    const fc_epilogue *e;
    int64_t task; /* of those below, the one whose steps threads share; */
    real *buffer; /* what they do them in */
} fft_job;

/* Which segments and pieces a part of the kernel is. */
typedef struct {
    int64_t segment_y, piece_y, segment_x, piece_x;
} kernel_part;

static kernel_part part_of(const fft_tiling *w, int64_t index) {
    kernel_part part = {.piece_x = index % w->x.pieces};
    index /= w->x.pieces, part.segment_x = index % w->x.segments;
    index /= w->x.segments, part.piece_y = index % w->y.pieces, part.segment_y = index / w->y.pieces;
    return part;
}

/* ---- weights ---- */

/* The kernel's element of a tap of a piece; -1 where the piece has ended. */
static int64_t element_at(const fft_axis *a, const fft_cut *c, int64_t segment, int64_t piece, int64_t tap) {
    int64_t at = segment + a->segments * (piece * c->taps + tap);
    return at < a->taps ? a->kernel_first + a->kernel_step * at : -1;
}

/* The twists of a vector of points. */
INLINE
complex_vec twist_at(const fft_tiling *w, int64_t r, int64_t s) {
    if (w->rows_folded) return (complex_vec){splat(w->twists[2 * r]), splat(w->twists[2 * r + 1])};
    return get(w->twists + 2 * s);
}

static void twist_row(const fft_tiling *w, int64_t r, int64_t first, int64_t end, real *row) {
    for (int64_t s = first; s < end; s += VL) put(row + 2 * s, times(get(row + 2 * s), twist_at(w, r, s)));
}

/* Puts the taps into columns [first, end) of a buffer, and returns whether there are any. */
static int load_taps(const fft_job *j, int64_t task, int64_t first, int64_t end, real *buffer) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t i = task % w->reduction, filter = task / w->reduction, all = o->groups * o->filters, any = 0;
    kernel_part part = part_of(w, i % w->parts);
    fft_axis y, x;
    axes_of_grid(j->p, o, filter / all, &y, &x);
    const real *from = j->weight + filter % all / o->filters * o->w_group + filter % o->filters * o->w_filter +
                       i / w->parts * o->w_channel;
    real scale = 1 / (real)(w->f.rows * w->f.columns);
    for (int64_t r = 0; r < w->f.rows; r++) clear_reals(buffer + r * w->f.row_step + 2 * first, 2 * (end - first));
    for (int half = 0; half < 2; half++) {
        int64_t shift_y = half && w->rows_folded ? w->f.rows : 0, shift_x = half && !shift_y ? w->f.columns : 0;
        for (int64_t r = 0; r < min64(w->f.rows, w->y.taps - shift_y); r++) {
            int64_t row = element_at(&y, &w->y, part.segment_y, part.piece_y, r + shift_y);
            real *to = buffer + r * w->f.row_step + half * VL;
            for (int64_t s = first; s < min64(end, w->x.taps - shift_x) && row >= 0; s++) {
                int64_t column = element_at(&x, &w->x, part.segment_x, part.piece_x, s + shift_x);
                if (column < 0) break;
                to[s / VL * 2 * VL + s % VL] = scale * from[row * o->w_row + column * o->w_column], any = 1;
            }
        }
    }
    for (int64_t r = 0; any && r < min64(w->y.taps, w->f.rows); r++)
        twist_row(w, r, first, end, buffer + r * w->f.row_step);
    return (int)any;
}

static int kernel_columns(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    for (int64_t group = begin; group < end; group++) {
        int64_t first = group * j->w->group, count = min64(j->w->group, j->w->f.columns / VL - first);
        int status = fc_called_off();
        if (status) return status;
        if (load_taps(j, j->task, first * VL, (first + count) * VL, j->buffer))
            FC_NAME(fourier_columns)(THERE, &j->w->f, j->buffer, first, count);
    }
    return 0;
}

static int kernel_rows(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    int64_t together = fourier_rows_together(w->f.columns);
    for (int64_t step = begin; step < end; step++) {
        int status = fc_called_off();
        if (status) return status;
        FC_NAME(fourier_rows)(THERE, &w->f, j->buffer, step * together, together, NULL);
        real *to = j->transforms + j->task / w->reduction * w->kernel_reals + j->task % w->reduction * 2 * VL +
                   step * together * w->f.columns * 2 * w->reduction;
        for (int64_t r = step * together; r < (step + 1) * together; r++)
            for (int64_t s = 0; s < w->f.columns; s += VL, to += w->reduction * 2 * VL) {
                complex_vec v = get(j->buffer + r * w->f.row_step + 2 * s);
                put(to, (complex_vec){v.re, -v.im}); /* the conjugate: a convolution here is a correlation */
            }
    }
    return 0;
}

static int64_t groups_of(const fft_tiling *w) { return ceil_div(w->f.columns / VL, w->group); }
static int64_t row_steps_of(const fft_tiling *w) { return w->f.rows / fourier_rows_together(w->f.columns); }

/* Tasks are (grid, group, filter, channel, part). */
static int transform_kernels(const void *context, int64_t begin, int64_t end) {
    fft_job j = *(const fft_job *)context;
    j.buffer = fc_workspace(FC_OWN, (size_t)j.w->area * sizeof(real));
    if (!j.buffer) return FC_NO_MEMORY;
    for (j.task = begin; j.task < end; j.task++) {
        int status = kernel_columns(&j, 0, groups_of(j.w));
        if (!status) status = kernel_rows(&j, 0, row_steps_of(j.w));
        if (status) return status;
    }
    return 0;
}

/* ---- images ---- */

/* A tile: its image and subimages, and its first output in them. */
typedef struct {
    int64_t image, sub_y, y, sub_x, x;
} corner;

/* Subimages next to each other follow on each other: they lie in the same lines of the cache. */
static corner corner_of(const fft_job *j, int64_t tile) {
    const fft_cut *y = &j->w->y, *x = &j->w->x;
    corner c = {.image = tile / j->w->tiles};
    tile %= j->w->tiles, c.sub_x = tile % x->subimages;
    tile /= x->subimages, c.x = tile % x->tiles * x->outputs;
    tile /= x->tiles, c.sub_y = tile % y->subimages, c.y = tile / y->subimages * y->outputs;
    return c;
}

/* Loads columns [first, end) of a tile. */
static NOINLINE void load_tile(const fft_job *j, const fft_axis *ay, const fft_axis *ax, const corner *at,
                               int64_t channel, kernel_part part, int64_t first, int64_t end, real *to) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t y0 = ay->first + at->sub_y + part.segment_y + ay->unit * (at->y + part.piece_y * w->y.taps);
    int64_t x0 = ax->first + at->sub_x + part.segment_x + ax->unit * (at->x + part.piece_x * w->x.taps);
    fft_pixels halves[2] = {{.plane = j->x + at->image * o->x_image + channel * o->x_channel,
                             .height = o->height,
                             .width = o->width,
                             .pixel = o->x_pixel,
                             .first_y = y0,
                             .first_x = x0,
                             .unit_y = ay->unit,
                             .unit_x = ax->unit,
                             .rows = w->f.rows,
                             .columns = w->f.columns}};
    halves[1] = halves[0];
    if (w->rows_folded)
        halves[1].first_y += ay->unit * w->f.rows;
    else
        halves[1].first_x += ax->unit * w->f.columns;
    fft_inside inside[2] = {columns_inside(&halves[0]), columns_inside(&halves[1])};
    for (int64_t r = 0; r < w->f.rows; r++, to += w->f.row_step) {
        for (int half = 0; half < 2; half++) load_row(&halves[half], inside[half], r, first, end, to + half * VL);
        twist_row(w, r, first, end, to);
    }
}

/* Finishes a tile's outputs in columns [first, end), those of the one half and then of the other. */
static NOINLINE void store_tile(const fft_job *j, const fft_axis *ay, const fft_axis *ax, const corner *at,
                                int64_t filter, int64_t first, int64_t end, const real *from) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    const channel_lanes own = one_channel(values_from(j->e, filter), 0);
    int64_t step = ax->out_step * ax->subimages * o->out_pixel;
    int64_t first_x = at->sub_x + ax->subimages * at->x, count_x = ceil_div(ax->count - first_x, ax->subimages);
    count_x = min64(w->x.outputs, count_x);
    for (int half = 0; half < 2; half++) {
        int64_t shift_y = half && w->rows_folded ? w->f.rows : 0, shift_x = half && !shift_y ? w->f.columns : 0;
        int64_t count = min64(end, count_x - shift_x);
        for (int64_t r = 0; r < min64(w->f.rows, w->y.outputs - shift_y); r++) {
            int64_t y = at->sub_y + ay->subimages * (at->y + shift_y + r);
            if (y >= ay->count) break;
            int64_t start = at->image * o->out_image + filter * o->out_channel +
                            ((ay->out_first + ay->out_step * y) * o->out_width + ax->out_first +
                             ax->out_step * (first_x + ax->subimages * shift_x)) *
                                o->out_pixel;
            for (int64_t s = first; s < count; s += VL) {
                int64_t to = start + s * step, n = min64(VL, count - s);
                const real *residual = j->e->residual ? (const real *)j->e->residual + to : NULL;
                complex_vec v = get(from + r * w->f.row_step + 2 * s), back = twist_at(w, r, s);
                vec sums = half ? v.im * back.re - v.re * back.im : v.re * back.re + v.im * back.im;
                if (step == 1)
                    finish(j->out + to, sums, own, residual, n, j->e);
                else
                    finish_strided(j->out + to, step, sums, own, residual, n, j->e);
            }
        }
    }
}

/* Adds the products of transformed tiles and weights to the sums of a filter, or begins them. */
static void multiply(const fft_tiling *w, const real *tiles, int64_t count, const real *weights, int begins,
                     real *sums) {
    for (int64_t r = 0; r < w->f.rows; r++)
        for (int64_t s = 0; s < w->f.columns; s += VL, weights += w->reduction * 2 * VL) {
            int64_t at = r * w->f.row_step + 2 * s;
            complex_vec a = {zero(), zero()}, b = a;
            if (!begins) a = get(sums + at);
            const real *tile = tiles + at;
            for (int64_t i = 0; i < count; i++, tile += w->area) {
                complex_vec x = get(tile), h = get(weights + 2 * i * VL);
                a.re += x.re * h.re, a.im += x.im * h.re;
                b.re -= x.im * h.im, b.im += x.re * h.im;
            }
            put(sums + at, plus(a, b));
        }
}

static int sums_kept(const fft_tiling *w) { return w->chunk < w->reduction; }

static size_t scratch_bytes(const fft_tiling *w) {
    if (w->in_place) return (size_t)w->area * sizeof(real);
    return (size_t)((w->chunk + (sums_kept(w) ? w->together : 1)) * w->area) * sizeof(real);
}

/* Which tile, group and filters a task is of: (grid, group, block of filters, tile). */
typedef struct {
    int64_t group, k0, filters;
    const real *weights;
    corner at;
    fft_axis y, x;
} fft_task;

static fft_task task_of(const fft_job *j, int64_t task) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t all = o->batch * w->tiles, block = task / all % w->blocks, group = task / all / w->blocks;
    fft_task t = {.group = group % o->groups, .k0 = block * w->together, .at = corner_of(j, task % all)};
    t.filters = min64(w->together, o->filters - t.k0);
    t.weights = j->packed + (group * o->filters + t.k0) * w->kernel_reals;
    axes_of_grid(j->p, o, group / o->groups, &t.y, &t.x);
    return t;
}

/* Columns of a tile of channel and part `i` on their way there. */
static int tile_there(const fft_job *j, const fft_task *t, int64_t i, int64_t begin, int64_t end, real *tile) {
    const fft_tiling *w = j->w;
    for (int64_t group = begin; group < end; group++) {
        int64_t first = group * w->group, count = min64(w->group, w->f.columns / VL - first);
        int status = fc_called_off();
        if (status) return status;
        load_tile(j, &t->y, &t->x, &t->at, t->group * j->o->channels + i / w->parts, part_of(w, i % w->parts),
                  first * VL, (first + count) * VL, tile);
        FC_NAME(fourier_columns)(THERE, &w->f, tile, first, count);
    }
    return 0;
}

/* Columns of the sums of the task's k-th filter on their way back, and into the output. */
static int tile_back(const fft_job *j, const fft_task *t, int64_t k, int64_t begin, int64_t end, real *sums) {
    const fft_tiling *w = j->w;
    for (int64_t group = begin; group < end; group++) {
        int64_t first = group * w->group, count = min64(w->group, w->f.columns / VL - first);
        int status = fc_called_off();
        if (status) return status;
        FC_NAME(fourier_columns)(BACK, &w->f, sums, first, count);
        store_tile(j, &t->y, &t->x, &t->at, t->group * j->o->filters + t->k0 + k, first * VL, (first + count) * VL,
                   sums);
    }
    return 0;
}

/* Rows on their way: THROUGH, where no other channel adds to their products. */
static int tile_rows(const fft_job *j, direction d, const real *weights, int64_t begin, int64_t end, real *tile) {
    int64_t together = fourier_rows_together(j->w->f.columns);
    for (int64_t step = begin; step < end; step++) {
        int status = fc_called_off();
        if (status) return status;
        FC_NAME(fourier_rows)(d, &j->w->f, tile, step * together, together, weights);
    }
    return 0;
}

static int work_tiles(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    int64_t groups = groups_of(w), row_steps = row_steps_of(w);
    real *tiles = fc_workspace(FC_OWN, scratch_bytes(w));
    if (!tiles) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        fft_task t = task_of(j, task);
        int status;
        for (int64_t i0 = 0; i0 < w->reduction; i0 += w->chunk) {
            int64_t chunk = min64(w->chunk, w->reduction - i0);
            int last = i0 + chunk == w->reduction;
            for (int64_t i = i0; i < i0 + chunk; i++) {
                real *tile = tiles + (i - i0) * w->area;
                if ((status = tile_there(j, &t, i, 0, groups, tile))) return status;
                status = tile_rows(j, w->in_place ? THROUGH : THERE, t.weights, 0, row_steps, tile);
                if (status) return status;
            }
            for (int64_t k = 0; k < t.filters; k++) {
                real *sums = w->in_place ? tiles : tiles + (w->chunk + (sums_kept(w) ? k : 0)) * w->area;
                if (!w->in_place)
                    multiply(w, tiles, chunk, t.weights + k * w->kernel_reals + i0 * 2 * VL, i0 == 0, sums);
                if (!last) continue;
                if (!w->in_place && (status = tile_rows(j, BACK, NULL, 0, row_steps, sums))) return status;
                if ((status = tile_back(j, &t, k, 0, groups, sums))) return status;
            }
        }
    }
    return 0;
}

/* The steps of a tile that threads share. */
static int shared_there(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    fft_task t = task_of(j, j->task);
    return tile_there(j, &t, 0, begin, end, j->buffer);
}

static int shared_rows(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    fft_task t = task_of(j, j->task);
    return tile_rows(j, THROUGH, t.weights, begin, end, j->buffer);
}

static int shared_back(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    fft_task t = task_of(j, j->task);
    return tile_back(j, &t, 0, begin, end, j->buffer);
}

/* ---- the kernel ---- */

static COLD size_t weight_bytes(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    return (size_t)(w.roots + w.grids * o.groups * o.filters * w.kernel_reals) * sizeof(real);
}

static int64_t weight_form(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    return tile_fft(p, &o, &w) ? w.y.points << 32 | w.x.points : 0;
}

/* Products of frequencies, a complex multiply-add each, and transforms, by the usual count. */
static COLD double flops(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    double points = (double)(w.f.rows * w.f.columns), transform = 5 * points * log2(points);
    double transforms = (double)(w.blocks * w.reduction + o.filters), products = (double)(o.filters * w.reduction) * 8;
    return (double)(w.grids * o.groups * o.batch * w.tiles) * (transforms * transform + products * points);
}

static COLD int accepts(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    if (p->kernel_h < 5 && p->kernel_w < 5) return 0;
    return grids_cover(p, &o) && tile_fft(p, &o, &w);
}

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    return tile_fft(p, &o, &w) ? w.cycles + (p->once ? cycles_of_weights(&o, &w) : 0) : 0;
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    return w.shared ? ceil_div((int64_t)scratch_bytes(&w), max64(1, threads)) : scratch_bytes(&w);
}

static void set_roots(fft_tiling *w, const real *roots) {
    w->f.row_turns = roots, w->f.column_turns = roots + FC_NAME(fourier_roots)(w->f.columns, 1, NULL);
    w->twists = w->f.column_turns + round_up(FC_NAME(fourier_roots)(w->f.rows, 0, NULL), VL);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    tile_fft(p, &o, &w);
    set_roots(&w, packed);
    FC_NAME(fourier_roots)(w.f.columns, 1, packed);
    FC_NAME(fourier_roots)(w.f.rows, 0, (real *)packed + (w.f.column_turns - w.f.row_turns));
    FC_NAME(fourier_twists)(w.rows_folded ? w.f.rows : w.f.columns, !w.rows_folded,
                            (real *)packed + (w.twists - w.f.row_turns));
    fft_job j = {.p = p, .o = &o, .w = &w, .weight = weight, .transforms = (real *)packed + w.roots};
    int64_t kernels = w.grids * o.groups * o.filters * w.reduction;
    double cycles = (double)(kernels * w.area) * 2;
    if (kernels > 1) return fc_parallel(kernels, cycles, threads, transform_kernels, &j);
    j.buffer = fc_workspace(FC_SHARED, (size_t)w.area * sizeof(real));
    if (!j.buffer) return FC_NO_MEMORY;
    int status = fc_parallel(groups_of(&w), cycles / 2, threads, kernel_columns, &j);
    return status ? status : fc_parallel(row_steps_of(&w), cycles / 2, threads, kernel_rows, &j);
}

static int run(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = FC_NAME(operands_of)(p);
    fft_tiling w;
    tile_fft(p, &o, &w);
    set_roots(&w, packed);
    fft_job j = {.p = p, .o = &o, .w = &w, .x = x, .packed = (const real *)packed + w.roots, .e = e, .out = out};
    int64_t tasks = w.grids * o.groups * w.blocks * o.batch * w.tiles;
    if (!w.shared) return fc_parallel(tasks, 2 * w.cycles, threads, work_tiles, &j);
    double cycles = 2 * w.cycles / (double)tasks / 3;
    int status = 0;
    j.buffer = fc_workspace(FC_SHARED, scratch_bytes(&w));
    if (!j.buffer) return FC_NO_MEMORY;
    for (j.task = 0; j.task < tasks && !status; j.task++) {
        status = fc_parallel(groups_of(&w), cycles, threads, shared_there, &j);
        if (!status) status = fc_parallel(row_steps_of(&w), cycles, threads, shared_rows, &j);
        if (!status) status = fc_parallel(groups_of(&w), cycles, threads, shared_back, &j);
    }
    return status;
}

/* In units of roundoff, relative to the root of the mean square: a plain sum of n random terms errs by sqrt(n / 6),
 * also the sum of products; the transforms err by a quarter for each doubling, and half more. */
static COLD double error(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g = grid_of(p, &o, 0);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 1;
    double terms = (double)(o.channels * g.y.taps * g.x.taps);
    double transforms = 0.5 + 0.25 * log2((double)(w.y.points * w.x.points)); /* the twists are like another stage */
    return 1.3 * (transforms + sqrt((double)(w.reduction - 1) / 6)) / sqrt(terms / 6);
}

const fc_conv_kernel FC_NAME(fft) = {
    .accepts = accepts,
    .cost = cost,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run,
    .error = error,
    .flops = flops,
    .weight_form = weight_form,
};
