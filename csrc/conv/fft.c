/* Convolution with large kernels by the fast Fourier transform, in overlapping tiles ("overlap-save"): of rows where
 * the kernel is one, else of pixels. Called through `kernels.def`.
 *
 * A transform takes two tiles of an image, one as real and one as imaginary part: the kernel being real, both come out
 * apart, so that nothing need be known of the symmetries of real transforms. A task is a pair of tiles and a block of
 * filters: the transformed channels serve all of these, and their products are added up before the way back. The
 * prepared weights are the roots of the transforms, and of each (grid, group, filter): [vector of points][channel and
 * part of the kernel][real, imaginary][lane]. Limit: L1 and L2 bandwidth. */
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
} fft_job;

static void axes_of(const fft_job *j, int64_t index, fft_axis *y, fft_axis *x) {
    grid g = grid_of(j->p, j->o, index);
    fft_axis_of(y, &g.y), fft_axis_of(x, &g.x);
}

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

/* Tasks are (grid, group, filter, channel, part). */
static int transform_kernels(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    real *buffer = fc_workspace(FC_OWN, (size_t)w->area * sizeof(real));
    if (!buffer) return FC_NO_MEMORY;
    real scale = 1 / (real)(w->y.points * w->x.points);
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t i = task % w->reduction, filter = task / w->reduction, all = o->groups * o->filters;
        kernel_part part = part_of(w, i % w->parts);
        fft_axis y, x;
        axes_of(j, filter / all, &y, &x);
        const real *from = j->weight + filter % all / o->filters * o->w_group + filter % o->filters * o->w_filter +
                           i / w->parts * o->w_channel;
        memset(buffer, 0, (size_t)w->area * sizeof(real));
        for (int64_t r = 0; r < w->y.taps; r++) {
            int64_t row = element_at(&y, &w->y, part.segment_y, part.piece_y, r);
            real *to = buffer + r * w->f.row_step;
            for (int64_t s = 0; s < w->x.taps && row >= 0; s++) {
                int64_t column = element_at(&x, &w->x, part.segment_x, part.piece_x, s);
                if (column < 0) break;
                to[s / VL * 2 * VL + s % VL] = scale * from[row * o->w_row + column * o->w_column];
            }
        }
        FC_NAME(fourier_transform)(THERE, &w->f, buffer, NULL);
        real *to = j->transforms + filter * w->kernel_reals + i * 2 * VL;
        for (int64_t r = 0; r < w->y.points; r++)
            for (int64_t s = 0; s < w->x.points; s += VL, to += w->reduction * 2 * VL) {
                complex_vec v = get(buffer + r * w->f.row_step + 2 * s);
                put(to, (complex_vec){v.re, -v.im}); /* the conjugate: a convolution here is a correlation */
            }
    }
    return 0;
}

/* ---- images ---- */

/* A tile: its subimages, and its first output in them; `exists` is 0 for the missing half of a last pair. */
typedef struct {
    int64_t image, sub_y, y, sub_x, x;
    int exists;
} corner;

/* Subimages next to each other follow on each other: they lie in the same lines of the cache. */
static corner corner_of(const fft_job *j, int64_t pair, int half) {
    const fft_cut *y = &j->w->y, *x = &j->w->x;
    int64_t tile = pair % j->w->pairs * 2 + half;
    corner c = {.image = pair / j->w->pairs, .sub_x = tile % x->subimages};
    tile /= x->subimages, c.x = tile % x->tiles * x->outputs;
    tile /= x->tiles, c.sub_y = tile % y->subimages, c.y = tile / y->subimages * y->outputs;
    c.exists = c.y < y->tiles * y->outputs;
    return c;
}

/* Loads one of a pair of tiles as the real or the imaginary part. */
static void load_tile(const fft_job *j, const fft_axis *ay, const fft_axis *ax, const corner *at, int64_t channel,
                      kernel_part part, real *to) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    int64_t y0 = ay->first + at->sub_y + part.segment_y + ay->unit * (at->y + part.piece_y * w->y.taps);
    int64_t x0 = ax->first + at->sub_x + part.segment_x + ax->unit * (at->x + part.piece_x * w->x.taps);
    fft_pixels pixels = {.plane = j->x + at->image * o->x_image + channel * o->x_channel,
                         .height = o->height,
                         .width = o->width,
                         .pixel = o->x_pixel,
                         .first_y = y0,
                         .first_x = x0,
                         .unit_y = ay->unit,
                         .unit_x = ax->unit,
                         .rows = at->exists ? w->y.points : 0,
                         .columns = w->x.points};
    load_points(&pixels, &w->f, to);
}

/* Finishes the outputs of one of a pair of tiles. */
static void store_tile(const fft_job *j, const fft_axis *ay, const fft_axis *ax, const corner *at, int64_t filter,
                       const real *from) {
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    vec bias = j->e->bias ? splat(((const real *)j->e->bias)[filter]) : zero();
    int64_t step = ax->out_step * ax->subimages * o->out_pixel;
    if (!at->exists) return;
    for (int64_t r = 0; r < w->y.outputs; r++, from += w->f.row_step) {
        int64_t y = at->sub_y + ay->subimages * (at->y + r), first = at->sub_x + ax->subimages * at->x;
        if (y >= ay->count || first >= ax->count) return;
        int64_t count = min64(w->x.outputs, ceil_div(ax->count - first, ax->subimages));
        int64_t start =
            at->image * o->out_image + filter * o->out_channel +
            ((ay->out_first + ay->out_step * y) * o->out_width + ax->out_first + ax->out_step * first) * o->out_pixel;
        for (int64_t s = 0; s < count; s += VL) {
            int64_t to = start + s * step, n = min64(VL, count - s);
            const real *residual = j->e->residual ? (const real *)j->e->residual + to : NULL;
            if (step == 1)
                finish(j->out + to, load(from + 2 * s), bias, residual, n, j->e);
            else
                finish_strided(j->out + to, step, load(from + 2 * s), bias, residual, n, j->e);
        }
    }
}

/* Adds the products of transformed tiles and weights to the sums of a filter, or begins them. */
static void multiply(const fft_tiling *w, const real *tiles, int64_t count, const real *weights, int begins,
                     real *sums) {
    for (int64_t r = 0; r < w->y.points; r++)
        for (int64_t s = 0; s < w->x.points; s += VL, weights += w->reduction * 2 * VL) {
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
    return (size_t)((w->chunk + (sums_kept(w) ? w->together : 1)) * w->area) * sizeof(real);
}

/* Tasks are (grid, group, block of filters, pair of tiles). */
static int work_tiles(const void *context, int64_t begin, int64_t end) {
    const fft_job *j = context;
    const fft_tiling *w = j->w;
    const operands *o = j->o;
    real *tiles = fc_workspace(FC_OWN, scratch_bytes(w));
    if (!tiles) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t pairs = o->batch * w->pairs, block = task / pairs % w->blocks, group = task / pairs / w->blocks;
        int64_t k0 = block * w->together, filters = min64(w->together, o->filters - k0);
        int64_t grid_index = group / o->groups;
        const real *weights = j->packed + (group * o->filters + k0) * w->kernel_reals;
        group %= o->groups;
        corner corners[2] = {corner_of(j, task % pairs, 0), corner_of(j, task % pairs, 1)};
        fft_axis y, x;
        axes_of(j, grid_index, &y, &x);
        for (int64_t i0 = 0; i0 < w->reduction; i0 += w->chunk) {
            int64_t chunk = min64(w->chunk, w->reduction - i0);
            int in_place = w->reduction == 1 && filters == 1, last = i0 + chunk == w->reduction, status;
            for (int64_t i = i0; i < i0 + chunk; i++) {
                if ((status = fc_called_off())) return status;
                real *tile = tiles + (i - i0) * w->area;
                for (int half = 0; half < 2; half++)
                    load_tile(j, &y, &x, &corners[half], group * o->channels + i / w->parts, part_of(w, i % w->parts),
                              tile + half * VL);
                FC_NAME(fourier_transform)(in_place ? THROUGH : THERE, &w->f, tile, weights);
            }
            for (int64_t k = 0; k < filters; k++) {
                if ((status = fc_called_off())) return status;
                real *sums = in_place ? tiles : tiles + (w->chunk + (sums_kept(w) ? k : 0)) * w->area;
                if (!in_place) multiply(w, tiles, chunk, weights + k * w->kernel_reals + i0 * 2 * VL, i0 == 0, sums);
                if (!last) continue;
                if (!in_place) FC_NAME(fourier_transform)(BACK, &w->f, sums, NULL);
                for (int half = 0; half < 2; half++)
                    store_tile(j, &y, &x, &corners[half], group * o->filters + k0 + k, sums + half * VL);
            }
        }
    }
    return 0;
}

/* ---- the kernel ---- */

static size_t weight_bytes(const fc_conv *p) {
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    return (size_t)(w.roots + w.grids * o.groups * o.filters * w.kernel_reals) * sizeof(real);
}

static int64_t weight_form(const fc_conv *p) {
    operands o = operands_of(p);
    fft_tiling w;
    return tile_fft(p, &o, &w) ? w.y.points << 32 | w.x.points : 0;
}

/* Products of frequencies, a complex multiply-add each, and transforms, by the usual count. */
static double flops(const fc_conv *p) {
    operands o = operands_of(p);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 0;
    double points = (double)(w.y.points * w.x.points), transform = 5 * points * log2(points);
    double transforms = (double)(w.blocks * w.reduction + o.filters), products = (double)(o.filters * w.reduction) * 8;
    return (double)(w.grids * o.groups * o.batch * w.pairs) * (transforms * transform + products * points);
}

static int accepts(const fc_conv *p) {
    operands o = operands_of(p);
    fft_tiling w;
    if (p->kernel_h < 5 && p->kernel_w < 5) return 0;
    return grids_cover(p, &o) && tile_fft(p, &o, &w);
}

static double cost(const fc_conv *p) {
    operands o = operands_of(p);
    fft_tiling w;
    return tile_fft(p, &o, &w) ? w.cycles + (p->once ? cycles_of_weights(&o, &w) : 0) : 0;
}

static size_t workspace_bytes(const fc_conv *p, int threads) {
    operands o = operands_of(p);
    fft_tiling w;
    (void)threads;
    return tile_fft(p, &o, &w) ? scratch_bytes(&w) : 0;
}

static void set_roots(fft_tiling *w, const real *roots) {
    w->f.row_turns = roots, w->f.column_turns = roots + FC_NAME(fourier_roots)(w->x.points, 1, NULL);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = operands_of(p);
    fft_tiling w;
    tile_fft(p, &o, &w);
    set_roots(&w, packed);
    FC_NAME(fourier_roots)(w.x.points, 1, packed);
    FC_NAME(fourier_roots)(w.y.points, 0, (real *)packed + FC_NAME(fourier_roots)(w.x.points, 1, NULL));
    fft_job j = {.p = p, .o = &o, .w = &w, .weight = weight, .transforms = (real *)packed + w.roots};
    int64_t kernels = w.grids * o.groups * o.filters * w.reduction;
    return fc_parallel(kernels, (double)(kernels * w.area) * 2, threads, transform_kernels, &j);
}

static int run(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = operands_of(p);
    fft_tiling w;
    tile_fft(p, &o, &w);
    set_roots(&w, packed);
    fft_job j = {.p = p, .o = &o, .w = &w, .x = x, .packed = (const real *)packed + w.roots, .e = e, .out = out};
    int64_t tasks = w.grids * o.groups * w.blocks * o.batch * w.pairs;
    return fc_parallel(tasks, 2 * w.cycles, threads, work_tiles, &j);
}

/* In units of roundoff, relative to the root of the mean square: a plain sum of n random terms errs by sqrt(n / 6),
 * also the sum of products; the transforms err by a quarter for each doubling, and half more. */
static double error(const fc_conv *p) {
    operands o = operands_of(p);
    grid g = grid_of(p, &o, 0);
    fft_tiling w;
    if (!tile_fft(p, &o, &w)) return 1;
    double terms = (double)(o.channels * g.y.taps * g.x.taps);
    double transforms = 0.5 + 0.25 * log2((double)(w.y.points * w.x.points));
    return 1.3 * (transforms + sqrt((double)(w.reduction - 1) / 6)) / sqrt(terms / 6);
}

const fc_conv_kernel FC_NAME(fft) = {accepts, cost,  weight_bytes, workspace_bytes, prepare,
                                     run,     error, NULL,         flops,           weight_form};
