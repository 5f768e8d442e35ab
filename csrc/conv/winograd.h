/* Winograd convolution with tiles of M x M outputs, M defined by the including file; each such file is one kernel.
 *
 * Input of VL channels is transposed to [row][column][VL] (a copy in NHWC), transformed along y and x in lanes of
 * channels, and stored as V [point][tile][channel]. Each point has a matrix product with the transformed weights [block
 * of NR filters][point][channel][NR] in the register tile of channel_tile.h, rows being tiles. Its sums
 * [point][tile][NR] are transformed back in lanes of filters, transposed, and finished. A thread does one block of
 * tiles at a time, so that V and the sums stay in its L2; where the weights are large and the tiles few, all threads
 * share the V of many tiles and split the filters instead. Limit: FMA throughput of the products, and the
 * transforms. */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

#include <math.h>

#include "base/kernel_costs.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/points.h"
#include "conv/tiling.h"
#include "conv/winograd_input.h"
#include "conv/winograd_passes.h"
#include "conv/winograd_split.h"
#include "conv/winograd_weights.h"

enum { MOST_GRIDS = 256 }; /* each is a pass of its own */

typedef struct {
    const tiling *w;
    const operands *o;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out, *shared;
    const weights_job *once;            /* where the weights come from that are used once */
    int64_t group, first, tiles, block; /* tiles [first, first + tiles), `block` of them at a time */
    int64_t channel_parts;
    int64_t shares; /* of the blocks of tiles, which are the tasks */
    int own;        /* does each transform the weights for itself? */
    transform transforms[MOST_POINTS + 1];
} winograd_job;

static winograd_input input_of(const winograd_job *j) {
    return (winograd_input){j->w, j->o, j->x + j->group * j->o->channels * j->o->x_channel, j->transforms};
}

/* ---- output ---- */

/* Finishes the rows [M][columns][VL] of VL filters at most: `count` of the tile row's pixels, from output (y, x) on. */
static void finish_rows(const winograd_job *j, const tile_stretch *r, int64_t column, int64_t tiles, int64_t filter,
                        int64_t n, const real *rows, int64_t row_step) {
    const tiling *w = j->w;
    const operands *o = j->o;
    const fc_epilogue *e = j->e;
    int64_t subimage = column / w->x.tiles, x0 = subimage + w->x.subimages * M * (column % w->x.tiles);
    int64_t count = min64(tiles * M, ceil_div(w->x.count - x0, w->x.subimages));
    int64_t step = w->x.subimages * w->x.out_step, channel = j->group * o->filters + filter;
    const channel_values values = values_from(e, channel);
    const channel_lanes channels = neighbours(values, 0, n);
    for (int i = 0; i < M; i++, rows += row_step) {
        int64_t y = r->y_subimage + w->y.subimages * (M * r->y_tile + i);
        if (y >= w->y.count) return;
        int64_t pixel = (y * w->y.out_step + w->y.out_first) * o->out_width + x0 * w->x.out_step + w->x.out_first;
        int64_t at = r->image * o->out_image + channel * o->out_channel + pixel * o->out_pixel;
        real *out = j->out + at;
        const real *residual = e->residual ? (const real *)e->residual + at : NULL;
        if (o->nhwc) {
            for (int64_t m = 0; m < count; m++) {
                int64_t to = m * step * o->out_pixel;
                finish(out + to, load(rows + m * VL), channels, residual ? residual + to : NULL, n, e);
            }
            continue;
        }
        for (int64_t m = 0; m < count; m += VL) {
            vec lanes[VL];
#pragma GCC unroll 16
            for (int l = 0; l < VL; l++) lanes[l] = load(rows + (m + l) * VL);
            transpose(lanes);
            int64_t pixels = min64(VL, count - m);
            for (int64_t l = 0; l < n; l++) {
                int64_t to = l * o->out_channel + m * step;
                const real *res = residual ? residual + to : NULL;
                const channel_lanes own = one_channel(values, l);
                if (step == 1)
                    finish(out + to, lanes[l], own, res, pixels, e);
                else
                    finish_strided(out + to, step, lanes[l], own, res, pixels, e);
            }
        }
    }
}

/* Transforms the sums [point][tile][NR] of block `block` of filters back, to the output. */
static void inverse_tiles(const winograd_job *j, int64_t first, int64_t count, int64_t block, const real *sums,
                          int64_t point_step, real *scratch) {
    const tiling *w = j->w;
    int64_t row_step = (STRETCH * M + VL) * VL;
    real *columns = scratch, *rows = scratch + MOST_POINTS * M * VL;
    int64_t filters = min64(NR, j->o->filters - block * NR);
    for (int64_t done = 0; done < count;) {
        tile_stretch r = stretch_at(w, first + done, min64(count - done, STRETCH));
        r.count = min64(r.count, w->x.tiles - r.column % w->x.tiles); /* one subimage */
        for (int64_t k = 0; k < filters; k += VL) {
            for (int64_t tile = 0; tile < r.count; tile++)
                for (int i = 0; i < (w->merged ? 1 : w->y.segments); i++)
                    for (int l = 0; l < (w->merged ? 1 : w->x.segments); l++) {
                        int ty = w->y.segment[i].points, tx = w->x.segment[l].points;
                        const real *from = sums + w->point[i][l] * point_step + (done + tile) * NR + k;
                        output_functions[tx - M].columns(&j->transforms[tx], from, point_step, ty, columns);
                        output_functions[ty - M].rows(&j->transforms[ty], columns, rows + tile * M * VL, row_step,
                                                      i + l > 0);
                    }
            finish_rows(j, &r, r.column, r.count, block * NR + k, min64(VL, filters - k), rows, row_step);
        }
        done += r.count;
    }
}

/* ---- products ---- */

/* At all points, the products of so many tiles and channels with weights of `width` filters, points of which lie
 * weight_step apart; sums of the channels before are gone on with. */
static NOINLINE void multiply_points(const tiling *w, int64_t tiles, int64_t channels, int64_t width,
                                     const real *weights, int64_t weight_step, const real *v, int64_t v_step,
                                     real *sums, int goes_on) {
    static const int64_t nowhere[1] = {0};
    int64_t parts = ceil_div(tiles, MR), sum_step = sums_per_point(tiles);
    for (int point = 0; point < w->points; point++, v += v_step, weights += weight_step, sums += sum_step) {
        channel_tile t = {.weights = weights,
                          .tap_offset = nowhere,
                          .rows = 1,
                          .columns = 1,
                          .row_offsets = 1,
                          .channels = channels,
                          .pixel_step = w->row_step,
                          .sums_step = NR,
                          .goes_on = goes_on};
        for (int64_t part = 0; part < parts; part++) {
            int64_t from = tiles * part / parts, to = tiles * (part + 1) / parts;
            t.pixels = v + from * w->row_step, t.sums = sums + from * NR;
            FC_NAME(channel_tiles)[to - from - 1][0][width / VL - 1](&t);
        }
    }
}

/* Does the outputs of tiles [first, first + count) and a block of filters; V begins with that of tile `first`. */
static void multiply_tiles(const winograd_job *j, int64_t first, int64_t count, int64_t block, const real *v,
                           int64_t v_step, real *sums, real *scratch) {
    const tiling *w = j->w;
    int64_t width = channel_block_width(j->o, block);
    const real *weights = j->weights + j->group * group_weights(w, j->o) + block * block_weights(w);
    multiply_points(w, count, w->reduction, width, weights, weights_per_point(w, width), v, v_step, sums, 0);
    inverse_tiles(j, first, count, block, sums, sums_per_point(count), scratch);
}

/* Does shares [begin, end) of the blocks of tiles, a thread by itself. */
static int do_blocks(const void *context, int64_t begin, int64_t end) {
    winograd_job own = *(const winograd_job *)context, *j = &own;
    const tiling *w = j->w;
    int64_t v_step = v_per_point(w, j->block), v_reals = w->points * v_step,
            sum_reals = w->points * sums_per_point(j->block);
    int64_t reals = v_reals + sum_reals + scratch_reals(w), weights = j->own ? group_weights(w, j->o) : 0;
    size_t elements = j->own ? (size_t)elements_bytes(j->o->elements, j->o->channels) : 0;
    real *v = fc_workspace(FC_OWN, (size_t)(reals + weights) * sizeof(real) + elements);
    if (!v) return FC_NO_MEMORY;
    real *sums = v + v_reals, *scratch = sums + sum_reals;
    if (j->own) {
        int64_t step = weights_per_point(w, channel_block_width(j->o, 0));
        transform_block(j->once, 0, 0, 0, j->o->channels, (char *)(v + reals + weights), v + reals, step);
        j->weights = v + reals;
    }
    winograd_input in = input_of(j);
    int64_t blocks = ceil_div(w->tiles, j->block), last = blocks * end / j->shares;
    for (int64_t i = blocks * begin / j->shares; i < last; i++) {
        int64_t first = i * j->block, count = min64(j->block, w->tiles - first);
        transform_tiles(&in, first, count, 0, ceil_div(j->o->channels, VL), v, v_step, scratch);
        for (int64_t block = 0; block < ceil_div(j->o->filters, NR); block++) {
            int status = fc_called_off(); /* a block may be the first to touch hundreds of megabytes */
            if (status) return status;
            multiply_tiles(j, first, count, block, v, v_step, sums, scratch);
        }
    }
    return 0;
}

/* All threads share V: first they fill it, a part of the channels of a stretch of tiles each, ... */
static int fill_shared(const void *context, int64_t begin, int64_t end) {
    const winograd_job *j = context;
    real *stage = fc_workspace(FC_OWN, (size_t)scratch_reals(j->w) * sizeof(real));
    if (!stage) return FC_NO_MEMORY;
    int64_t vectors = ceil_div(j->o->channels, VL);
    winograd_input in = input_of(j);
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % j->channel_parts, from = task / j->channel_parts * j->block;
        int64_t count = min64(j->block, j->tiles - from);
        transform_tiles(&in, j->first + from, count, vectors * part / j->channel_parts,
                        vectors * (part + 1) / j->channel_parts, j->shared + from * j->w->row_step,
                        v_per_point(j->w, j->tiles), stage);
    }
    return 0;
}

/* ... then they multiply, a block of filters each, ... */
static int multiply_shared(const void *context, int64_t begin, int64_t end) {
    const winograd_job *j = context;
    int64_t sum_reals = j->w->points * sums_per_point(j->tiles);
    real *sums = fc_workspace(FC_OWN, (size_t)(sum_reals + scratch_reals(j->w)) * sizeof(real));
    if (!sums) return FC_NO_MEMORY;
    for (int64_t block = begin; block < end; block++) {
        int status = fc_called_off();
        if (status) return status;
        multiply_tiles(j, j->first, j->tiles, block, j->shared, v_per_point(j->w, j->tiles), sums, sums + sum_reals);
    }
    return 0;
}

/* ... whose weights, where they are used for nothing else, are transformed just before: into L2, a part of the channels
 * at a time, not into memory and back. */
static int multiply_once(const void *context, int64_t begin, int64_t end) {
    const winograd_job *j = context;
    const tiling *w = j->w;
    int64_t most = channels_at_once(w, j->o), sum_reals = w->points * sums_per_point(j->tiles);
    int64_t reals = sum_reals + scratch_reals(w) + once_reals(w, j->o), v_step = v_per_point(w, j->tiles);
    real *sums = fc_workspace(FC_OWN, (size_t)reals * sizeof(real) + (size_t)elements_bytes(j->o->elements, most));
    if (!sums) return FC_NO_MEMORY;
    real *scratch = sums + sum_reals, *weights = scratch + scratch_reals(w);
    for (int64_t block = begin; block < end; block++) {
        int64_t width = channel_block_width(j->o, block);
        for (int64_t c = 0, n; c < j->o->channels; c += n) {
            int status = fc_called_off();
            if (status) return status;
            n = min64(most, j->o->channels - c);
            int64_t step = n * width + VL;
            transform_block(j->once, j->group, block, c, n, (char *)(sums + reals), weights, step);
            multiply_points(w, j->tiles, n, width, weights, step, j->shared + c, v_step, sums, c > 0);
        }
        inverse_tiles(j, j->first, j->tiles, block, sums, sums_per_point(j->tiles), scratch);
    }
    return 0;
}

static int run_grid(winograd_job *j, split s, double cycles, int threads) {
    const tiling *w = j->w;
    const operands *o = j->o;
    j->own = s.own;
    set_transforms(j->transforms);
    int status = 0;
    for (j->group = 0; j->group < o->groups && !status; j->group++) {
        if (!s.shared) {
            j->block = s.tiles;
            j->shares = s.own ? min64(threads, ceil_div(w->tiles, s.tiles)) : ceil_div(w->tiles, s.tiles);
            status = fc_parallel(j->shares, cycles, threads, do_blocks, j);
            continue;
        }
        j->shared = fc_workspace(FC_SHARED, (size_t)(w->points * v_per_point(w, s.tiles)) * sizeof(real));
        if (!j->shared) return FC_NO_MEMORY;
        for (j->first = 0; j->first < w->tiles && !status; j->first += s.tiles) {
            j->tiles = min64(s.tiles, w->tiles - j->first);
            j->block = min64(STRETCH, w->row_tiles);
            int64_t stretches = ceil_div(j->tiles, j->block);
            j->channel_parts = max64(1, min64(ceil_div(o->channels, VL), ceil_div(4 * threads, stretches)));
            status = fc_parallel(stretches * j->channel_parts, cycles, threads, fill_shared, j);
            if (status) break;
            status =
                fc_parallel(ceil_div(o->filters, NR), cycles, threads, s.once ? multiply_once : multiply_shared, j);
        }
    }
    return status;
}

/* ---- the kernel ---- */

/* Calls for each grid; weights are laid out grid after grid, whether an image has pixels of it or not. Where it has
 * none, or the batch is empty, there are no tiles. */
#define FOR_GRIDS(p, o, g, w)                                                                                          \
    for (int64_t index = 0; index < (o).grid_rows * (o).grid_columns; index++)                                         \
        if (((g) = grid_of(p, &(o), index)), tile_grid(&(w), &(g), &(o)))

static COLD int accepts(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    int64_t grids = o.grid_rows * o.grid_columns, tiled = 0;
    int gain = 0;
    if (!grids_cover(p, &o) || grids > MOST_GRIDS) return 0;
    FOR_GRIDS(p, o, g, w) {
        if (w.tiles && stage_reals(&w) * (int64_t)sizeof(real) > STAGE_BYTES) return 0;
        tiled++, gain |= w.y.most_points > M || w.x.most_points > M;
    }
    return gain && tiled == grids;
}

/* The cycles that a tile takes from the image to the stage, and from its sums to the output. NCHW rows, which are
 * transposed, count as whole vectors; outputs that are not neighbours are stored one by one. A row of tiles ends where
 * the row of the image or a block of tiles does; with subimages, all of the row is staged for any of its tiles. */
static double moving_cycles(const tiling *w, const operands *o, const split *s) {
    double vectors = (double)ceil_div(o->channels, VL), blocks = ceil((double)o->filters / VL), stored = MOVING(12);
    int64_t outputs = min64(STRETCH, w->x.tiles) * M, together = s->shared ? min64(STRETCH, w->row_tiles) : s->tiles;
    int64_t parts = w->x.subimages > 1 ? 1 : ceil_div(w->row_tiles, STRETCH), first, span;
    int cuts = together % w->row_tiles && together < w->tiles;
    double in_row = (double)w->row_tiles / fmax((double)parts, (double)w->row_tiles / (double)together + cuts);
    stretch_span(w, 0, w->row_tiles / parts, &first, &span);
    double beyond_l1 = w->y.most_points * round_up(span, VL) * VL * (int64_t)sizeof(real) > L1_BYTES ? 1 : 0;
    double staged = o->nhwc ? STEPPING(5) + (double)span * MOVING(5.3 + beyond_l1)
                            : STEPPING(18) + (double)round_up(span, VL) * MOVING(4.7 + beyond_l1);
    if (!o->nhwc) {
        stored = (double)round_up(outputs, VL) / (double)outputs * MOVING(15.6);
        if (w->x.subimages * w->x.out_step > 1) stored += VL;
    }
    double rows =
        vectors * ((double)(w->y.segments * w->y.most_points) * staged + STEPPING(15)) + blocks * STEPPING(46);
    return rows / in_row + blocks * M * M * stored;
}

/* What the products of a tile take longer where so few are done together that a step waits for the sums of the one
 * before, or for weights from L2; and where each point's tiles begin and end. */
static double waiting_cycles(const tiling *w, const operands *o, int64_t together) {
    double rows = (double)together / (double)ceil_div(together, MR), products = rows * NV * PRODUCT_CYCLES * 0.72;
    double step = fmax(4.2, NV * VECTOR_BYTES / fc_this_processor->l2 * 1.7);
    double waiting = (double)w->reduction * fmax(0, step - products);
    return w->points * filter_blocks(o) * (waiting + STEPPING(29)) / rows;
}

/* What it takes to transform weights, to so many bytes; they are written and read again unless they are used at once.
 * Every grid reads all the kernel's elements. */
static double once_cycles(const tiling *w, const operands *o, double weights) {
    int64_t filters = round_up(o->filters, VL), blocks = o->groups * ceil_div(o->filters, NR);
    /* What lies together in the user's array is read in whole vectors: a filter's channels, or one's elements alone. */
    int64_t elements = o->w_nhwc || o->w_channel == o->elements ? o->elements : round_up(o->elements, VL);
    double taken_apart = (double)(filters * o->channels * elements * o->groups) * sizeof(real);
    double cycles = uneven((double)blocks) * PACKING(0.156 * taken_apart + 0.032 * weights) + STEPPING(310);
    if (w->tiles) {
        split s = split_of(w, o, 1, 2);
        if (s.once || s.own) return cycles;
    }
    return (cycles + 2.2 * fc_stream_cycles(weights, weights)) * fc_these_costs->transform * 1.43;
}

/* Of a grid: threads share blocks of tiles, or of filters. `weights` are the bytes of all grids, which a call reads one
 * after the other. */
static double grid_cycles(const tiling *w, const operands *o, const split *s, double weights) {
    double blocks = (double)ceil_div(w->tiles, s->tiles), groups = (double)o->groups, exchanged = 0;
    double in_products = uneven(blocks), in_rest = in_products, steps = blocks / 2, rounds = 0;
    if (s->shared) {
        in_products = ceil((double)ceil_div(o->filters, NR) / 2) / (filter_blocks(o) / 2), in_rest = 1;
        steps = rounds = blocks;
        exchanged = (double)(w->tiles * w->points * w->row_step) * sizeof(real) * groups / fc_this_processor->l3;
    }
    double tiles = (double)w->tiles * groups / 2, stream = fc_stream_cycles(s->traffic * groups, weights);
    double products = product_cycles(w, o) + waiting_cycles(w, o, s->tiles);
    double rest = (tile_cycles(w, o) - product_cycles(w, o) + moving_cycles(w, o, s)) * tiles * in_rest;
    double start = STEPPING(5900) * fc_these_costs->winograd_start + rounds * STEPPING(1450) + steps * STEPPING(210);
    products *= tiles * in_products;
    /* Weights are fetched ahead: products hide most of that, or it most of them. */
    return rest + fmax(products, stream) + 0.18 * fmin(products, stream) + groups * start + 2.2 * exchanged +
           STEPPING(600);
}

static COLD size_t weight_bytes(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    int64_t reals = 0;
    FOR_GRIDS(p, o, g, w) reals += group_weights(&w, &o) * o.groups;
    return (size_t)reals * sizeof(real);
}

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    double cycles = 0;
    FOR_GRIDS(p, o, g, w) {
        double weights = (double)(group_weights(&w, &o) * o.groups) * sizeof(real);
        if (w.tiles) {
            split s = split_of(&w, &o, p->once, 2);
            cycles += grid_cycles(&w, &o, &s, (double)weight_bytes(p));
        }
        if (index == 0) cycles += grouped_image_cycles(&o, 1, 1);
        if (p->once) cycles += once_cycles(&w, &o, weights);
    }
    return cycles;
}

static COLD double flops(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    double products = 0;
    FOR_GRIDS(p, o, g, w) products += (double)(w.tiles * w.points) * (double)(w.reduction * o.filters * o.groups);
    return 2 * products;
}

/* An upper bound of what is measured (docs/performance.md), as a multiple of the direct sum's error: the number of
 * points decides, and with few channels the direct sum errs less. */
static COLD double error(const fc_conv *p) {
    static const double of_many[MOST_POINTS + 1] = {[3] = 1, [4] = 1.2, [5] = 1.6, [6] = 1.8, [7] = 2.2, [8] = 5.6};
    static const double of_one[MOST_POINTS + 1] = {[3] = 2.5, [4] = 2.7, [5] = 5.3, [6] = 8.2, [7] = 8.4, [8] = 17.5};
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    double most = 1;
    FOR_GRIDS(p, o, g, w) {
        int t = w.y.most_points > w.x.most_points ? w.y.most_points : w.x.most_points;
        if (t > M) most = fmax(most, of_many[t] + (of_one[t] - of_many[t]) / sqrt((double)o.channels));
    }
    return most;
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    operands o = FC_NAME(operands_of)(p);
    grid g;
    tiling w;
    size_t most = 0;
    FOR_GRIDS(p, o, g, w) {
        size_t bytes = w.tiles ? split_of(&w, &o, p->once, threads).workspace : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static weights_job preparation_of(const fc_conv *p, const operands *o, const void *weight, void *packed) {
    weights_job j = {.o = o, .kernel_h = p->kernel_h, .kernel_w = p->kernel_w, .weight = weight, .packed = packed};
    set_transforms(j.transforms);
    return j;
}

/* Of the grid that `j` names. */
static int prepare_grid(const weights_job *j, int threads) {
    int64_t tasks = j->o->groups * ceil_div(j->o->filters, NR);
    return fc_parallel(tasks, (double)(group_weights(j->w, j->o) * j->o->groups), threads, transform_blocks, j);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = FC_NAME(operands_of)(p);
    weights_job j = preparation_of(p, &o, weight, packed);
    grid g;
    tiling w;
    int status = 0;
    FOR_GRIDS(p, o, g, w) {
        if (status) break;
        j.w = &w;
        status = prepare_grid(&j, threads);
        j.packed += group_weights(&w, &o) * o.groups;
    }
    return status;
}

/* `weight` is NULL where `packed` is ready. */
static NOINLINE int run_grids(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e,
                              void *out, int threads) {
    operands o = FC_NAME(operands_of)(p);
    double cycles = all_cycles(p, cost);
    int worth = fc_worth(cycles, threads);
    weights_job unpacked = preparation_of(p, &o, weight, packed);
    grid g;
    tiling w;
    int status = 0;
    FOR_GRIDS(p, o, g, w) {
        if (status) break;
        unpacked.w = &w;
        winograd_job j = {.w = &w, .o = &o, .e = e, .x = x, .weights = unpacked.packed, .out = out, .once = &unpacked};
        if (w.tiles) {
            split s = split_of(&w, &o, weight != NULL, worth);
            if (weight && !s.once && !s.own) status = prepare_grid(&unpacked, threads);
            if (!status) status = run_grid(&j, s, cycles, worth);
        }
        unpacked.packed += group_weights(&w, &o) * o.groups;
    }
    return status;
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    return run_grids(p, x, NULL, (void *)packed, e, out, threads);
}

static int run_once(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e, void *out,
                    int threads) {
    return run_grids(p, x, weight, packed, e, out, threads);
}

#endif
