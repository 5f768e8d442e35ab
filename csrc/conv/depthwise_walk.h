/* Depthwise convolution of NCHW planes by square kernels of 3, 5 and 7 at strides of 1 and 2. Included by depthwise.c.
 *
 * Tiling: a column of the plane, some vectors wide, is walked down row by row. Each row of the image is loaded once for
 * every tap, and meets the weights of all rows of outputs that see it: their sums stay in registers, which take turns.
 * A finished row is stored, and its registers begin the next one. Rows outside the image are left out; pixels beside it
 * are never loaded. The last vector of a row ends with the row, and may overlap the one before. */
#ifndef FC_DEPTHWISE_WALK_H
#define FC_DEPTHWISE_WALK_H

#include "base/simd.h"
#include "conv/epilogue.h"

/* The most vectors of a column, for kernels of 3, 5 and 7: what the registers hold. */
#if MR > 6
enum { MOST_3 = 4, MOST_5 = 4, MOST_7 = 2 };
#else
enum { MOST_3 = 3, MOST_5 = 2, MOST_7 = 1 };
#endif
enum { MOST_ALIVE = 7, MOST_PAIRS = 4 };

/* Outputs of a row, `vectors` * VL of them (or fewer, in one vector). */
typedef struct {
    int64_t x[4];                        /* where each vector begins */
    int64_t vectors, stored;             /* lanes of the last vector */
    lane_mask inside[4][2 * MOST_PAIRS]; /* of each vector and tap, or, at stride 2, load */
} column;

typedef struct {
    int64_t height, width, pad_top, pad_left, out_width;
    const fc_epilogue *e;
} walk_shape;

typedef struct {
    const real *x, *weights, *residual;
    real *out;
    vec bias;
    int64_t y, y_end;
    int ahead; /* are the next column's pixels and results fetched? */
} walk_rows;

static int64_t most_vectors(int64_t kernel) { return kernel == 3 ? MOST_3 : kernel == 5 ? MOST_5 : MOST_7; }

/* The column at output `x`; returns where the next one begins. */
static int64_t set_column(column *c, const walk_shape *w, int64_t kernel, int64_t stride, int64_t x) {
    int64_t left = ceil_div(w->out_width - x, VL), most = most_vectors(kernel);
    /* Vectors between the first and the last one of a column are loaded whole. */
    int64_t reads_to = (x + VL * (min64(left, most) - 1) - 1) * stride + kernel + stride - 1 - w->pad_left;
    if (w->pad_left > VL * stride || reads_to > w->width) most = min64(most, 2);
    /* The rest of a row is shared out evenly: a lone vector is slow. */
    *c = (column){.vectors = ceil_div(left, ceil_div(left, most)), .stored = min64(VL, w->out_width)};
    for (int64_t v = 0; v < c->vectors; v++) {
        c->x[v] = max64(0, min64(x + v * VL, w->out_width - VL));
        for (int64_t load = 0; load < (stride == 1 ? kernel : 2 * MOST_PAIRS); load++) {
            int64_t at = c->x[v] * stride - w->pad_left + (stride == 1 ? load : load / 2 * 2 + load % 2 * VL);
            int64_t low = max64(0, min64(VL, -at)), high = max64(low, min64(VL, w->width - at));
            c->inside[v][load] = mask_between(low, high);
        }
    }
    return x + c->vectors * VL;
}

INLINE
void walk(const int K, const int S, const int V, const walk_shape *w, const column *c, const walk_rows *t) {
    const int alive = (K + S - 1) / S, period = alive * S, loads = S == 1 ? K : K + 1;
    /* In registers, or in memory as vectors, which costs no more than to spread them there. */
    vec weights[3 * 3];
    if (K == 3)
#pragma GCC unroll 9
        for (int i = 0; i < K * K; i++) weights[i] = splat(t->weights[i]);
    lane_mask first[2 * MOST_PAIRS], last[2 * MOST_PAIRS];
#pragma GCC unroll 8
    for (int i = 0; i < loads; i++) first[i] = c->inside[0][i], last[i] = c->inside[V - 1][i];
    vec sum[MOST_ALIVE][4];
#pragma GCC unroll 8
    for (int i = 0; i < alive; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sum[i][v] = zero();
    /* Rows are counted from the first one of padding. */
    int64_t begin = t->y * S, end = (t->y_end - 1) * S + K;
    for (int64_t base = begin / period * period; base < end; base += period) {
#pragma GCC unroll 8
        for (int q = 0; q < period; q++) {
            int64_t row = base + q;
            if (row < begin || row >= end) continue;
            if ((uint64_t)(row - w->pad_top) < (uint64_t)w->height) {
                const real *pixels = t->x + (row - w->pad_top) * w->width - w->pad_left;
                if (t->ahead)
#pragma GCC unroll 8
                    for (int v = 0; v < V * S; v++)
                        __builtin_prefetch(pixels + w->pad_left + c->x[0] * S + (V * S + v) * VL);
#pragma GCC unroll 8
                for (int s = 0; s < K; s += S) {
                    vec tap[2][4];
#pragma GCC unroll 4
                    for (int v = 0; v < V; v++) {
                        const real *at = pixels + c->x[v] * S + s;
                        tap[0][v] = v == 0       ? load_masked(at, first[s])
                                    : v == V - 1 ? load_masked(at, last[s])
                                                 : load(at);
                        if (S == 2) {
                            vec next = v == 0       ? load_masked(at + VL, first[s + 1])
                                       : v == V - 1 ? load_masked(at + VL, last[s + 1])
                                                    : load(at + VL);
                            tap[1][v] = __builtin_shufflevector(tap[0][v], next, LANES(EVERY_SECOND, 1, 0));
                            tap[0][v] = __builtin_shufflevector(tap[0][v], next, LANES(EVERY_SECOND, 0, 0));
                        }
                        PIN(tap[0][v]); /* compilers load it again for every use */
                    }
#pragma GCC unroll 8
                    for (int r = q % S; r < K; r += S)
#pragma GCC unroll 2
                        for (int h = 0; h < S && s + h < K; h++) {
                            vec weight = K == 3 ? weights[r * K + s + h] : splat(t->weights[r * K + s + h]);
#pragma GCC unroll 4
                            for (int v = 0; v < V; v++) sum[(q - r + 2 * period) / S % alive][v] += weight * tap[h][v];
                        }
                }
            }
            if ((q + K - 1) % S) continue;
            const int done = (q - K + 1 + 2 * period) / S % alive;
            int64_t y = (row - K + 1) / S;
            if (row - K + 1 >= t->y * S) {
                int64_t first = y * w->out_width;
                if (t->ahead)
#pragma GCC unroll 8
                    for (int v = 0; v < V; v++) __builtin_prefetch(t->out + first + c->x[0] + (V + v) * VL, 1);
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) {
                    int64_t at = first + c->x[v];
                    finish(t->out + at, sum[done][v], t->bias, t->residual ? t->residual + at : NULL,
                           v + 1 < V ? VL : c->stored, w->e);
                }
            }
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sum[done][v] = zero();
        }
    }
}

typedef void (*walker)(const walk_shape *, const column *, const walk_rows *);
#define WALK(K, S, V)                                                                                                  \
    static void walk_##K##_##S##_##V(const walk_shape *w, const column *c, const walk_rows *t) {                       \
        walk(K, S, V, w, c, t);                                                                                        \
    }
#define WALKER(K, S, V) walk_##K##_##S##_##V,
#if MR > 6
#define WIDTHS_3(f, S) f(3, S, 1) f(3, S, 2) f(3, S, 3) f(3, S, 4)
#define WIDTHS_5(f, S) f(5, S, 1) f(5, S, 2) f(5, S, 3) f(5, S, 4)
#define WIDTHS_7(f, S) f(7, S, 1) f(7, S, 2)
#else
#define WIDTHS_3(f, S) f(3, S, 1) f(3, S, 2) f(3, S, 3)
#define WIDTHS_5(f, S) f(5, S, 1) f(5, S, 2)
#define WIDTHS_7(f, S) f(7, S, 1)
#endif
WIDTHS_3(WALK, 1)
WIDTHS_3(WALK, 2)
WIDTHS_5(WALK, 1)
WIDTHS_5(WALK, 2)
WIDTHS_7(WALK, 1)
WIDTHS_7(WALK, 2)

/* [kernel / 2 - 1][stride - 1][vectors - 1] */
static const walker walkers[3][2][4] = {{{WIDTHS_3(WALKER, 1)}, {WIDTHS_3(WALKER, 2)}},
                                        {{WIDTHS_5(WALKER, 1)}, {WIDTHS_5(WALKER, 2)}},
                                        {{WIDTHS_7(WALKER, 1)}, {WIDTHS_7(WALKER, 2)}}};

#endif
