/* The complex Fourier transform of a tile of rows x columns points, forwards and back, in place: fourier.c. Used by
 * fft.c and gradient_fft.c. */
#ifndef FC_FOURIER_H
#define FC_FOURIER_H

#include "base/simd.h"

typedef struct {
    int64_t rows, columns; /* products of 2, 3 and 5; columns a multiple of VL, rows of what go together */
    int64_t row_step;      /* from row to row, in reals */
    const real *row_turns, *column_turns;
} fourier;

/* How many rows have a multiple of VL vectors. */
static inline int64_t fourier_rows_together(int64_t columns) { return period_of(VL, columns / VL); }

static inline int64_t fourier_row_step(int64_t rows, int64_t columns) {
    return 2 * columns + (rows > 1 ? 2 * VL : 0); /* columns spread over the sets of L1 */
}

typedef struct {
    vec re, im;
} complex_vec;

INLINE
complex_vec get(const real *p) { return (complex_vec){load(p), load(p + VL)}; }
INLINE
void put(real *p, complex_vec v) { store(p, v.re), store(p + VL, v.im); }
INLINE
complex_vec plus(complex_vec a, complex_vec b) { return (complex_vec){a.re + b.re, a.im + b.im}; }
INLINE
complex_vec times(complex_vec a, complex_vec b) {
    return (complex_vec){a.re * b.re - a.im * b.im, a.im * b.re + a.re * b.im};
}
/* What becomes of a tile: its transform; what was one; or the product with weights and back. */
typedef enum { THERE, BACK, THROUGH } direction;

/* Transforms a buffer, whose area is rows * row_step reals; `weights` in the order of the vectors. */
void FC_NAME(fourier_transform)(direction d, const fourier *f, real *buffer, const real *weights);
/* Its steps, each of which may be done in parts: `count` vectors of columns, THERE or BACK; `count` rows, a multiple of
 * those that go together. Columns come first there, and last back. */
void FC_NAME(fourier_columns)(direction d, const fourier *f, real *buffer, int64_t first, int64_t count);
void FC_NAME(fourier_rows)(direction d, const fourier *f, real *buffer, int64_t first, int64_t count,
                           const real *weights);

/* Writes the roots of all stages, unless `to` is NULL, and returns how many reals they are. Rows end with VL points and
 * have vectors of roots; columns end with 1. */
int64_t FC_NAME(fourier_roots)(int64_t points, int of_rows, real *to);

/* Writes exp(pi i j / (2 * points)) for j < points, of rows or of columns in the order of the roots: 2 * points reals.
 * With point j + points as the imaginary part of point j, and this factor, a transform of so many points is one of
 * twice as many real ones, whose cyclic convolution changes the sign of what comes round: x(t) modulo t^points - i. */
void FC_NAME(fourier_twists)(int64_t points, int of_rows, real *to);

#endif
