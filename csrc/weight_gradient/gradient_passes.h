/* The transforms of the gradient of Winograd's weights as passes along one axis, for every number of points: tiles of
 * the output's gradient to points, and sums of points to taps. M is defined by the kernel that includes it. Included by
 * gradient_winograd.h. */
#ifndef FC_GRADIENT_PASSES_H
#define FC_GRADIENT_PASSES_H

#include "base/simd.h"
#include "conv/points.h"
#include "conv/tiling.h"

/* Transforms along y: M rows of `columns` pixels to t rows. */
INLINE
void gradient_rows(const int t, const transform *f, const real *from, int64_t step, int64_t columns, real *to) {
    for (int64_t i = 0; i < columns * VL; i += VL) {
        vec y[M], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < M; j++) y[j] = load(from + j * step + i);
        if (t == M)
            for (int j = 0; j < M; j++) v[j] = y[j];
        else
            transform_gradient(t, M, f, y, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store(to + j * step + i, v[j]);
    }
}

/* Transforms along x: `tiles` neighbouring tiles of M pixels, `unit` apart, to points. */
INLINE
void gradient_columns(const int t, const transform *f, const real *pixels, int64_t unit, int64_t tiles, real *to,
                      int64_t point_step, int64_t tile_step) {
    for (int64_t i = 0; i < tiles; i++, pixels += M * unit * VL, to += tile_step) {
        vec y[M], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < M; j++) y[j] = load(pixels + j * unit * VL);
        if (t == M)
            for (int j = 0; j < M; j++) v[j] = y[j];
        else
            transform_gradient(t, M, f, y, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store(to + j * point_step, v[j]);
    }
}

/* Transforms along either axis: t vectors to taps, `lines` times. A single tap is the sum of all pixels. */
INLINE
void products_to_taps(const int t, const transform *f, const real *from, int64_t step, int lines, int64_t line_step,
                      real *to, int64_t to_step, int64_t to_line_step) {
    const int taps = t - M + 1;
    for (int i = 0; i < lines; i++, from += line_step, to += to_line_step) {
        vec v[MOST_POINTS], g[MOST_TAPS];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) v[j] = load(from + j * step);
        if (taps == 1) {
            g[0] = v[0];
            for (int j = 1; j < M; j++) g[0] += v[j];
        } else {
            transform_products(t, taps, f, v, g);
        }
#pragma GCC unroll 8
        for (int j = 0; j < taps; j++) store(to + j * to_step, g[j]);
    }
}

typedef void gradient_rows_function(const transform *f, const real *from, int64_t step, int64_t columns, real *to);
typedef void gradient_columns_function(const transform *f, const real *pixels, int64_t unit, int64_t tiles, real *to,
                                       int64_t point_step, int64_t tile_step);
typedef void products_function(const transform *f, const real *from, int64_t step, int lines, int64_t line_step,
                               real *to, int64_t to_step, int64_t to_line_step);

/* One set of functions for each number of points, M to M + 4. */
#define FUNCTIONS(k)                                                                                                   \
    static void gradient_rows_##k(const transform *f, const real *from, int64_t step, int64_t columns, real *to) {     \
        gradient_rows(M + k, f, from, step, columns, to);                                                              \
    }                                                                                                                  \
    static void gradient_columns_##k(const transform *f, const real *pixels, int64_t unit, int64_t tiles, real *to,    \
                                     int64_t point_step, int64_t tile_step) {                                          \
        gradient_columns(M + k, f, pixels, unit, tiles, to, point_step, tile_step);                                    \
    }                                                                                                                  \
    static void products_to_taps_##k(const transform *f, const real *from, int64_t step, int lines, int64_t line_step, \
                                     real *to, int64_t to_step, int64_t to_line_step) {                                \
        products_to_taps(M + k, f, from, step, lines, line_step, to, to_step, to_line_step);                           \
    }
FUNCTIONS(0)
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
FUNCTIONS(4)
#undef FUNCTIONS
static const struct {
    gradient_rows_function *rows;
    gradient_columns_function *columns;
    products_function *products;
} gradient_functions[] = {
#define ENTRY(k) {gradient_rows_##k, gradient_columns_##k, products_to_taps_##k}
    ENTRY(0), ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
#undef ENTRY
};

#endif
