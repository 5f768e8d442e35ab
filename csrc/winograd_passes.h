/* Winograd's transforms of input and sums as passes along one axis, for every number of points. Included by winograd.h. */
#ifndef FC_WINOGRAD_PASSES_H
#define FC_WINOGRAD_PASSES_H

#include "points.h"

/* Along y, in place: `t` rows, `step` apart. */
INLINE void input_rows(const int t, const transform *f, real *rows, int64_t step, int64_t columns) {
    for (int64_t i = 0; i < columns * VL; i += VL) {
        vec d[MOST_POINTS], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) d[j] = load(rows + j * step + i);
        transform_input(t, f, d, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store(rows + j * step + i, v[j]);
    }
}

/* Along x: `tiles` neighbouring tiles from pixels `unit` apart, `seen` of which count, to planes `plane_step` apart; n lanes
 * count. */
INLINE void input_columns(const int t, const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles,
                          real *to, int64_t plane_step, int64_t tile_step, int64_t n) {
    for (int64_t i = 0; i < tiles; i++, pixels += M * unit * VL, to += tile_step) {
        vec d[MOST_POINTS], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) d[j] = j < M || j < seen ? load(pixels + j * unit * VL) : zero();
        if (t == M)
            for (int j = 0; j < t; j++) v[j] = d[j];
        else
            transform_input(t, f, d, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store_up_to(to + j * plane_step, v[j], n);
    }
}

typedef void input_rows_function(const transform *f, real *rows, int64_t step, int64_t columns);
typedef void input_columns_function(const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles, real *to,
                                    int64_t plane_step, int64_t tile_step, int64_t n);
typedef void output_columns_function(const transform *f, const real *sums, int64_t plane_step, int rows, real *to);
typedef void output_rows_function(const transform *f, const real *from, real *to, int64_t row_step, int add);

/* Along x: `rows` rows of t planes of one tile, to [row][M] vectors. */
INLINE void output_columns(const int t, const transform *f, const real *sums, int64_t plane_step, int rows, real *to) {
    for (int i = 0; i < rows; i++, sums += t * plane_step, to += M * VL) {
        vec v[MOST_POINTS], y[M];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) v[j] = load(sums + j * plane_step);
        if (t == M)
            for (int j = 0; j < M; j++) y[j] = v[j];
        else
            transform_output(t, M, f, v, y);
#pragma GCC unroll 8
        for (int j = 0; j < M; j++) store(to + j * VL, y[j]);
    }
}

/* Along y: [t][M] vectors to M rows of M pixels; with `add`, to what is there already. */
INLINE void output_rows(const int t, const transform *f, const real *from, real *to, int64_t row_step, int add) {
    for (int j = 0; j < M; j++, from += VL, to += VL) {
        vec v[MOST_POINTS], y[M];
#pragma GCC unroll 8
        for (int i = 0; i < t; i++) v[i] = load(from + i * M * VL);
        if (t == M)
            for (int i = 0; i < M; i++) y[i] = v[i];
        else
            transform_output(t, M, f, v, y);
#pragma GCC unroll 8
        for (int i = 0; i < M; i++) store(to + i * row_step, add ? y[i] + load(to + i * row_step) : y[i]);
    }
}

/* One set of functions for each number of points, M to M + 4. */
#define FUNCTIONS(k)                                                                                               \
    static void input_rows_##k(const transform *f, real *rows, int64_t step, int64_t columns) {                    \
        input_rows(M + k, f, rows, step, columns);                                                                 \
    }                                                                                                              \
    static void input_columns_##k(const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles,   \
                                  real *to, int64_t plane_step, int64_t tile_step, int64_t n) {                    \
        if (n >= VL)                                                                                               \
            input_columns(M + k, f, pixels, unit, seen, tiles, to, plane_step, tile_step, VL);                     \
        else                                                                                                       \
            input_columns(M + k, f, pixels, unit, seen, tiles, to, plane_step, tile_step, n);                      \
    }                                                                                                              \
    static void output_columns_##k(const transform *f, const real *sums, int64_t plane_step, int rows, real *to) { \
        output_columns(M + k, f, sums, plane_step, rows, to);                                                      \
    }                                                                                                              \
    static void output_rows_##k(const transform *f, const real *from, real *to, int64_t row_step, int add) {       \
        output_rows(M + k, f, from, to, row_step, add);                                                            \
    }
FUNCTIONS(0) FUNCTIONS(1) FUNCTIONS(2) FUNCTIONS(3) FUNCTIONS(4)
static const struct {
    input_rows_function *input_rows;
    input_columns_function *input_columns;
    output_columns_function *output_columns;
    output_rows_function *output_rows;
} functions[] = {
#define ENTRY(k) {input_rows_##k, input_columns_##k, output_columns_##k, output_rows_##k}
    ENTRY(0), ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
};

#endif
