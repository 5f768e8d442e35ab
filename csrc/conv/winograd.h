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
#include "conv/winograd_weights.h"

enum {
    SHARED_TILES = 128,
    SHARED_BYTES = 2 << 20, /* V for each thread */
    MOST_GRIDS = 256,       /* each is a pass of its own */
};

typedef struct {
    const tiling *w;
    const operands *o;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out, *shared;
    int64_t group, first, tiles, block; /* tiles [first, first + tiles), `block` of them at a time */
    int64_t channel_parts;
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
    vec bias = e->bias ? load_up_to((const real *)e->bias + channel, n) : zero();
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
                finish(out + to, load(rows + m * VL), bias, residual ? residual + to : NULL, n, e);
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
                vec b = splat(bias[l]);
                if (step == 1)
                    finish(out + to, lanes[l], b, res, pixels, e);
                else
                    finish_strided(out + to, step, lanes[l], b, res, pixels, e);
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

/* The reals from point to point of the sums, as `v_per_point` gives those of V. */
static int64_t sums_per_point(int64_t tiles) { return (tiles * NV | 1) * VL; }

static int64_t scratch_reals(const tiling *w) {
    return max64(stage_reals(w), MOST_POINTS * M * VL + M * (STRETCH * M + VL) * VL);
}

/* Does the outputs of tiles [first, first + count) and a block of filters; V begins with that of tile `first`. */
static void multiply_tiles(const winograd_job *j, int64_t first, int64_t count, int64_t block, const real *v,
                           int64_t v_step, real *sums, real *scratch) {
    static const int64_t nowhere[1] = {0};
    const tiling *w = j->w;
    int64_t width = channel_block_width(j->o, block), sum_step = sums_per_point(count);
    const real *weights = j->weights + j->group * group_weights(w, j->o) + block * block_weights(w);
    int64_t parts = ceil_div(count, MR);
    for (int point = 0; point < w->points; point++, v += v_step, weights += weights_per_point(w, width)) {
        channel_tile t = {.weights = weights,
                          .tap_offset = nowhere,
                          .rows = 1,
                          .columns = 1,
                          .row_offsets = 1,
                          .channels = w->reduction,
                          .pixel_step = w->row_step,
                          .sums_step = NR};
        for (int64_t part = 0; part < parts; part++) {
            int64_t from = count * part / parts, to = count * (part + 1) / parts;
            t.pixels = v + from * w->row_step, t.sums = sums + point * sum_step + from * NR;
            FC_NAME(channel_tiles)[to - from - 1][0][width / VL - 1](&t);
        }
    }
    inverse_tiles(j, first, count, block, sums, sum_step, scratch);
}

/* Does blocks of tiles [begin, end), a thread by itself. */
static int do_blocks(const void *context, int64_t begin, int64_t end) {
    const winograd_job *j = context;
    const tiling *w = j->w;
    int64_t v_step = v_per_point(w, j->block), v_reals = w->points * v_step,
            sum_reals = w->points * sums_per_point(j->block);
    real *v = fc_workspace(FC_OWN, (size_t)(v_reals + sum_reals + scratch_reals(w)) * sizeof(real));
    if (!v) return FC_NO_MEMORY;
    real *sums = v + v_reals, *scratch = sums + sum_reals;
    winograd_input in = input_of(j);
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task * j->block, count = min64(j->block, w->tiles - first);
        if (count <= 0) break;
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

/* ... then they multiply, a block of filters each. */
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

/* How the threads split the work. */
typedef struct {
    int shared;
    int64_t tiles;    /* in a block, or sharing V */
    size_t workspace; /* of one thread */
    double traffic;   /* bytes of weights and V that each thread moves through the outer caches */
} split;

/* For a grid with tiles. */
static split split_of(const tiling *w, const operands *o, int threads) {
    int64_t tile_bytes = w->points * (w->row_step + NR) * (int64_t)sizeof(real);
    int64_t filter_blocks = ceil_div(o->filters, NR), weights = group_weights(w, o) * (int64_t)sizeof(real);
    int64_t l2 = fc_l2_bytes(), room = l2 / 4 * 3; /* for V and sums, and for weights where they stay there too */
    if (weights <= l2 / 2) room = max64(room - weights, l2 / 4);
    int64_t blocks = max64(1, ceil_div(w->tiles, max64(1, room / tile_bytes)));
    /* Blocks are small where that costs little, so that a thread on a slower core does fewer of them. */
    if (weights <= l2 / 2) blocks = max64(blocks, min64(4 * threads, w->tiles / (2 * MR)));
    if (w->tiles >= threads) blocks = round_up(blocks, threads);
    split s = {.tiles = max64(1, ceil_div(w->tiles, blocks))};
    int64_t v_bytes = w->points * w->row_step * (int64_t)sizeof(real);
    int64_t together = min64(min64(w->tiles, SHARED_TILES), max64(1, threads * (int64_t)SHARED_BYTES / v_bytes));
    double apart = weights <= l2 / 2 ? 0 : (double)ceil_div(blocks, threads) * (double)weights;
    s.traffic = apart;
    if (threads > 1 && filter_blocks >= threads && apart > 0) {
        double rounds = (double)ceil_div(w->tiles, together), v = (double)(together * v_bytes);
        double readings = v > (double)l2 / 2 ? (double)ceil_div(filter_blocks, threads) : 1;
        double shared = rounds * ((double)weights / threads + (readings + 1) * v);
        s.shared = shared < apart;
        if (s.shared) s.traffic = shared;
    }
    if (s.shared) s.tiles = ceil_div(w->tiles, ceil_div(w->tiles, together));
    int64_t v = w->points * v_per_point(w, s.tiles);
    s.workspace =
        (size_t)((s.shared ? ceil_div(v, threads) : v) + w->points * sums_per_point(s.tiles) + scratch_reals(w)) *
        sizeof(real);
    return s;
}

static int run_grid(winograd_job *j, double cycles, int threads) {
    const tiling *w = j->w;
    const operands *o = j->o;
    split s = split_of(w, o, threads);
    set_transforms(j->transforms);
    int status = 0;
    for (j->group = 0; j->group < o->groups && !status; j->group++) {
        if (!s.shared) {
            j->block = s.tiles;
            status = fc_parallel(ceil_div(w->tiles, s.tiles), cycles, threads, do_blocks, j);
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
            if (!status) status = fc_parallel(ceil_div(o->filters, NR), cycles, threads, multiply_shared, j);
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

static int accepts(const fc_conv *p) {
    operands o = operands_of(p);
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
 * transposed, count as whole vectors; outputs that are not neighbours are stored one by one. */
static double moving_cycles(const tiling *w, const operands *o) {
    double in_row = (double)min64(STRETCH, w->row_tiles), vectors = (double)ceil_div(o->channels, VL);
    int64_t first, span, outputs = min64(STRETCH, w->x.tiles) * M;
    stretch_span(w, 0, min64(STRETCH, w->row_tiles), &first, &span);
    double staged = o->nhwc ? (double)span * MOVING(6.2) : (double)round_up(span, VL) * MOVING(7.9);
    double stored = MOVING(16);
    if (!o->nhwc) {
        stored = (double)round_up(outputs, VL) / (double)outputs * MOVING(18);
        if (w->x.subimages * w->x.out_step > 1) stored += VL;
    }
    return vectors * (double)(w->y.segments * w->y.most_points) * staged / in_row +
           ceil((double)o->filters / VL) * M * M * stored;
}

/* What the products of a tile take longer where so few are done together that a step waits for the sums of the one
 * before, or for weights from L2. */
static double waiting_cycles(const tiling *w, const operands *o, int64_t together) {
    double rows = (double)together / (double)ceil_div(together, MR), products = rows * NV * PRODUCT_CYCLES * 1.1;
    double step = fmax(4.2, NV * VECTOR_BYTES / fc_this_processor->l2 * 1.5);
    return w->points * filter_blocks(o) * (double)w->reduction * fmax(0, step - products) / rows;
}

static double cost(const fc_conv *p) {
    operands o = operands_of(p);
    grid g;
    tiling w;
    double cycles = 0;
    FOR_GRIDS(p, o, g, w) {
        double weights = (double)(group_weights(&w, &o) * o.groups) * sizeof(real);
        if (w.tiles) {
            split s = split_of(&w, &o, 2);
            double products = product_cycles(&w, &o) + waiting_cycles(&w, &o, s.tiles);
            double rest = tile_cycles(&w, &o) - product_cycles(&w, &o) + moving_cycles(&w, &o);
            double tiles = (double)(w.tiles * o.groups) / 2;
            double stream = fc_stream_cycles(s.traffic * (double)o.groups, weights);
            /* Weights are fetched ahead: products hide most of that, or it most of them. */
            cycles += rest * tiles + fmax(products * tiles, stream) + 0.6 * fmin(products * tiles, stream) +
                      STEPPING(12000) * fc_these_costs->start;
        }
        if (index == 0) cycles += image_cycles(&o, 1, 1);
        if (p->once)
            cycles += weights * fc_these_costs->transform *
                      (p->transposed ? PACKING(0.45) : PACKING(0.31)); /* every phase reads all the kernel's elements */
    }
    return cycles;
}

static double flops(const fc_conv *p) {
    operands o = operands_of(p);
    grid g;
    tiling w;
    double products = 0;
    FOR_GRIDS(p, o, g, w) products += (double)(w.tiles * w.points) * (double)(w.reduction * o.filters * o.groups);
    return 2 * products;
}

/* An upper bound of what is measured (docs/performance.md), as a multiple of the direct sum's error: the number of
 * points decides, and with few channels the direct sum errs less. */
static double error(const fc_conv *p) {
    static const double of_many[MOST_POINTS + 1] = {[3] = 1, [4] = 1.2, [5] = 1.6, [6] = 1.8, [7] = 2.2, [8] = 5.6};
    static const double of_one[MOST_POINTS + 1] = {[3] = 2.5, [4] = 2.7, [5] = 5.3, [6] = 8.2, [7] = 8.4, [8] = 17.5};
    operands o = operands_of(p);
    grid g;
    tiling w;
    double most = 1;
    FOR_GRIDS(p, o, g, w) {
        int t = w.y.most_points > w.x.most_points ? w.y.most_points : w.x.most_points;
        if (t > M) most = fmax(most, of_many[t] + (of_one[t] - of_many[t]) / sqrt((double)o.channels));
    }
    return most;
}

static size_t weight_bytes(const fc_conv *p) {
    operands o = operands_of(p);
    grid g;
    tiling w;
    int64_t reals = 0;
    FOR_GRIDS(p, o, g, w) reals += group_weights(&w, &o) * o.groups;
    return (size_t)reals * sizeof(real);
}

static size_t workspace_bytes(const fc_conv *p, int threads) {
    operands o = operands_of(p);
    grid g;
    tiling w;
    size_t most = 0;
    FOR_GRIDS(p, o, g, w) {
        size_t bytes = w.tiles ? split_of(&w, &o, threads).workspace : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    operands o = operands_of(p);
    weights_job j = {.o = &o, .kernel_h = p->kernel_h, .kernel_w = p->kernel_w, .weight = weight, .packed = packed};
    set_transforms(j.transforms);
    grid g;
    tiling w;
    int status = 0;
    FOR_GRIDS(p, o, g, w) {
        if (status) break;
        j.w = &w;
        int64_t reals = group_weights(&w, &o) * o.groups;
        status = fc_parallel(o.groups * ceil_div(o.filters, NR), (double)reals, threads, transform_blocks, &j);
        j.packed += reals;
    }
    return status;
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = operands_of(p);
    double cycles = all_cycles(p, cost);
    threads = fc_worth(cycles, threads);
    const real *weights = packed;
    grid g;
    tiling w;
    int status = 0;
    FOR_GRIDS(p, o, g, w) {
        if (status) break;
        winograd_job j = {.w = &w, .o = &o, .e = e, .x = x, .weights = weights, .out = out};
        if (w.tiles) status = run_grid(&j, cycles, threads);
        weights += group_weights(&w, &o) * o.groups;
    }
    return status;
}

#endif
