/* Random sizes and arrays, and where their elements are. Included by test_kernels.c, check_operations.c and
 * check_filters.c. */
#ifndef ARRAYS_H
#define ARRAYS_H

#include <stdint.h>

/* All that is random follows from it. */
extern uint64_t state;

/* From low to high, both included. */
int64_t pick(int64_t low, int64_t high);
void *fill(int64_t count, int dtype);
double get(const void *array, int dtype, int64_t i);

/* Fills an array of results with NaN, so that what is not written shows. */
void forget(void *array, int64_t count, int dtype);
/* Infinity where there is a NaN. */
double largest_error(const void *array, const double *want, int64_t count, int dtype);

/* Position of (n, c, y, x) in an image batch. */
int64_t at(int layout, int64_t channels, int64_t height, int64_t width, int64_t n, int64_t c, int64_t y, int64_t x);

/* A random problem of pooling, and of every gradient but that of a convolution's weights: how many results are wrong.
 */
int check_operations(void);

/* Random filters of pictures: how many results are wrong. */
int check_filters(void);

/* Every half to a float and back, and every rounding: how many are wrong. */
int check_halves(void);

#endif
