/* The complex Fourier transform of a tile of rows x columns points, forwards and back, in place: fourier.c. Used by
 * fft.c and gradient_fft.c. */
#ifndef FC_FOURIER_H
#define FC_FOURIER_H

#include "base/simd.h"

typedef struct {
    int64_t rows, columns; /* powers of 2; columns a multiple of VL, all points of VL * VL */
    int64_t row_step;      /* from row to row, in reals */
    const real *row_turns, *column_turns;
} fourier;

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
/* What becomes of a tile: its transform; what was one; or the product with weights and back, for which `weights` are
 * in the order of the vectors. */
typedef enum { THERE, BACK, THROUGH } direction;

/* Transforms a buffer, whose area is rows * row_step reals. */
void FC_NAME(fourier_transform)(direction d, const fourier *f, real *buffer, const real *weights);

/* Writes the roots of all stages, unless `to` is NULL, and returns how many reals they are. Rows end with VL points and
 * have vectors of roots; columns end with 1. */
int64_t FC_NAME(fourier_roots)(int64_t points, int of_rows, real *to);

#endif
