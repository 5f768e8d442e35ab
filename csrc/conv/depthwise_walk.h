/* Depthwise convolution of NCHW planes by square kernels of 3, 5 and 7 at strides of 1 and 2, and, at a stride of 1, of
 * NHWC images of few channels, as planes whose pixels are several numbers. Included by depthwise.c.
 *
 * Tiling: a column of the plane, some vectors wide, is walked down row by row. Each row of the image is loaded once for
 * every tap, and meets the weights of all rows of outputs that see it: their sums stay in registers, which take turns.
 * A finished row is stored, and its registers begin the next one. Rows outside the image are left out; pixels beside it
 * are never loaded. The last vector of a row ends with the row, and may overlap the one before. */
#ifndef FC_DEPTHWISE_WALK_H
#define FC_DEPTHWISE_WALK_H

#include "base/simd.h"
#include "base/split.h"
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
    int64_t height, width, pad_top, pad_left, out_width, inner; /* what lies along a row; numbers of a pixel */
    const fc_epilogue *e;
    channel_values values; /* of all channels; where a pixel has several, from each of them on for a vector */
} walk_shape;

typedef struct {
    const real *x, *weights, *residual;
    real *out;
    vec bias; /* of pixels of one number */
    int64_t filter, y, y_end;
    bounds between;
    finish_kind kind;
    int ahead; /* are the next column's pixels and results fetched? */
} walk_rows;

static int64_t most_vectors(int64_t kernel) { return kernel == 3 ? MOST_3 : kernel == 5 ? MOST_5 : MOST_7; }

/* The column at output `x`; returns where the next one begins. */
static int64_t set_column(column *c, const walk_shape *w, int64_t kernel, int64_t stride, int64_t x) {
    int64_t left = ceil_div(w->out_width - x, VL), most = most_vectors(kernel);
    /* Vectors between the first and the last one of a column are loaded whole. */
    int64_t reads_to = (x + VL * (min64(left, most) - 1) - 1) * stride + (kernel - 1) * w->inner + stride - w->pad_left;
    if (w->pad_left > VL * stride || reads_to > w->width) most = min64(most, 2);
    /* The rest of a row is shared out evenly: a lone vector is slow. */
    *c = (column){.vectors = ceil_div(left, ceil_div(left, most)), .stored = min64(VL, w->out_width)};
    for (int64_t v = 0; v < c->vectors; v++) {
        c->x[v] = max64(0, min64(x + v * VL, w->out_width - VL));
        for (int64_t load = 0; load < (stride == 1 ? kernel : 2 * MOST_PAIRS); load++) {
            int64_t at = c->x[v] * stride - w->pad_left;
            at += stride == 1 ? load * w->inner : load / 2 * 2 + load % 2 * VL;
            int64_t low = max64(0, min64(VL, -at)), high = max64(low, min64(VL, w->width - at));
            c->inside[v][load] = mask_between(low, high);
        }
    }
    return x + c->vectors * VL;
}

/* Finishes rows of sums that were stored as they are, where that takes more than bounds: a call within the walk would
 * take registers from it. */
static NOINLINE void finish_rows(const walk_shape *w, const walk_rows *t) {
    channel_lanes own = without_bias(one_channel(w->values, t->filter));
    for (int64_t at = t->y * w->out_width, end = t->y_end * w->out_width; at < end; at += VL) {
        if (w->inner > 1 && w->values.slopes) own = without_bias(neighbours(w->values, at % w->inner, VL));
        finish(t->out + at, load_up_to(t->out + at, end - at), own, t->residual ? t->residual + at : NULL, end - at,
               w->e);
    }
}

INLINE
void walk(const int K, const int S, const int V, const int single, const walk_shape *w, const column *c,
          const walk_rows *t) {
    const int alive = (K + S - 1) / S, loads = S == 1 ? K : K + 1;
    /* Small kernels' rows are unrolled until the sums' registers have their turns again; of others, sums are moved. */
    const int period = K == 3 ? alive * S : S;
    /* In registers, or in memory as vectors, which costs no more than to spread them there. */
    vec weights[3 * 3];
    if (K == 3 && single)
#pragma GCC unroll 9
        for (int i = 0; i < K * K; i++) weights[i] = splat(t->weights[i]);
    const int64_t inner = single ? 1 : w->inner;
    const real *own[4];
    vec bias[4];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        own[v] = t->weights + (single ? 0 : c->x[v] % inner * K * K * VL);
        bias[v] = single ? t->bias : neighbours(w->values, c->x[v] % inner, VL).bias;
    }
    lane_mask first[2 * MOST_PAIRS], last[2 * MOST_PAIRS];
#pragma GCC unroll 8
    for (int i = 0; i < loads; i++) first[i] = c->inside[0][i], last[i] = c->inside[V - 1][i];
    vec sum[MOST_ALIVE][4];
#pragma GCC unroll 8
    for (int i = 0; i < alive; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sum[i][v] = bias[v];
    /* Rows are counted from the first one of padding. */
    int64_t begin = t->y * S, end = (t->y_end - 1) * S + K;
    for (int64_t base = begin; base < end; base += period) {
#pragma GCC unroll 6
        for (int q = 0; q < period; q++) {
            const int turn = q / S + alive; /* of the last output that sees the row */
            int64_t row = base + q;
            if (q > 0 && row >= end) break;
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
                        const real *at = pixels + c->x[v] * S + s * inner;
                        tap[0][v] = v == 0       ? load_masked(at, first[s])
                                    : v == V - 1 ? load_masked(at, last[s])
                                                 : load(at);
                        if (S == 2) {
                            vec next = v == 0       ? load_masked(at + VL, first[s + 1])
                                       : v == V - 1 ? load_masked(at + VL, last[s + 1])
                                                    : load(at + VL);
                            tap[1][v] = SPLIT_ODD(tap[0][v], next);
                            tap[0][v] = SPLIT_EVEN(tap[0][v], next);
                        }
                        PIN(tap[0][v]); /* compilers load it again for every use */
                    }
#pragma GCC unroll 8
                    for (int i = 0; i * S + q % S < K; i++)
#pragma GCC unroll 2
                        for (int h = 0; h < S; h++) {
                            if (s + h >= K) continue;
                            const int number = (i * S + q % S) * K + s + h;
                            vec shared = !single ? zero() : K == 3 ? weights[number] : splat(t->weights[number]);
#pragma GCC unroll 4
                            for (int v = 0; v < V; v++)
                                sum[(turn - i) % alive][v] +=
                                    (single ? shared : load(own[v] + number * VL)) * tap[h][v];
                        }
                }
            }
            int64_t y = (row - K + 1) / S;
            if (q % S != (K - 1) % S) continue;
            const int done = (turn + 1) % alive;
            if (row - K + 1 >= begin) {
                int64_t first = y * w->out_width;
                vec result[4];
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) result[v] = S == 2 ? joined(sum[done][v]) : sum[done][v];
                if (t->ahead)
#pragma GCC unroll 8
                    for (int v = 0; v < V; v++) __builtin_prefetch(t->out + first + c->x[0] + (V + v) * VL, 1);
                if (t->kind == FINISH_BOUNDS)
#pragma GCC unroll 4
                    for (int v = 0; v < V; v++) result[v] = bounded(result[v], &t->between);
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) store_up_to(t->out + first + c->x[v], result[v], V > 1 ? VL : c->stored);
            }
            if (period > S)
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) sum[done][v] = bias[v];
        }
        if (period > S) continue;
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
#pragma GCC unroll 8
            for (int i = 1; i < alive; i++) sum[i][v] = sum[(i + 1) % alive][v];
            sum[0][v] = bias[v];
        }
    }
}

typedef void (*walker)(const walk_shape *, const column *, const walk_rows *);
#define WALK(K, S, V)                                                                                                  \
    static void walk_##K##_##S##_##V(const walk_shape *w, const column *c, const walk_rows *t) {                       \
        walk(K, S, V, 1, w, c, t);                                                                                     \
    }
/* Pixels of several numbers. */
#define WALK_INNER(K, S, V)                                                                                            \
    static void walk_##K##_inner_##V(const walk_shape *w, const column *c, const walk_rows *t) {                       \
        walk(K, 1, V, 0, w, c, t);                                                                                     \
    }
#define WALKER_INNER(K, S, V) walk_##K##_inner_##V,
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

WIDTHS_3(WALK_INNER, 1)
WIDTHS_5(WALK_INNER, 1)
WIDTHS_7(WALK_INNER, 1)

/* [kernel / 2 - 1][vectors - 1] */
static const walker inner_walkers[3][4] = {
    {WIDTHS_3(WALKER_INNER, 1)}, {WIDTHS_5(WALKER_INNER, 1)}, {WIDTHS_7(WALKER_INNER, 1)}};

/* [kernel / 2 - 1][stride - 1][vectors - 1] */
static const walker walkers[3][2][4] = {{{WIDTHS_3(WALKER, 1)}, {WIDTHS_3(WALKER, 2)}},
                                        {{WIDTHS_5(WALKER, 1)}, {WIDTHS_5(WALKER, 2)}},
                                        {{WIDTHS_7(WALKER, 1)}, {WIDTHS_7(WALKER, 2)}}};

#endif
