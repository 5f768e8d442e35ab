/* Maximum and average over windows of 2x2 and 3x3 at distances of 1 and 2, of NCHW planes. Included by pool_planes.c.
 *
 * Tiling: a column of the plane, some vectors of results wide, is walked down row by row. Each row of the image is
 * loaded once; those that the next window sees, too, stay in registers. Rows are combined first, then neighbours in
 * what is left, by shuffles. Rows outside the image are neutral, pixels beside it are not loaded. The last column ends
 * with the row, and may overlap the one before. */
#ifndef FC_POOL_WALK_H
#define FC_POOL_WALK_H

#include "base/simd.h"
#include "base/split.h"
#include "pool/divided.h"

#if MR > 6
enum { MOST_WIDE = 4 };
#else
enum { MOST_WIDE = 2 };
#endif
enum { MOST_INPUTS = 2 * MOST_WIDE + 1 };

typedef struct {
    int64_t x, vectors, stored;    /* the first result; vectors of results; lanes of the last */
    lane_mask inside[MOST_INPUTS]; /* of each vector of pixels */
    int whole;                     /* a bit for each of these vectors: is all of it inside? */
} pool_column;

typedef struct {
    const real *x;
    real *out;
    const real *by_column, *by_row;             /* divisors, ... */
    const real *column_inverses, *row_inverses; /* ... and 1 / them */
    int64_t height, width, out_width, first_row, first_column, y, y_end;
    int alike; /* do all windows have the divisor of the first? */
    int ahead; /* are the next column's pixels and results fetched? */
} pool_rows;

/* How numbers are combined: added, or the larger one taken. NaN wins; where there is none, that is one instruction. */
enum { LARGER, ADDED, LARGER_NUMBER };

INLINE
vec combine(const int how, vec a, vec b) {
    return how == ADDED ? a + b : how == LARGER ? larger(b, a) : at_least(a, b); /* a where both are equal */
}

/* Are rows searched for NaN as they are loaded? Where `larger` takes one instruction more than it would without. */
#if defined(__AVX2__) && !defined(__AVX512F__)
#define SEARCHES_NAN 1
#else
#define SEARCHES_NAN 0
#endif

/* All ones where one of both is NaN. */
INLINE
lanes unordered(vec a, vec b) {
#if SEARCHES_NAN && FC_DOUBLE
    return (lanes)_mm256_cmp_pd((__m256d)a, (__m256d)b, _CMP_UNORD_Q);
#elif SEARCHES_NAN
    return (lanes)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_UNORD_Q);
#else
    return (a != a) | (b != b);
#endif
}

INLINE
int any(lanes v) {
#if SEARCHES_NAN
    return !_mm256_testz_si256((__m256i)v, (__m256i)v);
#else
    return v[0] != 0; /* not called */
#endif
}

INLINE
vec neutral(const int sum) { return splat(sum ? 0 : -(real)INFINITY); }

/* Vector i of a row's pixels; neutral beside the image. */
INLINE
vec load_pixels(const int sum, const pool_column *c, const int i, const real *p) {
    if (sum) return load_masked(p, c->inside[i]);
    if (!MASKS_STORES && c->whole >> i & 1) return load(p); /* other than zeros beside the image take longer */
    return load_masked_or(p, c->inside[i], neutral(0));
}

/* Pixels next to those of `own`, by one or two, at a distance of 1; or, of every second pixel, by one. */
#define NEXT_LANE(s, l) ((l) + (s))
#define NEXT_SECOND(s, l) ((l) + 1 < VL ? (l) + 1 : VL)

/* Combines K rows and stores the results. */
INLINE
void store_windows(const int K, const int S, const int V, const int how, const pool_column *c, const pool_rows *t,
                   int64_t y, vec (*row)[MOST_INPUTS], vec one_divisor, vec one_inverse) {
    const int inputs = S * V + (K > S);
    vec all[MOST_INPUTS];
#pragma GCC unroll 16
    for (int i = 0; i < inputs; i++) {
        all[i] = combine(how, row[0][i], row[1][i]);
        if (K == 3) all[i] = combine(how, all[i], row[2][i]);
    }
    real *out = t->out + y * t->out_width + c->x;
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        vec result;
        if (S == 1) {
            vec second = __builtin_shufflevector(all[v], all[v + 1], LANES(NEXT_LANE, 1, 0));
            result = combine(how, all[v], second);
            if (K == 3)
                result = combine(how, result, __builtin_shufflevector(all[v], all[v + 1], LANES(NEXT_LANE, 2, 0)));
        } else {
            vec even = SPLIT_EVEN(all[2 * v], all[2 * v + 1]), odd = SPLIT_ODD(all[2 * v], all[2 * v + 1]);
            result = joined(combine(how, even, odd));
            if (K == 3)
                result = combine(how, result,
                                 __builtin_shufflevector(joined(even), all[2 * v + 2], LANES(NEXT_SECOND, 0, 0)));
        }
        int64_t n = v + 1 < V ? VL : c->stored;
        if (how == ADDED && t->alike) {
            result = divided(result, one_divisor, one_inverse);
        } else if (how == ADDED) {
            const int64_t at = c->x + v * VL;
            vec divisor = load_up_to(t->by_column + at, n) * splat(t->by_row[y]);
            result = divided(result, divisor, load_up_to(t->column_inverses + at, n) * splat(t->row_inverses[y]));
        }
        store_up_to(out + v * VL, result, n);
    }
}

INLINE
void walk_windows(const int K, const int S, const int V, const int sum, const pool_column *c, const pool_rows *t) {
    const int inputs = S * V + (K > S), kept = K - S;
    vec row[3][MOST_INPUTS], one_divisor = zero(), one_inverse = zero();
    if (sum)
        one_divisor = splat(*t->by_column * *t->by_row), one_inverse = splat(*t->column_inverses * *t->row_inverses);
    int64_t nan_before = INT64_MIN; /* the row after the last one that may have NaN, from padding's first on */
    for (int64_t y = t->y; y < t->y_end; y++) {
        lanes nan = {0};
#pragma GCC unroll 4
        for (int r = 0; r < K; r++) {
            if (r < kept && y > t->y) {
#pragma GCC unroll 16
                for (int i = 0; i < inputs; i++) row[r][i] = row[r + S][i];
                continue;
            }
            int64_t at = y * S + t->first_row + r;
            const real *pixels = t->x + at * t->width + c->x * S + t->first_column;
            int inside = at >= 0 && at < t->height;
#pragma GCC unroll 16
            for (int i = 0; i < inputs; i++)
                row[r][i] = inside ? load_pixels(sum, c, i, pixels + i * VL) : neutral(sum);
            if (SEARCHES_NAN && !sum)
#pragma GCC unroll 16
                for (int i = 0; i < inputs; i += 2) nan |= unordered(row[r][i], row[r][i + 1 < inputs ? i + 1 : i]);
            if (t->ahead && inside)
#pragma GCC unroll 16
                for (int i = 0; i < S * V; i++) __builtin_prefetch(pixels + (S * V + i) * VL);
        }
        if (SEARCHES_NAN && !sum && any(nan)) nan_before = y * S + K;
        if (SEARCHES_NAN && !sum && y * S >= nan_before)
            store_windows(K, S, V, LARGER_NUMBER, c, t, y, row, one_divisor, one_inverse);
        else
            store_windows(K, S, V, sum, c, t, y, row, one_divisor, one_inverse);
        if (t->ahead)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) __builtin_prefetch(t->out + y * t->out_width + c->x + (V + v) * VL, 1);
    }
}

typedef void (*window_walker)(const pool_column *, const pool_rows *);
#define WALK_WINDOWS(K, S, V)                                                                                          \
    static void max_##K##_##S##_##V(const pool_column *c, const pool_rows *t) { walk_windows(K, S, V, 0, c, t); }      \
    static void sum_##K##_##S##_##V(const pool_column *c, const pool_rows *t) { walk_windows(K, S, V, 1, c, t); }
#define WINDOW_WALKERS(K, S, V) {max_##K##_##S##_##V, sum_##K##_##S##_##V},
#if MR > 6
#define WIDTHS(f, K, S) f(K, S, 1) f(K, S, 2) f(K, S, 4)
#else
#define WIDTHS(f, K, S) f(K, S, 1) f(K, S, 2)
#endif
WIDTHS(WALK_WINDOWS, 2, 1)
WIDTHS(WALK_WINDOWS, 2, 2)
WIDTHS(WALK_WINDOWS, 3, 1)
WIDTHS(WALK_WINDOWS, 3, 2)

/* [kernel - 2][stride - 1][vectors / 2][sum] */
static const window_walker window_walkers[2][2][3][2] = {
    {{WIDTHS(WINDOW_WALKERS, 2, 1)}, {WIDTHS(WINDOW_WALKERS, 2, 2)}},
    {{WIDTHS(WINDOW_WALKERS, 3, 1)}, {WIDTHS(WINDOW_WALKERS, 3, 2)}}};

/* The column at result x, or before it, so that it ends with the row; returns where the next one begins. */
static int64_t set_pool_column(pool_column *c, const pool_rows *t, int64_t kernel, int64_t stride, int64_t x) {
    int64_t left = t->out_width - x;
    c->vectors = MOST_WIDE;
    while (c->vectors > 1 && ((c->vectors - 1) * VL >= left || (!MASKS_STORES && c->vectors * VL > t->out_width)))
        c->vectors /= 2;
    c->x = max64(0, min64(x, t->out_width - c->vectors * VL));
    c->stored = min64(VL, t->out_width - c->x - (c->vectors - 1) * VL);
    c->whole = 0;
    for (int64_t i = 0; i < stride * c->vectors + (kernel > stride); i++) {
        int64_t at = c->x * stride + t->first_column + i * VL, low = max64(0, min64(VL, -at));
        c->inside[i] = mask_between(low, max64(low, min64(VL, t->width - at)));
        c->whole |= (low == 0 && t->width - at >= VL) << i;
    }
    return c->x + c->vectors * VL;
}

#endif
