/* The ground floor of every kernel source, included by all of them: the floating-point type, the suffix of names, and
 * the arithmetic of counts.
 *
 * A kernel source is compiled once for each instruction set and floating-point type: FC_SUFFIX is the instruction set's
 * name, FC_DOUBLE chooses the type. Everything that such an object defines is static or carries the suffix, so that the
 * linker can never merge code of different instruction sets. */
#ifndef FC_TYPES_H
#define FC_TYPES_H

#include <stdint.h>

#include "fastconv.h"

#define FC_PASTE_(a, b, c) a##_##b##_##c
#define FC_PASTE(a, b, c) FC_PASTE_(a, b, c)
#if FC_DOUBLE
typedef double real;
#define FC_NAME(name) FC_PASTE(name, FC_SUFFIX, f64)
#else
typedef float real;
#define FC_NAME(name) FC_PASTE(name, FC_SUFFIX, f32)
#endif

/* Every operation's definition is checked against its line in operations.def. */
#define FC_OPERATION(name, parameters) int FC_NAME(name) parameters;
#include "operations.def"
#undef FC_OPERATION

static inline int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
static inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }

/* After so many multiples of `step` their remainders by `modulus` come again. */
static inline int64_t period_of(int64_t modulus, int64_t step) {
    int64_t divisor = modulus;
    for (int64_t b = step; b;) {
        int64_t rest = divisor % b;
        divisor = b, b = rest;
    }
    return modulus / divisor;
}

#endif
