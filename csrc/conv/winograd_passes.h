/* Winograd's transform of sums as passes along one axis, for every number of points. Included by winograd.h. */
#ifndef FC_WINOGRAD_PASSES_H
#define FC_WINOGRAD_PASSES_H

#include "base/simd.h"
#include "conv/points.h"

/* Transforms along x: `rows` rows of t points of one tile, to [row][M] vectors. */
INLINE
void output_columns(const int t, const transform *f, const real *sums, int64_t point_step, int rows, real *to) {
    for (int i = 0; i < rows; i++, sums += t * point_step, to += M * VL) {
        vec v[MOST_POINTS], y[M];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) v[j] = load(sums + j * point_step);
        if (t == M)
            for (int j = 0; j < M; j++) y[j] = v[j];
        else
            transform_output(t, M, f, v, y);
#pragma GCC unroll 8
        for (int j = 0; j < M; j++) store(to + j * VL, y[j]);
    }
}

/* Transforms along y: [t][M] vectors to M rows of M pixels; with `add`, they are added to what is there. */
INLINE
void output_rows(const int t, const transform *f, const real *from, real *to, int64_t row_step, int add) {
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
typedef void output_columns_function(const transform *f, const real *sums, int64_t point_step, int rows, real *to);
typedef void output_rows_function(const transform *f, const real *from, real *to, int64_t row_step, int add);

#define FUNCTIONS(k)                                                                                                   \
    static void output_columns_##k(const transform *f, const real *sums, int64_t point_step, int rows, real *to) {     \
        output_columns(M + k, f, sums, point_step, rows, to);                                                          \
    }                                                                                                                  \
    static void output_rows_##k(const transform *f, const real *from, real *to, int64_t row_step, int add) {           \
        output_rows(M + k, f, from, to, row_step, add);                                                                \
    }
FUNCTIONS(0)
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
FUNCTIONS(4)
#undef FUNCTIONS
static const struct {
    output_columns_function *columns;
    output_rows_function *rows;
} output_functions[] = {
#define ENTRY(k) {output_columns_##k, output_rows_##k}
    ENTRY(0), ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
#undef ENTRY
};

#endif
