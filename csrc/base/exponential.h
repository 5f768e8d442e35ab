/* The exponential function in vectors, and the activations made of it. Called by epilogue.h.
 *
 * exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) with x = n ln 2 + r, |r| <= ln 2 / 2, and the Taylor series for exp(r) - 1,
 * cut where its rest is below a rounding error; so small x keep all their digits. NaN stays NaN. */
#ifndef FC_EXPONENTIAL_H
#define FC_EXPONENTIAL_H

#include <math.h>

#include "base/simd.h"

#if FC_DOUBLE
enum { EXP_TERMS = 13, MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };
#define EXP_MOST 709.0
#define LN2_HIGH 0x1.62e42feep-1 /* ends in zeros, so that its multiples are exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#else
enum { EXP_TERMS = 7, MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };
#define EXP_MOST 88.0
#define LN2_HIGH 0x1.62ep-1
#define LN2_LOW 0x1.0bfbe8p-15
#endif

/* Gives exp(r) - 1, and 2^n in `power`. */
INLINE
vec exponential_parts(vec x, vec *power) {
    const vec most = splat((real)EXP_MOST), round = splat((real)1.5 * (real)((lane)1 << MANTISSA_BITS));
    x = at_least(at_most(x, most), -most);
    vec shifted = x * splat((real)1.44269504088896340736) + round, n = shifted - round;
    lanes scale = ((lanes)shifted - (lanes)round + EXPONENT_BIAS) << MANTISSA_BITS;
    vec r = x - n * splat((real)LN2_HIGH) - n * splat((real)LN2_LOW), series = splat(1);
#pragma GCC unroll 16
    for (int k = EXP_TERMS; k > 1; k--) series = splat(1) + series * r * splat((real)(1.0 / k));
    *power = (vec)scale;
    return series * r;
}

/* exp(x) for x of at most EXP_MOST; 0 far below. */
INLINE
vec exponential(vec x) {
    vec power, rest = exponential_parts(x, &power);
    return power * rest + power;
}

INLINE
vec exponential_minus_1(vec x) {
    vec power, rest = exponential_parts(x, &power);
    return power * rest + (power - splat(1));
}

INLINE
vec sigmoid(vec x) { return splat(1) / (splat(2) + exponential_minus_1(-x)); }

/* Far below 0 the second factor has vanished, and the first is limited, so that -infinity gives the limit 0. */
INLINE
vec silu(vec x) { return at_least(x, splat(-(real)EXP_MOST)) * sigmoid(x); }

INLINE
vec hyperbolic_tangent(vec x) {
    vec e = exponential_minus_1(x + x);
    return e / (e + splat(2));
}

/* The normal distribution, erfc(-x / sqrt 2) / 2. In float by Chebyshev's approximation of erfc (Press et al.,
 * Numerical Recipes, 6.2), whose relative error is 1.2e-7 at most; in double by the mathematical library. */
#if FC_DOUBLE
static NOINLINE vec normal_share(vec x) {
    for (int i = 0; i < VL; i++) x[i] = 0.5 * erfc(-x[i] * 0.70710678118654752440);
    return x;
}
#else
INLINE
vec normal_share(vec x) {
    static const float series[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                                   -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    vec z = x * splat(-0.70710678118654752440f), size = choose(z < zero(), -z, z);
    vec t = splat(1) / (splat(1) + splat(0.5f) * size), sum = splat(series[0]);
#pragma GCC unroll 16
    for (int k = 1; k < 10; k++) sum = sum * t + splat(series[k]);
    vec power, rest = exponential_parts(sum - size * size, &power), tail = t * (power * rest + power);
    return splat(0.5f) * choose(z < zero(), splat(2) - tail, tail);
}
#endif

/* Limited as silu is. */
INLINE
vec gelu(vec x) { return at_least(x, splat(-40)) * normal_share(x); }

#endif
