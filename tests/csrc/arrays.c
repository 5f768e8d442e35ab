/* Random sizes and arrays for test_kernels.c and what it calls. */
#include "arrays.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"

uint64_t state;

int64_t pick(int64_t low, int64_t high) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((state >> 33) % (uint64_t)(high - low + 1));
}

static double uniform(void) { return (double)pick(-1000, 1000) / 1000; }

double get(const void *array, int dtype, int64_t i) {
    return dtype == FC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

void *fill(int64_t count, int dtype) {
    /* Exactly as large as it is, so that a checker of memory sees every read beyond it. */
    char *array = malloc((size_t)count * (dtype == FC_F32 ? 4 : 8));
    for (int64_t i = 0; i < count; i++) {
        if (dtype == FC_F32)
            ((float *)array)[i] = (float)uniform();
        else
            ((double *)array)[i] = uniform();
    }
    return array;
}

void forget(void *array, int64_t count, int dtype) { memset(array, 0xff, (size_t)count * (dtype == FC_F32 ? 4 : 8)); }

double largest_error(const void *array, const double *want, int64_t count, int dtype) {
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double error = fabs(get(array, dtype, i) - want[i]);
        if (!(error <= largest)) largest = isnan(error) ? INFINITY : error;
    }
    return largest;
}

/* Position of (n, c, y, x) in an image batch. */
int64_t at(int layout, int64_t channels, int64_t height, int64_t width, int64_t n, int64_t c, int64_t y, int64_t x) {
    return layout == FC_NCHW ? ((n * channels + c) * height + y) * width + x
                             : ((n * height + y) * width + x) * channels + c;
}
