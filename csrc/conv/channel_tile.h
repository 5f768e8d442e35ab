/* The register tile of vectors of output channels, and the order of weights that it reads. Used by direct_channels.c
 * and winograd.h; the kernels for the gradient of weights have blocks of the same width.
 *
 * Register tile: MR pixels x NV vectors of channels (AVX-512: 14 x 32 floats). Every step of the reduction over (tap,
 * channel) broadcasts MR pixels and multiplies them with NV vectors of weights, [tap][channel][NR]. Sums stay in the
 * registers to the end of it; where a caller splits it, they go on from memory once for each part (`goes_on`). */
#ifndef FC_CHANNEL_TILE_H
#define FC_CHANNEL_TILE_H

#include "conv/grid.h"
#include "base/simd.h"
#include "conv/epilogue.h"

typedef struct {
    const real *pixels, *weights;
    const int64_t *tap_offset;
    int64_t rows, columns;            /* taps that count */
    int64_t row_offsets, row_skipped; /* from a row's offsets to the next's; taps between their weights */
    int64_t channels, pixel_step, channel_step;
    int64_t ahead; /* the neighbour that is fetched meanwhile */
    real *sums;
    int64_t sums_step; /* from pixel to pixel */
    int goes_on;       /* do sums begin with those that are there? Not where pixels are neighbours. */
    /* Sums that lie like results of NHWC go straight to the output, with bias and bounds. */
    const real *bias; /* or NULL */
    finish_kind kind;
    bounds between;
    int finished, fetches; /* the latter: bands.h */
} channel_tile;

typedef void channel_tile_function(const channel_tile *t);

/* [pixels - 1][whether they are neighbours in memory][vectors - 1] */
extern channel_tile_function *const FC_NAME(channel_tiles)[MR][2][NV];

/* A block holds NR filters; the last one VL, where that is enough for what is left. */
static inline int64_t channel_block_width(const operands *o, int64_t block) {
    return o->filters - block * NR > VL ? NR : VL;
}

/* Packs a block of a group's filters: `places[e]` takes element e of the kernel, [channel][filter of the block]. */
void FC_NAME(pack_channel_block)(const operands *o, int64_t kernel_h, int64_t kernel_w, const real *weight,
                                 int64_t block, real *const *places);

#endif
