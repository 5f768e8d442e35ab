/* The transforms of Winograd's minimal filtering F(m, r), derived from interpolation points. Used by winograd.h.
 *
 * m outputs of a filter with r taps need t = m + r - 1 products (Winograd 1980; Toom and Cook's interpolation,
 * transposed): y = A^T [(G g) * (B^T d)]. The points are 0 (for even t), pairs +-a, and infinity; with x one of them,
 *   A^T[i][x] = x^i,   G[x][j] = x^j / prod of (x - x') over the other finite points x',
 *   B^T[x][j] = the coefficient of z^j in that product of (z - x'),
 * and for infinity the highest powers alone. Points in pairs share their even and odd halves, which is all that the
 * three functions below exploit. The choice of points decides the error: these are near the least of a search over
 * sixteenths. */
#ifndef FC_POINTS_H
#define FC_POINTS_H

#include "base/simd.h"

enum { MOST_POINTS = 8, MOST_PAIRS = 3, MOST_OUTPUTS = 6 };

static const double point_pairs[MOST_POINTS + 1][MOST_PAIRS] = {
    [3] = {1},
    [4] = {1},
    [5] = {3 / 8., 5 / 4.},
    [6] = {5 / 8., 3 / 2.},
    [7] = {1 / 4., 7 / 8., 7 / 4.},
    [8] = {1 / 2., 1, 2},
};

/* Order of the points everywhere: 0 if t is even, +a, -a of each pair, infinity. */
#define HAS_ZERO(t) (1 - (t) % 2)
#define PAIRS(t) (((t) - 1) / 2)

/* Products over pairs of (z^2 - b^2) as polynomials in z^2, without the leading 1. */
typedef struct {
    real a[MOST_PAIRS], power[MOST_PAIRS][MOST_OUTPUTS]; /* a^i */
    real all[MOST_PAIRS];                                /* over all pairs */
    real others[MOST_PAIRS][MOST_PAIRS];                 /* over all but one */
    real norm[MOST_PAIRS], norm_zero; /* 1 / prod (x - x'); with the other sign for -a where t is odd */
} transform;

static void product_of_pairs(const double *a, int pairs, int without, double *coefficients) {
    int degree = 0;
    coefficients[0] = 1;
    for (int k = 0; k < pairs; k++) {
        if (k == without) continue;
        coefficients[degree + 1] = 0;
        for (int j = degree++; j >= 0; j--) {
            coefficients[j + 1] += coefficients[j];
            coefficients[j] *= -a[k] * a[k];
        }
    }
}

static transform transform_of(int t) {
    transform f = {.norm_zero = 1};
    const double *a = point_pairs[t];
    double product[MOST_PAIRS + 1];
    int pairs = PAIRS(t);
    product_of_pairs(a, pairs, -1, product);
    for (int j = 0; j < pairs; j++) f.all[j] = (real)product[j];
    f.norm_zero = (real)(1 / product[0]);
    for (int k = 0; k < pairs; k++) {
        double power = 1, norm = HAS_ZERO(t) ? 2 * a[k] * a[k] : 2 * a[k];
        for (int b = 0; b < pairs; b++)
            if (b != k) norm *= a[k] * a[k] - a[b] * a[b];
        f.a[k] = (real)a[k], f.norm[k] = (real)(1 / norm);
        for (int i = 0; i < MOST_OUTPUTS; i++, power *= a[k]) f.power[k][i] = (real)power;
        product_of_pairs(a, pairs, k, product);
        for (int j = 0; j + 1 < pairs; j++) f.others[k][j] = (real)product[j];
    }
    return f;
}

/* B^T d. */
INLINE
void transform_input(const int t, const transform *f, const vec *d, vec *v) {
    const int zero = HAS_ZERO(t), pairs = PAIRS(t);
    if (zero) {
        v[0] = d[t - 2];
#pragma GCC unroll 4
        for (int j = 0; j < pairs; j++) v[0] += splat(f->all[j]) * d[2 * j];
    }
#pragma GCC unroll 4
    for (int k = 0; k < pairs; k++) {
        vec even = d[2 * (pairs - 1) + zero + 1], odd = d[2 * (pairs - 1) + zero];
#pragma GCC unroll 4
        for (int j = 0; j + 1 < pairs; j++) {
            vec factor = splat(f->others[k][j]);
            even += factor * d[2 * j + zero + 1], odd += factor * d[2 * j + zero];
        }
        vec a = splat(f->a[k]);
        v[zero + 2 * k] = even + a * odd, v[zero + 2 * k + 1] = even - a * odd;
    }
    v[t - 1] = d[t - 1];
#pragma GCC unroll 4
    for (int j = 0; j < pairs; j++) v[t - 1] += splat(f->all[j]) * d[2 * j + zero];
}

/* A^T v. */
INLINE
void transform_output(const int t, const int m, const transform *f, const vec *v, vec *y) {
    const int zero = HAS_ZERO(t), pairs = PAIRS(t);
    vec sum[MOST_PAIRS], difference[MOST_PAIRS];
#pragma GCC unroll 4
    for (int k = 0; k < pairs; k++) {
        sum[k] = v[zero + 2 * k] + v[zero + 2 * k + 1];
        difference[k] = v[zero + 2 * k] - v[zero + 2 * k + 1];
    }
#pragma GCC unroll 8
    for (int i = 0; i < m; i++) {
        const vec *half = i % 2 ? difference : sum;
        vec total = i == m - 1 ? v[t - 1] : i ? half[0] * splat(f->power[0][i]) : half[0];
        if (i == 0 && zero) total += v[0];
#pragma GCC unroll 4
        for (int k = i == m - 1 ? 0 : 1; k < pairs; k++) total += half[k] * splat(f->power[k][i]);
        y[i] = total;
    }
}

/* G g. */
INLINE
void transform_weights(const int t, const int r, const transform *f, const vec *g, vec *v) {
    const int zero = HAS_ZERO(t), pairs = PAIRS(t);
    if (zero) v[0] = g[0] * splat(f->norm_zero);
#pragma GCC unroll 4
    for (int k = 0; k < pairs; k++) {
        vec even = g[0] * splat(f->norm[k]), odd = g[1] * splat(f->norm[k] * f->power[k][1]);
#pragma GCC unroll 8
        for (int j = 2; j < r; j++) {
            if (j % 2)
                odd += g[j] * splat(f->norm[k] * f->power[k][j]);
            else
                even += g[j] * splat(f->norm[k] * f->power[k][j]);
        }
        v[zero + 2 * k] = even + odd;
        v[zero + 2 * k + 1] = zero ? even - odd : odd - even;
    }
    v[t - 1] = g[r - 1];
}

/* The transposes of the last two, for the gradient of the weights, g = G^T [(A y) * (B^T d)]. A y: */
INLINE
void transform_gradient(const int t, const int m, const transform *f, const vec *y, vec *v) {
    const int zero = HAS_ZERO(t), pairs = PAIRS(t);
    if (zero) v[0] = y[0];
#pragma GCC unroll 4
    for (int k = 0; k < pairs; k++) {
        vec even = y[0], odd = y[1] * splat(f->power[k][1]);
#pragma GCC unroll 8
        for (int i = 2; i < m; i++) {
            if (i % 2)
                odd += y[i] * splat(f->power[k][i]);
            else
                even += y[i] * splat(f->power[k][i]);
        }
        v[zero + 2 * k] = even + odd, v[zero + 2 * k + 1] = even - odd;
    }
    v[t - 1] = y[m - 1];
}

/* G^T v. */
INLINE
void transform_products(const int t, const int r, const transform *f, const vec *v, vec *g) {
    const int zero = HAS_ZERO(t), pairs = PAIRS(t);
#pragma GCC unroll 8
    for (int j = 0; j < r; j++) {
        g[j] = j == r - 1 ? v[t - 1] : (vec){0};
        if (j == 0 && zero) g[j] += v[0] * splat(f->norm_zero);
#pragma GCC unroll 4
        for (int k = 0; k < pairs; k++) {
            vec plus = v[zero + 2 * k], minus = v[zero + 2 * k + 1];
            g[j] += (j % 2 == zero ? plus - minus : plus + minus) * splat(f->norm[k] * f->power[k][j]);
        }
    }
}

#endif
