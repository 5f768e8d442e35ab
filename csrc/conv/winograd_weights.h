/* The weights of Winograd's algorithm: [group][block of NR filters][point][channel][filter of the block], and how they
 * are made. Included by winograd.h. */
#ifndef FC_WINOGRAD_WEIGHTS_H
#define FC_WINOGRAD_WEIGHTS_H

#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "conv/channel_tile.h"
#include "conv/grid.h"
#include "conv/points.h"
#include "conv/tiling.h"

static int64_t weights_per_point(const tiling *w, int64_t width) { return w->reduction * width + VL; }

static int64_t block_weights(const tiling *w) { return w->points * weights_per_point(w, NR); }

static int64_t group_weights(const tiling *w, const operands *o) {
    int64_t last = ceil_div(o->filters, NR) - 1;
    return last * block_weights(w) + w->points * weights_per_point(w, channel_block_width(o, last));
}

typedef struct {
    const tiling *w;
    const operands *o;
    int64_t kernel_h, kernel_w;
    const real *weight;
    real *packed;
    transform transforms[MOST_POINTS + 1];
} weights_job;

/* Transforms along one axis; a single tap is every pixel's factor as it is. */
INLINE
void taps_to_points(const int taps, const transform *f, const vec *g, vec *v) {
    switch (taps) {
        case 1:
            for (int i = 0; i < M; i++) v[i] = g[0];
            return;
        case 2: transform_weights(M + 1, 2, f, g, v); return;
        case 3: transform_weights(M + 2, 3, f, g, v); return;
        case 4: transform_weights(M + 3, 4, f, g, v); return;
        default: transform_weights(M + 4, 5, f, g, v); return;
    }
}

/* Transforms `count` filters, for which taps[r][s] has one element each, to the points that begin at `to`. */
INLINE
void filters_to_points(const int rows, const int columns, const transform *transforms,
                       const real *const (*taps)[MOST_TAPS], int64_t count, real *to, int64_t point_step) {
    const int ty = points_for(rows), tx = points_for(columns);
    for (int64_t at = 0; at < count; at += VL) {
        vec half[MOST_TAPS][MOST_POINTS], g[MOST_TAPS] = {{0}}, v[MOST_POINTS] = {{0}};
#pragma GCC unroll 5
        for (int r = 0; r < rows; r++) {
#pragma GCC unroll 5
            for (int s = 0; s < columns; s++) g[s] = load(taps[r][s] + at);
            taps_to_points(columns, &transforms[tx], g, half[r]);
        }
#pragma GCC unroll 8
        for (int s = 0; s < tx; s++) {
#pragma GCC unroll 5
            for (int r = 0; r < rows; r++) g[r] = half[r][s];
            taps_to_points(rows, &transforms[ty], g, v);
#pragma GCC unroll 8
            for (int r = 0; r < ty; r++) store(to + (r * tx + s) * point_step + at, v[r]);
        }
    }
}

/* Where a block of filters is taken apart into the kernel's elements, of so many channels. */
static int64_t elements_bytes(int64_t elements, int64_t channels) {
    return round_up(elements * (int64_t)sizeof(real *), 64) +
           (elements + 1) * (channels * NR + VL) * (int64_t)sizeof(real);
}

/* Transforms a group's block of filters for the channels [first, first + channels), to points that lie `step` apart. */
static NOINLINE void transform_block(const weights_job *j, int64_t group, int64_t block, int64_t first,
                                     int64_t channels, char *memory, real *packed, int64_t step) {
    const tiling *w = j->w;
    operands part = *j->o;
    part.channels = channels;
    int64_t elements = j->kernel_h * j->kernel_w, element = channels * NR + VL;
    int64_t width = channel_block_width(&part, block), count = channels * width;
    real **places = (real **)memory;
    real *plain = (real *)(memory + round_up(elements * (int64_t)sizeof(real *), 64)),
         *zeros = plain + elements * element;
    for (int64_t e = 0; e < elements; e++) places[e] = plain + e * element;
    memset(zeros, 0, (size_t)element * sizeof(real));
    FC_NAME(pack_channel_block)(&part, j->kernel_h, j->kernel_w,
                                j->weight + group * part.w_group + first * part.w_channel, block, places);
    for (int i = 0; i < w->y.segments; i++)
        for (int l = 0; l < w->x.segments; l++) {
            const segment *sy = &w->y.segment[i], *sx = &w->x.segment[l];
            int rows = taps_for(sy->points), columns = taps_for(sx->points);
            const real *taps[MOST_TAPS][MOST_TAPS]; /* merged segments may have fewer than they could */
            for (int r = 0; r < rows; r++)
                for (int s = 0; s < columns; s++) {
                    int64_t y = sy->kernel_first + r * w->y.kernel_step, x = sx->kernel_first + s * w->x.kernel_step;
                    taps[r][s] = r < sy->taps && s < sx->taps ? places[y * j->kernel_w + x] : zeros;
                }
            real *to = packed + w->point[i][l] * step + w->channel[i][l] * width;
            switch (rows == columns ? rows : 0) {
                case 2: filters_to_points(2, 2, j->transforms, taps, count, to, step); break;
                case 3: filters_to_points(3, 3, j->transforms, taps, count, to, step); break;
                default: filters_to_points(rows, columns, j->transforms, taps, count, to, step);
            }
        }
}

static int transform_blocks(const void *context, int64_t begin, int64_t end) {
    const weights_job *j = context;
    const tiling *w = j->w;
    const operands *o = j->o;
    int64_t blocks = ceil_div(o->filters, NR);
    char *memory = fc_workspace(FC_OWN, (size_t)elements_bytes(o->elements, o->channels));
    if (!memory) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t group = task / blocks, block = task % blocks;
        real *packed = j->packed + group * group_weights(w, o) + block * block_weights(w);
        transform_block(j, group, block, 0, o->channels, memory, packed,
                        weights_per_point(w, channel_block_width(o, block)));
    }
    return 0;
}

#endif
