/* Gradient of a convolution's weights by Winograd's algorithm with tiles of M x M outputs, M defined by the including
 * file; each such file is one kernel.
 *
 * The transpose of the forward algorithm: g = G^T [sum over tiles of (A y) * (B^T d)]. Tiles of input become V
 * [point][tile][channel] as in winograd.h, tiles of the gradient U [point][block of NR filters][tile][NR]; each point
 * has a matrix product whose reduction runs over tiles, and its sums [point][block][channel][NR] are transformed once,
 * at the end.
 *
 * Where the sums fit a core's L2, a thread does a share of the tiles by itself, some at a time; otherwise all threads
 * share V and U of many tiles, and split the points. What is summed in which order follows from the problem alone.
 * Limit: FMA throughput of the products, the transforms, and with large weights the traffic of V, U and sums. */
#ifndef FC_GRADIENT_WINOGRAD_H
#define FC_GRADIENT_WINOGRAD_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/grid.h"
#include "conv/points.h"
#include "conv/tiling.h"
#include "conv/winograd_input.h"
#include "weight_gradient/gradient.h"
#include "weight_gradient/gradient_passes.h"

enum {
    WANTED_SHARES = 16,
    LEAST_TILES = 16,        /* of a share, for its sums to be worth their transform */
    PARTIAL_BYTES = 4 << 20, /* weights of all shares but the first */
    REGION_REALS = 9 << 18,  /* sums of all points, shared by threads */
    ROUND_BYTES = 12 << 20,  /* V and U, shared by threads */
    UNPACKED_CHANNELS = 16,
    SUMS_AHEAD = 6 * VL, /* of every point, for the transform back */
};

/* ---- plan ---- */

/* How the work is cut: a region of the weights at a time, `tiles` at a time. */
typedef struct {
    tiling w;
    operands o, g; /* g: the gradient, as an image that is read */
    int64_t taps;
    int64_t channel_parts, block_parts, blocks;
    int64_t tiles, shares;
    int shared; /* do all threads work on the same tiles? */
} winograd_plan;

/* Makes the plan; returns 0 where the convolution cannot be tiled. */
static COLD int plan_of(const fc_conv *p, winograd_plan *s) {
    memset(s, 0, sizeof *s);
    s->o = FC_NAME(operands_of)(p), s->taps = p->kernel_h * p->kernel_w;
    operands *o = &s->o, *g = &s->g;
    *g = *o;
    g->channels = o->filters, g->height = o->out_height, g->width = o->out_width;
    g->x_pixel = o->out_pixel, g->x_channel = o->out_channel, g->x_image = o->out_image;
    grid whole = whole_grid(p);
    tiling *w = &s->w;
    if (whole.y.tap_step > whole.y.count || whole.x.tap_step > whole.x.count) return 0; /* mostly empty tiles */
    if (!tile_axis(&w->y, &whole.y) || !tile_axis(&w->x, &whole.x)) return 0;
    w->row_tiles = w->x.subimages * w->x.tiles, w->rows = w->y.subimages * w->y.tiles;
    w->tiles = o->batch * w->rows * w->row_tiles;
    set_tiling(w, o->channels, 0);

    int64_t size = (int64_t)sizeof(real), l2 = fc_l2_bytes(), sums = w->points * o->channels * o->filters * size;
    s->blocks = ceil_div(o->filters, NR), s->channel_parts = s->block_parts = 1;
    int64_t tile = w->points * (w->row_step + s->blocks * NR) * size;
    s->shares = min64(min64(WANTED_SHARES, w->tiles / LEAST_TILES),
                      1 + PARTIAL_BYTES / (o->groups * o->channels * o->filters * s->taps * size));
    s->shared = sums > l2 / 2 || s->shares * o->groups < 4;
    if (!s->shared) {
        s->tiles = max64(LEAST_TILES, (l2 - sums) * 3 / 4 / tile);
        s->shares = max64(1, s->shares);
        s->tiles = min64(s->tiles, ceil_div(w->tiles, s->shares));
        return 1;
    }
    s->shares = 1;
    while (w->points * ceil_div(o->channels, s->channel_parts) * ceil_div(s->blocks, s->block_parts) * NR >
           REGION_REALS) {
        if (ceil_div(o->channels, s->channel_parts) > ceil_div(s->blocks, s->block_parts) * NR)
            s->channel_parts++;
        else
            s->block_parts++;
    }
    tile = w->points * (ceil_div(o->channels, s->channel_parts) + 2 * VL + ceil_div(s->blocks, s->block_parts) * NR) *
           size;
    int64_t most = max64(LEAST_TILES, ROUND_BYTES / tile);
    s->tiles = ceil_div(w->tiles, ceil_div(w->tiles, most));
    return 1;
}

/* Some channels and blocks of filters of a group, as operands of their own. */
typedef struct {
    const winograd_plan *s;
    tiling w;
    operands o, g;
    int64_t group, channel, block, blocks;
    winograd_input input, gradient;
    const transform *transforms;
    real *v, *u;
    part_sums sums;       /* a part is what V and U hold: */
    int64_t first, tiles; /* these tiles */
} winograd_region;

static void set_region(winograd_region *r, const winograd_plan *s, const transform *transforms, int64_t group,
                       int64_t part, const real *x, const real *gradient) {
    const operands *o = &s->o;
    r->s = s, r->transforms = transforms, r->group = group;
    int64_t channel_part = part % s->channel_parts, block_part = part / s->channel_parts;
    r->channel = part_start(o->channels, s->channel_parts, channel_part);
    r->block = part_start(s->blocks, s->block_parts, block_part);
    r->blocks = part_start(s->blocks, s->block_parts, block_part + 1) - r->block;
    r->o = s->o, r->g = s->g, r->w = s->w;
    r->o.channels = part_start(o->channels, s->channel_parts, channel_part + 1) - r->channel;
    r->g.channels = min64(r->blocks * NR, o->filters - r->block * NR);
    r->g.filters = o->filters - r->block * NR;
    set_tiling(&r->w, r->o.channels, 0);
    r->input = (winograd_input){&r->w, &r->o, x + (group * o->channels + r->channel) * o->x_channel, transforms};
    r->gradient =
        (winograd_input){&r->w, &r->g, gradient + (group * o->filters + r->block * NR) * o->out_channel, transforms};
}

/* The reals from point to point of U, and of the sums: all points of a tile, or of a filter, are read at once, and may
 * not lie in the same sets of the caches. */
static int64_t u_per_point(int64_t blocks, int64_t tiles) { return (blocks * tiles * NV | 1) * VL; }
static int64_t sums_per_point(int64_t blocks, int64_t channels) { return (blocks * channels * NV | 1) * VL; }

/* The output columns of a stretch, in all subimages, are [first, first + span). */
static void gradient_span(const tiling *w, int64_t column, int64_t count, int64_t *first, int64_t *span) {
    *first = w->x.subimages > 1 ? 0 : M * column;
    *span = w->x.subimages > 1 ? w->x.subimages * M * w->x.tiles : M * count;
}

static int64_t gradient_stage(const tiling *w) {
    int64_t first, span;
    gradient_span(w, 0, min64(STRETCH, w->row_tiles), &first, &span);
    return (M + w->y.most_points) * round_up(span, VL) * VL;
}

static int64_t scratch_reals(const winograd_plan *s) {
    return max64(max64(stage_reals(&s->w), gradient_stage(&s->w)),
                 s->taps * UNPACKED_CHANNELS * NR + MOST_POINTS * MOST_TAPS * VL);
}

/* ---- the steps ---- */

/* Makes U of tiles [first, first + count), for the vectors [low, high) of filters; `at` is the place of `first` among
 * `tiles`. */
static void transform_gradients(const winograd_region *r, int64_t first, int64_t count, int64_t low, int64_t high,
                                int64_t at, real *stage) {
    const tiling *w = &r->w;
    const operands *g = &r->g;
    int64_t point_step = u_per_point(r->blocks, r->tiles);
    for (int64_t done = 0; done < count;) {
        tile_stretch stretch = stretch_at(w, first + done, min64(count - done, w->x.subimages > 1 ? count : STRETCH));
        int64_t from, span;
        gradient_span(w, stretch.column, stretch.count, &from, &span);
        int64_t row_step = round_up(span, VL) * VL;
        real *rows = stage + M * row_step;
        for (int64_t vector = low; vector < high; vector++) {
            int64_t k = vector * VL, n = min64(VL, g->channels - k), block = vector / NV;
            int64_t width = channel_block_width(g, block);
            const real *image = r->gradient.x + stretch.image * g->x_image + k * g->x_channel;
            for (int i = 0; i < M; i++) {
                int64_t y = stretch.y_subimage + w->y.subimages * (M * stretch.y_tile + i);
                if (y < w->y.count)
                    stage_row(stage + i * row_step, image + y * g->width * g->x_pixel, g, n, from, span);
                else
                    memset(stage + i * row_step, 0, (size_t)(span * VL) * sizeof(real));
            }
            for (int i = 0; i < w->y.segments; i++) {
                int ty = w->y.segment[i].points;
                gradient_functions[ty - M].rows(&r->transforms[ty], stage, row_step, span, rows);
                for (int l = 0; l < w->x.segments; l++) {
                    int tx = w->x.segment[l].points;
                    real *to = r->u + w->point[i][l] * point_step +
                               (block * r->tiles + at * (width == NR) + done * (width == NR)) * NR +
                               (at + done) * (width == VL) * VL + vector % NV * VL;
                    for (int64_t tile = 0; tile < stretch.count;) {
                        int64_t column = stretch.column + tile, subimage = column / w->x.tiles,
                                in_subimage = column % w->x.tiles;
                        int64_t tiles = min64(stretch.count - tile, w->x.tiles - in_subimage);
                        const real *pixels = rows + (subimage + w->x.subimages * M * in_subimage - from) * VL;
                        for (int q = 0; q < ty; q++)
                            gradient_functions[tx - M].columns(
                                &r->transforms[tx], pixels + q * row_step, w->x.subimages, tiles,
                                to + q * tx * point_step + tile * width, point_step, width);
                        tile += tiles;
                    }
                }
            }
        }
        done += stretch.count;
    }
}

/* Adds the products of points [low, high) to their sums. */
static void multiply_points(const winograd_region *r, int64_t low, int64_t high) {
    const step_stretch all = {0, 0, r->tiles};
    int64_t v_step = v_per_point(&r->w, r->tiles), u_step = u_per_point(r->blocks, r->tiles), channels = r->o.channels;
    int64_t step = sums_per_point(r->blocks, channels), count = ceil_div(channels, MR);
    for (int64_t point = low; point < high; point++)
        for (int64_t b = 0; b < r->blocks; b++) {
            int64_t width = channel_block_width(&r->g, b);
            gradient_tile t = {.gradient = r->u + point * u_step + b * r->tiles * NR,
                               .stretches = &all,
                               .end = &all + 1,
                               .step = r->w.row_step,
                               .first = begins_anew(&r->sums)};
            for (int64_t i = 0; i < count; i++) {
                int64_t from = part_start(channels, count, i), to = part_start(channels, count, i + 1);
                t.x = r->v + point * v_step + from;
                t.sums = r->sums.sums + point * step + b * channels * NR + from * width;
                FC_NAME(gradient_tiles)[to - from - 1][width / VL - 1](&t);
            }
        }
    settle_sums(&r->sums, low * step, (high - low) * step);
}

/* Makes the weights of block `b` of filters from the sums; `weights` is the whole array. */
static void transform_sums(const winograd_region *r, int64_t b, real *weights, real *scratch) {
    const tiling *w = &r->w;
    const operands *o = &r->s->o;
    int64_t width = channel_block_width(&r->g, b), taps = r->s->taps, kernel_w = 1;
    int64_t point_step = sums_per_point(r->blocks, r->o.channels);
    for (int l = 0; l < w->x.segments; l++) /* the kernel's width: every element belongs to one segment */
        for (int64_t t = 0; t < w->x.segment[l].taps; t++)
            kernel_w = max64(kernel_w, w->x.segment[l].kernel_first + t * w->x.kernel_step + 1);
    real *half = scratch + taps * UNPACKED_CHANNELS * NR;
    for (int64_t c0 = 0; c0 < r->o.channels; c0 += UNPACKED_CHANNELS) {
        int64_t channels = min64(UNPACKED_CHANNELS, r->o.channels - c0);
        for (int64_t c = 0; c < channels; c++)
            for (int64_t k = 0; k < width; k += VL)
                for (int i = 0; i < w->y.segments; i++)
                    for (int l = 0; l < w->x.segments; l++) {
                        const segment *sy = &w->y.segment[i], *sx = &w->x.segment[l];
                        int ty = sy->points, tx = sx->points, columns = taps_for(tx);
                        const real *from = r->sums.sums + w->point[i][l] * point_step + (b * r->o.channels) * NR +
                                           (c0 + c) * width + k;
                        for (int point = 0; point < ty * tx; point++)
                            __builtin_prefetch(from + point * point_step + SUMS_AHEAD);
                        gradient_functions[tx - M].products(&r->transforms[tx], from, point_step, ty, tx * point_step,
                                                            half, VL, columns * VL);
                        real *to = scratch + c * width + k, found[MOST_TAPS * MOST_TAPS * VL];
                        gradient_functions[ty - M].products(&r->transforms[ty], half, columns * VL, columns, VL, found,
                                                            columns * VL, VL);
                        for (int64_t tap = 0; tap < sy->taps * columns; tap++) {
                            int64_t y = sy->kernel_first + tap / columns * w->y.kernel_step;
                            int64_t x = sx->kernel_first + tap % columns * w->x.kernel_step;
                            store(to + (y * kernel_w + x) * channels * width, load(found + tap * VL));
                        }
                    }
        int64_t filter = (r->block + b) * NR;
        unpack_sums(o, scratch, taps, channels, width, min64(NR, o->filters - filter),
                    weights + r->group * o->w_group + filter * o->w_filter + (r->channel + c0) * o->w_channel);
    }
}

/* ---- a thread by itself: shares ---- */

typedef struct {
    const winograd_plan *s;
    const transform *transforms;
    const real *x, *gradient;
    real *weights, *partial;
} winograd_gradient;

static int do_shares(const void *context, int64_t begin, int64_t end) {
    const winograd_gradient *j = context;
    const winograd_plan *s = j->s;
    const operands *o = &s->o;
    int64_t v = s->w.points * v_per_point(&s->w, s->tiles), u = s->w.points * u_per_point(s->blocks, s->tiles);
    int64_t sums = s->w.points * sums_per_point(s->blocks, o->channels);
    int64_t totals = has_totals(ceil_div(ceil_div(s->w.tiles, s->shares), s->tiles)) ? sums : 0;
    real *memory = fc_workspace(FC_OWN, (size_t)(v + u + sums + 2 * totals + scratch_reals(s)) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    real *own = memory + v + u, *scratch = own + sums + 2 * totals;
    for (int64_t task = begin; task < end; task++) {
        int64_t share = task / o->groups, first = part_start(s->w.tiles, s->shares, share);
        int64_t last = part_start(s->w.tiles, s->shares, share + 1);
        winograd_region r = {.v = memory, .u = memory + v, .sums = {own, own + sums, own + sums + totals}};
        set_region(&r, s, j->transforms, task % o->groups, 0, j->x, j->gradient);
        r.sums.parts = ceil_div(last - first, s->tiles);
        for (r.first = first; r.first < last; r.first += r.tiles, r.sums.part++) {
            int status = fc_called_off();
            if (status) return status;
            r.tiles = min64(s->tiles, last - r.first);
            transform_tiles(&r.input, r.first, r.tiles, 0, ceil_div(o->channels, VL), r.v, v_per_point(&r.w, r.tiles),
                            scratch);
            transform_gradients(&r, r.first, r.tiles, 0, ceil_div(o->filters, VL), 0, scratch);
            multiply_points(&r, 0, r.w.points);
        }
        int64_t size = o->groups * o->filters * o->channels * s->taps;
        for (int64_t b = 0; b < r.blocks; b++)
            transform_sums(&r, b, share ? j->partial + (share - 1) * size : j->weights, scratch);
    }
    return 0;
}

/* ---- all threads together: they fill V and U, multiply points, and transform the sums ---- */

/* A region, and how the filling is cut. */
typedef struct {
    winograd_region r;
    real *weights;
    int64_t stretch, stretches, channel_parts, filter_parts;
} shared_region;

static int fill_shared(const void *context, int64_t begin, int64_t end) {
    const shared_region *j = context;
    const winograd_region *r = &j->r;
    real *stage = fc_workspace(FC_OWN, (size_t)scratch_reals(r->s) * sizeof(real));
    if (!stage) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t stretch = task / (j->channel_parts + j->filter_parts),
                part = task % (j->channel_parts + j->filter_parts);
        int64_t from = stretch * j->stretch, count = min64(j->stretch, r->tiles - from);
        if (part < j->channel_parts) {
            int64_t vectors = ceil_div(r->o.channels, VL);
            transform_tiles(&r->input, r->first + from, count, part_start(vectors, j->channel_parts, part),
                            part_start(vectors, j->channel_parts, part + 1), r->v + from * r->w.row_step,
                            v_per_point(&r->w, r->tiles), stage);
        } else {
            int64_t vectors = ceil_div(r->g.channels, VL);
            part -= j->channel_parts;
            transform_gradients(r, r->first + from, count, part_start(vectors, j->filter_parts, part),
                                part_start(vectors, j->filter_parts, part + 1), from, stage);
        }
    }
    return 0;
}

static int multiply_shared(const void *context, int64_t begin, int64_t end) {
    multiply_points(&((const shared_region *)context)->r, begin, end);
    return 0;
}

static int transform_shared(const void *context, int64_t begin, int64_t end) {
    const shared_region *j = context;
    real *scratch = fc_workspace(FC_OWN, (size_t)scratch_reals(j->r.s) * sizeof(real));
    if (!scratch) return FC_NO_MEMORY;
    for (int64_t b = begin; b < end; b++) transform_sums(&j->r, b, j->weights, scratch);
    return 0;
}

static int run_shared(const winograd_gradient *g, double cycles, int threads) {
    const winograd_plan *s = g->s;
    const operands *o = &s->o;
    int64_t channels = ceil_div(o->channels, s->channel_parts), blocks = ceil_div(s->blocks, s->block_parts);
    tiling widest = s->w;
    set_tiling(&widest, channels, 0);
    int64_t v = widest.points * v_per_point(&widest, s->tiles), u = widest.points * u_per_point(blocks, s->tiles);
    int64_t rounds = ceil_div(s->w.tiles, s->tiles), sums = widest.points * sums_per_point(blocks, channels);
    int64_t totals = has_totals(rounds) ? sums : 0;
    real *memory = fc_workspace(FC_SHARED, (size_t)(v + u + sums + 2 * totals) * sizeof(real)), *own = memory + v + u;
    if (!memory) return FC_NO_MEMORY;
    int status = 0;
    for (int64_t i = 0; i < o->groups * s->channel_parts * s->block_parts && !status; i++) {
        shared_region j = {.r = {.v = memory, .u = memory + v}, .weights = g->weights};
        j.r.sums = (part_sums){own, own + sums, own + sums + totals, 0, rounds};
        winograd_region *r = &j.r;
        set_region(r, s, g->transforms, i / (s->channel_parts * s->block_parts),
                   i % (s->channel_parts * s->block_parts), g->x, g->gradient);
        for (r->first = 0; r->first < s->w.tiles && !status; r->first += r->tiles, r->sums.part++) {
            r->tiles = min64(s->tiles, s->w.tiles - r->first);
            j.stretch = min64(STRETCH, s->w.row_tiles), j.stretches = ceil_div(r->tiles, j.stretch);
            int64_t parts = max64(1, ceil_div(4 * threads, j.stretches));
            j.channel_parts = min64(parts, ceil_div(r->o.channels, VL)),
            j.filter_parts = min64(parts, ceil_div(r->g.channels, VL));
            status = fc_parallel(j.stretches * (j.channel_parts + j.filter_parts), cycles, threads, fill_shared, &j);
            if (!status) status = fc_parallel(r->w.points, cycles, threads, multiply_shared, &j);
        }
        if (!status) status = fc_parallel(r->blocks, cycles, threads, transform_shared, &j);
    }
    return status;
}

/* ---- the kernel ---- */

static COLD int accepts(const fc_conv *p) {
    winograd_plan s;
    if (!plan_of(p, &s)) return 0;
    if (max64(stage_reals(&s.w), gradient_stage(&s.w)) * (int64_t)sizeof(real) > STAGE_BYTES) return 0;
    return s.w.y.most_points > M || s.w.x.most_points > M;
}

static COLD double cost(const fc_conv *p) {
    winograd_plan s;
    plan_of(p, &s);
    const tiling *w = &s.w;
    const operands *o = &s.o;
    double channel_vectors = (double)ceil_div(o->channels, VL), filter_vectors = (double)ceil_div(o->filters, VL);
    double pairs = w->y.segments * w->x.segments, points = w->points;
    double patch = w->y.segments * w->y.most_points * (M * (double)w->x.unit + w->x.most_points - M);
    double input = channel_vectors *
                   (points * PRODUCT_CYCLES * 4.7 + pairs * MOVING(1.4) + patch * (o->nhwc ? MOVING(3) : MOVING(2.6)));
    double gradient = filter_vectors * (points * PRODUCT_CYCLES * 5.6 + pairs * MOVING(1.4) +
                                        M * M * (o->nhwc ? MOVING(17) : MOVING(15)));
    double product =
        points * filter_vectors * ((double)o->channels * PRODUCT_CYCLES * fc_these_costs->points + MOVING(3.5));
    double sums = points * (double)o->channels * (double)(s.blocks * NR),
           rounds = ceil((double)w->tiles / (double)s.tiles);
    double cycles = (double)w->tiles * (product + input * (double)s.block_parts + gradient * (double)s.channel_parts);
    cycles += (double)s.shares * sums / VL * MOVING(9.3) + rounds * sums / VL * MOVING(5.3);
    if (s.shared) {
        double moved =
            (double)w->tiles * points * (double)(o->channels * s.block_parts + s.blocks * NR * s.channel_parts);
        double kept = (moved + sums) / (double)(s.channel_parts * s.block_parts); /* by a region */
        cycles += 0.65 * fc_stream_cycles(2 * (moved + rounds * sums) * sizeof(real), kept * sizeof(real));
    }
    cycles = (double)o->groups * cycles / 2 + image_cycles(o, (double)s.block_parts, (double)s.channel_parts);
    return cycles + STEPPING(21000);
}

/* An upper bound of what is measured, as a multiple of the direct sum's error: the number of points decides. */
static COLD double error(const fc_conv *p) {
    static const double of_points[MOST_POINTS + 1] = {[3] = 1, [4] = 2.2, [5] = 3, [6] = 4, [7] = 5.5, [8] = 13};
    winograd_plan s;
    plan_of(p, &s);
    int t = s.w.y.most_points > s.w.x.most_points ? s.w.y.most_points : s.w.x.most_points;
    return t > M ? of_points[t] : 1;
}

static int run(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads) {
    winograd_plan s;
    plan_of(p, &s);
    const operands *o = &s.o;
    transform transforms[MOST_POINTS + 1];
    set_transforms(transforms);
    int64_t size = o->groups * o->filters * o->channels * s.taps;
    winograd_gradient j = {.s = &s, .transforms = transforms, .x = x, .gradient = gradient, .weights = weights};
    double cycles = all_cycles(p, cost);
    int status = bias ? FC_NAME(channel_sums)(gradient, bias, o->batch, o->groups * o->filters,
                                              o->out_height * o->out_width, p->layout, threads)
                      : 0;
    if (status) return status;
    if (s.shared) return run_shared(&j, cycles, fc_worth(cycles, threads));
    if (s.shares > 1) {
        j.partial = malloc((size_t)((s.shares - 1) * size) * sizeof(real));
        if (!j.partial) return FC_NO_MEMORY;
    }
    status = fc_parallel(s.shares * o->groups, cycles, threads, do_shares, &j);
    if (!status && s.shares > 1) status = add_shares(weights, j.partial, size, s.shares, threads);
    free(j.partial);
    return status;
}

#endif
