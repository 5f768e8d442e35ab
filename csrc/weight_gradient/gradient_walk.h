/* The gradient of a depthwise convolution's weights for square kernels of 3, 5 and 7 at a stride of 1, and of 3 and 5
 * at a stride of 2, from operands where they are. Included by gradient_depthwise.c.
 *
 * Tiling: a column of the gradient, one vector wide, is walked down row by row, as in conv/depthwise_walk.h: down the
 * plane with lanes over pixels of a row (NCHW), along a row with lanes over channels (NHWC). Each row of the image is
 * loaded once for every tap across the walk, and meets all rows of the gradient that see it, which stay in registers;
 * so do the sums of all taps, or of R rows of the kernel at a time. Rows outside the image are left out, and so are the
 * lanes of pixels beside it: what the gradient is there never meets anything.
 *
 * Where lanes are pixels at a stride of 2, a vector of the image has the pixels of two neighbouring taps in turn, and
 * every number of the gradient is doubled to meet both: even lanes of a sum are one tap's, odd lanes the next one's. */
#ifndef FC_GRADIENT_WALK_H
#define FC_GRADIENT_WALK_H

#include "base/edge.h"
#include "base/simd.h"

#if defined(__AVX2__)
#define MASKS_ARE_QUICK 1
#else
#define MASKS_ARE_QUICK 0 /* so that rows at the edges have no loop of their own */
#endif

enum { MOST_TAPS_ACROSS = 7, MOST_ROWS_ALIVE = 5 };

/* How many rows of the kernel's taps have their sums in registers together. */
#if MR > 6
enum { ROWS_OF_5 = 5, ROWS_OF_7 = 4, ROWS_OF_5_PAIRS = 5 };
#else
enum { ROWS_OF_5 = 2, ROWS_OF_7 = 1, ROWS_OF_5_PAIRS = 3 };
#endif

/* One vector across the walk. */
typedef struct {
    int64_t x, gradient;                /* where its first tap's pixels and its gradient are in a row */
    lane_mask own;                      /* lanes that exist */
    lane_mask inside[MOST_TAPS_ACROSS]; /* of each load of pixels, those that exist and are in the image */
    int whole;                          /* are all these masks full? */
} gradient_column;

/* Rows [begin, end) of the gradient, in `images` stretches of them. */
typedef struct {
    const real *x, *gradient;
    int64_t images, x_image, gradient_image;
    int64_t x_next, x_further,
        gradient_next;                /* how much further what will be walked next is; at a stride of 2, twice */
    int64_t x_row, gradient_row, tap; /* from row to row, from tap to tap across */
    int64_t height, pad;              /* rows of the image */
    int64_t begin, end;
    int64_t first_tap, tap_rows; /* rows of the kernel */
    real *sums;                  /* [tap_rows][across][VL], added to */
} gradient_rows_walked;

INLINE
void walk_gradient(const int K, const int S, const int R, const int pairs, const int masked,
                   const gradient_rows_walked *w, const gradient_column *c) {
    const int across = pairs ? (K + 1) / 2 : K, halves = pairs ? 2 : 1, alive = (R + S - 1) / S, period = alive * S;
    const int64_t tap = w->tap, x_row = w->x_row, gradient_row = w->gradient_row;
    const int64_t x_next = w->x_next, x_further = w->x_further, gradient_next = w->gradient_next;
    vec sum[MOST_ROWS_ALIVE][MOST_TAPS_ACROSS], gradient[MOST_ROWS_ALIVE][2];
    lane_mask inside[MOST_TAPS_ACROSS], own = c->own;
#pragma GCC unroll 8
    for (int i = 0; i < across * halves; i++) inside[i] = c->inside[i];
#pragma GCC unroll 8
    for (int j = 0; j < R; j++)
#pragma GCC unroll 8
        for (int s = 0; s < across; s++) sum[j][s] = j < w->tap_rows ? load(w->sums + (j * across + s) * VL) : zero();
#pragma GCC unroll 8
    for (int i = 0; i < alive; i++) gradient[i][0] = gradient[i][1] = zero();
    /* Rows of the image are counted from the one that the first of these taps sees for row 0 of the gradient. Of rows
     * [low, high) all taps see one; those of rows that are not there have sums that nobody stores. */
    const int64_t begin = w->begin * S, end = w->end * S, last = end - S + w->tap_rows, top = w->pad - w->first_tap;
    const int64_t low = max64(begin + w->tap_rows - 1, top), high = min64(end, top + w->height);
    const int64_t first = begin / period * period;
    const real *x = w->x + c->x + (first - top) * x_row, *g = w->gradient + c->gradient + first / S * gradient_row;
    for (int64_t image = 0; image < w->images; image++, x += w->x_image, g += w->gradient_image) {
        const real *pixels = x, *gradients = g;
        for (int64_t base = first; base < last; base += period) {
#pragma GCC unroll 8
            for (int q = 0; q < period; q++, pixels += x_row) {
                const int64_t row = base + q;
                const int all = (MASKS_ARE_QUICK || !masked) && row >= low && row < high;
                if (!all && (row < begin || row >= last)) {
                    if (q % S == 0) gradients += gradient_row;
                    continue;
                }
                if (q % S == 0) {
                    if (all || row < end) {
                        vec v = masked ? load_edge(gradients, own) : load(gradients);
                        __builtin_prefetch(gradients + gradient_next, 0, 2);
                        if (pairs) gradient[q / S][1] = __builtin_shufflevector(v, v, LANES(HALF_HIGH, 0, 0));
                        gradient[q / S][0] = pairs ? __builtin_shufflevector(v, v, LANES(HALF_LOW, 0, 0)) : v;
                    }
                    gradients += gradient_row;
                }
                if (all) {
                    __builtin_prefetch(pixels + x_next, 0, 2);
                    if (S == 2) __builtin_prefetch(pixels + x_next + x_further, 0, 2);
#pragma GCC unroll 8
                    for (int i = 0; i < across * halves; i++) {
                        const real *at = pixels + (pairs ? i / 2 * 2 + i % 2 * VL : i * tap);
                        vec pixel = masked ? load_edge(at, inside[i]) : load(at);
                        PIN(pixel); /* compilers load it again for every use */
#pragma GCC unroll 8
                        for (int j = q % S; j < R; j += S) {
                            vec *to = &sum[j][i / halves], own = gradient[(q - j + 2 * period) / S % alive][i % halves];
                            *to = masked ? add_product_masked(*to, pixel, own, inside[i]) : *to + pixel * own;
                        }
                    }
                    continue;
                }
                if (row < top || row >= top + w->height) continue;
#pragma GCC unroll 8
                for (int j = q % S; j < R; j += S) {
                    if (j >= w->tap_rows || row - j < begin || row - j >= end) continue;
#pragma GCC unroll 8
                    for (int i = 0; i < across * halves; i++) {
                        const real *at = pixels + (pairs ? i / 2 * 2 + i % 2 * VL : i * tap);
                        vec pixel = masked ? load_edge(at, inside[i]) : load(at);
                        vec *to = &sum[j][i / halves], own = gradient[(q - j + 2 * period) / S % alive][i % halves];
                        *to = masked ? add_product_masked(*to, pixel, own, inside[i]) : *to + pixel * own;
                    }
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < R; j++)
#pragma GCC unroll 8
        for (int s = 0; s < across; s++)
            if (j < w->tap_rows) store(w->sums + (j * across + s) * VL, sum[j][s]);
}

/* Masks cost nothing where they are the instructions' own. */
#if defined(__AVX512F__)
#define GRADIENT_WALK(name, K, S, R, pairs)                                                                            \
    static void name(const gradient_rows_walked *w, const gradient_column *c) {                                        \
        walk_gradient(K, S, R, pairs, 1, w, c);                                                                        \
    }
#else
#define GRADIENT_WALK(name, K, S, R, pairs)                                                                            \
    static void name(const gradient_rows_walked *w, const gradient_column *c) {                                        \
        if (c->whole)                                                                                                  \
            walk_gradient(K, S, R, pairs, 0, w, c);                                                                    \
        else                                                                                                           \
            walk_gradient(K, S, R, pairs, 1, w, c);                                                                    \
    }
#endif
GRADIENT_WALK(walk_gradient_3, 3, 1, 3, 0)
GRADIENT_WALK(walk_gradient_5, 5, 1, ROWS_OF_5, 0)
GRADIENT_WALK(walk_gradient_7, 7, 1, ROWS_OF_7, 0)
GRADIENT_WALK(walk_gradient_3_pairs, 3, 2, 3, 1)
GRADIENT_WALK(walk_gradient_5_pairs, 5, 2, ROWS_OF_5_PAIRS, 1)
GRADIENT_WALK(walk_gradient_3_by_2, 3, 2, 3, 0)
GRADIENT_WALK(walk_gradient_5_by_2, 5, 2, ROWS_OF_5, 0)

typedef struct {
    void (*walk)(const gradient_rows_walked *w, const gradient_column *c);
    int64_t rows; /* R */
} gradient_walker;

/* [kernel / 2 - 1][stride of 1, 2 along pixels, 2 along channels] */
static const gradient_walker gradient_walkers[3][3] = {
    {{walk_gradient_3, 3}, {walk_gradient_3_pairs, 3}, {walk_gradient_3_by_2, 3}},
    {{walk_gradient_5, ROWS_OF_5}, {walk_gradient_5_pairs, ROWS_OF_5_PAIRS}, {walk_gradient_5_by_2, ROWS_OF_5}},
    {{walk_gradient_7, ROWS_OF_7}}};

/* The walker for a square kernel without dilation; NULL where there is none. */
static const gradient_walker *gradient_walker_of(const fc_conv *p) {
    int64_t k = p->kernel_h, s = p->stride_h;
    int is_square = k == p->kernel_w && s == p->stride_w && p->dilation_h == 1 && p->dilation_w == 1;
    if (!is_square || k < 3 || k > 7 || k % 2 == 0 || s > (k < 7 ? 2 : 1)) return NULL;
    return &gradient_walkers[k / 2 - 1][s == 1 ? 0 : p->layout == FC_NCHW ? 1 : 2];
}

/* The column of lanes over the pixels of a row, at output `x`. */
static gradient_column column_of_pixels(const fc_conv *p, int64_t x) {
    int pairs = p->stride_w == 2;
    int64_t own = min64(VL, p->out_width - x), loads = pairs ? p->kernel_w + 1 : p->kernel_w;
    gradient_column c = {.x = x * p->stride_w - p->pad_left, .gradient = x, .own = mask_between(0, own)};
    c.whole = own == VL;
    for (int64_t i = 0; i < loads; i++) {
        int64_t offset = pairs ? i / 2 * 2 : i, half = pairs ? i % 2 * VL : 0, at = c.x + offset + half;
        int64_t low = max64(0, min64(VL, -at));
        int64_t high = min64(VL, min64(p->width - at, own * p->stride_w - half));
        c.inside[i] = mask_between(low, max64(low, high));
        c.whole &= low == 0 && high == VL;
    }
    return c;
}

/* The column of `own` channels from number `c` on, at row `y` of the outputs. */
static gradient_column column_of_channels(const fc_conv *p, int64_t c, int64_t own, int64_t y) {
    int64_t top = y * p->stride_h - p->pad_top;
    gradient_column column = {.x = top * p->width * p->channels + c,
                              .gradient = y * p->out_width * p->channels + c,
                              .own = mask_between(0, own)};
    column.whole = own == VL;
    for (int64_t s = 0; s < p->kernel_h; s++) {
        int inside = top + s >= 0 && top + s < p->height;
        column.inside[s] = mask_between(0, inside ? own : 0);
        column.whole &= inside;
    }
    return column;
}

#endif
