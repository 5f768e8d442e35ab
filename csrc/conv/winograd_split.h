/* How threads share Winograd's work, from the problem and the caches: what a block of tiles is, and whether they share
 * transformed input. Included by winograd.h. */
#ifndef FC_WINOGRAD_SPLIT_H
#define FC_WINOGRAD_SPLIT_H

#include "base/processor.h"
#include "base/simd.h"
#include "conv/grid.h"
#include "conv/points.h"
#include "conv/tiling.h"
#include "conv/winograd_input.h"
#include "conv/winograd_weights.h"

enum {
    SHARED_TILES = 128,
    SHARED_BYTES = 2 << 20, /* V for each thread */
    ONCE_BYTES = 320 << 10, /* transformed weights that are used at once, ... */
    LEAST_AT_ONCE = 32,     /* ... of so many channels at least: their sums go through memory */
    OWN_BYTES = 5 << 19,    /* transformed weights that each thread has of its own */
};

/* The reals from point to point of the sums, as `v_per_point` gives those of V. */
static int64_t sums_per_point(int64_t tiles) { return (tiles * NV | 1) * VL; }

static int64_t scratch_reals(const tiling *w) {
    return max64(stage_reals(w), MOST_POINTS * M * VL + M * (STRETCH * M + VL) * VL);
}

/* The channels whose weights are transformed at a time where they are used once: L2 holds them beside the sums. */
static int64_t channels_at_once(const tiling *w, const operands *o) {
    int64_t fitting = ONCE_BYTES / (w->points * NR * (int64_t)sizeof(real)) / VL * VL;
    return min64(o->channels, max64(VL, fitting));
}

static int64_t once_reals(const tiling *w, const operands *o) { return w->points * (channels_at_once(w, o) * NR + VL); }

/* How the threads split the work. */
typedef struct {
    int shared, once; /* do they share V; are weights transformed as they are used? */
    int own;          /* does each transform the only block of filters for itself? */
    int64_t tiles;    /* in a block, or sharing V */
    size_t workspace; /* of one thread */
    double traffic;   /* bytes of weights and V that each thread moves through the outer caches */
} split;

static int64_t weight_bytes_of(const operands *o) {
    return o->filters * o->channels * o->elements * (int64_t)sizeof(real);
}

/* For a grid with tiles; with `once`, weights are not transformed yet. */
static NOINLINE split split_of(const tiling *w, const operands *o, int once, int threads) {
    int64_t tile_bytes = w->points * (w->row_step + NR) * (int64_t)sizeof(real);
    int64_t filter_blocks = ceil_div(o->filters, NR), weights = group_weights(w, o) * (int64_t)sizeof(real);
    int64_t l2 = fc_l2_bytes(), room = l2 / 4 * 3; /* for V and sums, and for weights where they stay there too */
    if (weights <= l2 / 2) room = max64(room - weights, l2 / 4);
    int64_t blocks_needed = max64(1, ceil_div(w->tiles, max64(1, room / tile_bytes))), blocks = blocks_needed;
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
    /* Parts of the channels have to be neighbours in V, and several grids would each read all the kernel's elements. */
    int apart_in_v = w->merged && w->reduction > o->channels, one = o->grid_rows * o->grid_columns == 1;
    int64_t used = (w->points * sums_per_point(w->tiles) + once_reals(w, o)) * (int64_t)sizeof(real);
    int fits = used <= l2 / 4 * 3 && channels_at_once(w, o) >= min64(o->channels, LEAST_AT_ONCE);
    if (once && one && !apart_in_v && fits && together == w->tiles && filter_blocks >= threads && apart > 0) {
        s.shared = s.once = 1;
        s.traffic = (double)weight_bytes_of(o) / threads + (double)(2 * together * v_bytes);
    }
    /* A block of filters is transformed by one thread. The other would wait, and then fetch the weights from its cache,
     * which takes longer than to transform them, too. */
    s.own = once && one && o->groups == 1 && filter_blocks == 1 && blocks_needed <= 4 * threads && weights <= OWN_BYTES;
    if (s.own) s.tiles = ceil_div(w->tiles, min64(w->tiles, round_up(blocks_needed, threads)));
    if (s.shared) s.tiles = ceil_div(w->tiles, ceil_div(w->tiles, together));
    int64_t v = w->points * v_per_point(w, s.tiles);
    int64_t reals = (s.shared ? ceil_div(v, threads) : v) + w->points * sums_per_point(s.tiles) + scratch_reals(w);
    s.workspace = (size_t)reals * sizeof(real);
    if (s.once)
        s.workspace +=
            (size_t)once_reals(w, o) * sizeof(real) + (size_t)elements_bytes(o->elements, channels_at_once(w, o));
    if (s.own) s.workspace += (size_t)weights + (size_t)elements_bytes(o->elements, o->channels);
    return s;
}

#endif
