/* Depthwise convolution of NHWC images of a vector of channels or more, by square kernels of 3, 5 and 7 at strides of 1
 * and 2. Included by depthwise.c.
 *
 * Tiling: TILE_ROWS rows x TILE_PIXELS outputs of a vector of channels. Each pixel that they see is loaded once, where
 * it is, and meets the weights of all outputs that see it. A tile's pixels are found once for all channels; in place of
 * those outside the image stand zeros. The last vector of channels ends with the pixel, and may overlap the one before.
 */
#ifndef FC_DEPTHWISE_TILE_H
#define FC_DEPTHWISE_TILE_H

#include "base/simd.h"
#include "conv/epilogue.h"

#if MR > 6
enum { TILE_ROWS = 4 };
#else
enum { TILE_ROWS = 2 };
#endif
enum { TILE_PIXELS = 4, MOST_SEEN_ROWS = 2 * (TILE_ROWS - 1) + 7, MOST_SEEN_COLUMNS = 2 * (TILE_PIXELS - 1) + 7 };

typedef struct {
    const real *pixels[MOST_SEEN_ROWS * MOST_SEEN_COLUMNS]; /* rows of columns, the kernel's own number of each */
    const real *weights, *residual;                         /* [vector of channels][tap][VL]; of the first output */
    real *out;
    int64_t channels, out_row, rows, columns; /* from a row of outputs to the next; outputs that exist */
    const fc_epilogue *e;
    real *row_sums; /* NULL, or where FINISH_CALL adds a row's results, those of the next row `sums_row` behind */
    int64_t sums_row;
    bounds between;
    finish_kind kind;
} depthwise_tile;

/* Where the channels of a vector begin. */
static int64_t vector_start(int64_t channels, int64_t vector) { return min64(vector * VL, channels - VL); }

/* Finishes a tile's sums of the vector of channels from `c` on, where that takes more than bounds. Channels that the
 * vector before had, too, count once in sums of rows. */
static NOINLINE void finish_tile(const depthwise_tile *t, int64_t c, vec (*sums)[TILE_PIXELS]) {
    const channel_lanes channels = without_bias(neighbours(values_from(t->e, c), 0, VL));
    const lanes own = lane_numbers() >= (lane)(round_up(c, VL) - c);
    for (int64_t y = 0; y < t->rows; y++) {
        vec row = zero();
        for (int64_t x = 0; x < t->columns; x++) {
            int64_t at = y * t->out_row + x * t->channels + c;
            row += finish(t->out + at, sums[y][x], channels, t->residual ? t->residual + at : NULL, VL, t->e);
        }
        if (!t->row_sums) continue;
        real *to = t->row_sums + y * t->sums_row + c;
        store(to, load(to) + choose(own, row, zero()));
    }
}

INLINE
void sum_pixels(const int K, const int S, const depthwise_tile *t) {
    const int seen_rows = (TILE_ROWS - 1) * S + K, seen_columns = (TILE_PIXELS - 1) * S + K;
    const real *weights = t->weights;
    for (int64_t vector = 0; vector * VL < t->channels; vector++, weights += K * K * VL) {
        int64_t c = vector_start(t->channels, vector);
        vec bias = t->e->bias ? load((const real *)t->e->bias + c) : zero();
        vec sum[TILE_ROWS][TILE_PIXELS], weight[3 * 3];
#pragma GCC unroll 4
        for (int y = 0; y < TILE_ROWS; y++)
#pragma GCC unroll 4
            for (int x = 0; x < TILE_PIXELS; x++) sum[y][x] = bias;
        if (K == 3)
#pragma GCC unroll 9
            for (int i = 0; i < K * K; i++) weight[i] = load(weights + i * VL);
#pragma GCC unroll 16
        for (int j = 0; j < seen_rows; j++)
#pragma GCC unroll 16
            for (int i = 0; i < seen_columns; i++) {
                vec pixel = load(t->pixels[j * seen_columns + i] + c);
                PIN(pixel); /* compilers load it again for every use */
#pragma GCC unroll 4
                for (int y = 0; y < TILE_ROWS; y++)
#pragma GCC unroll 4
                    for (int x = 0; x < TILE_PIXELS; x++) {
                        const int r = j - y * S, s = i - x * S;
                        if (r < 0 || r >= K || s < 0 || s >= K) continue;
                        sum[y][x] += pixel * (K == 3 ? weight[r * K + s] : load(weights + (r * K + s) * VL));
                    }
            }
#pragma GCC unroll 4
        for (int y = 0; y < TILE_ROWS; y++)
#pragma GCC unroll 4
            for (int x = 0; x < TILE_PIXELS; x++) PIN(sum[y][x]);
        if (t->kind == FINISH_CALL) {
            vec done[TILE_ROWS][TILE_PIXELS]; /* or sums would lie in memory */
#pragma GCC unroll 4
            for (int y = 0; y < TILE_ROWS; y++)
#pragma GCC unroll 4
                for (int x = 0; x < TILE_PIXELS; x++) done[y][x] = sum[y][x];
            finish_tile(t, c, done);
            continue;
        }
#pragma GCC unroll 4
        for (int y = 0; y < TILE_ROWS; y++) {
            if (y >= t->rows) break;
#pragma GCC unroll 4
            for (int x = 0; x < TILE_PIXELS; x++)
                if (x < t->columns)
                    store(t->out + y * t->out_row + x * t->channels + c,
                          t->kind == FINISH_BOUNDS ? bounded(sum[y][x], &t->between) : sum[y][x]);
        }
    }
}

#define PIXELS_OF(K, S)                                                                                                \
    static void sum_pixels_##K##_##S(const depthwise_tile *t) { sum_pixels(K, S, t); }
PIXELS_OF(3, 1)
PIXELS_OF(3, 2)
PIXELS_OF(5, 1)
PIXELS_OF(5, 2)
PIXELS_OF(7, 1)
PIXELS_OF(7, 2)

/* [kernel / 2 - 1][stride - 1] */
static void (*const pixel_sums[3][2])(const depthwise_tile *) = {
    {sum_pixels_3_1, sum_pixels_3_2}, {sum_pixels_5_1, sum_pixels_5_2}, {sum_pixels_7_1, sum_pixels_7_2}};

/* Finds the pixels that the tile at output (y, x) sees; `zeros` are as many as a pixel has channels. */
static void find_pixels(depthwise_tile *t, const fc_conv *p, const real *image, int64_t y, int64_t x,
                        const real *zeros) {
    int64_t rows = (TILE_ROWS - 1) * p->stride_h + p->kernel_h, columns = (TILE_PIXELS - 1) * p->stride_w + p->kernel_w;
    int64_t top = y * p->stride_h - p->pad_top, left = x * p->stride_w - p->pad_left;
    for (int64_t j = 0; j < rows; j++) {
        int row_inside = top + j >= 0 && top + j < p->height;
        const real *row = image + ((top + j) * p->width + left) * p->channels;
        for (int64_t i = 0; i < columns; i++) {
            int inside = row_inside && left + i >= 0 && left + i < p->width;
            t->pixels[j * columns + i] = inside ? row + i * p->channels : zeros;
        }
    }
}

#endif
