/* The exponential function in vectors, the activations made of it, and their slopes. Called by epilogue.h and by
 * norm/activation_gradient.c.
 *
 * exp(x) = 2^n exp(r) with x = n ln 2 + r, |r| <= ln 2 / 2. What is added to x is added to r, so that x may be a sum
 * that has no room in a number. The polynomials are those of the least largest relative error (Remez), with
 * coefficients from the highest on. Every function errs by less than 4 units in the last place wherever its value is a
 * normal number, also beside a zero; tests/test_activation_limits.py has the measured errors. Where exp(x) would be
 * subnormal and its multiple is not, 2^n is scaled, and the product scaled back at the end. NaN stays NaN. */
#ifndef FC_EXPONENTIAL_H
#define FC_EXPONENTIAL_H

#include <math.h>

#include "base/simd.h"

/* Past EXP_MOST, x exp(-x) has vanished; past EXP_FULL, exp(-x). NORMAL_MOST is where the normal distribution has;
 * beyond SLOPE_MOST the slope of silu is 1. */
enum { SCALE = 16 };
#if FC_DOUBLE
enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023 };
#define EXP_MOST 717.0
#define EXP_FULL 709.4
#define NORMAL_MOST 37.9
#define SLOPE_MOST 44.0
#define LN2_HIGH 0x1.62e42feep-1 /* ends in zeros, so that its multiples are exact */
#define LN2_LOW 0x1.a39ef35793c76p-33
#define HIGH_HALF (~(((lane)1 << 27) - 1))
#define SILU_ZERO_HIGH -0x1.474973c84120bp+0
#define SILU_ZERO_LOW -0x1p-53
#define SILU_AT_ZERO 0x1.1d25cf210482ep-2
#define SILU_LOG {-0x1.47497p+0, -0x1.e420905bbe43bp-23, 0x1.4f54a006171fbp-77}
#define GELU_ZERO_HIGH 0x1.80ead197f00b4p-1
#define GELU_ZERO_LOW -0x1.13e74c58cada8p-56
#define NORMAL_POLE 5.0
#else
enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127 };
#define EXP_MOST 93.0
#define EXP_FULL 88.3
#define NORMAL_MOST 13.6
#define SLOPE_MOST 24.0
#define LN2_HIGH 0x1.62ep-1
#define LN2_LOW 0x1.0bfbe8p-15
#define HIGH_HALF (~(((lane)1 << 12) - 1))
#define SILU_ZERO_HIGH -0x1.474974p+0
#define SILU_ZERO_LOW 0.0
#define SILU_AT_ZERO 0x1.1d25dp-2
#define SILU_LOG {-0x1.474p+0, -0x1.2e6002p-13, -0x1.6301d2p-41}
#define GELU_ZERO_HIGH 0x1.80ead2p-1
#define GELU_ZERO_LOW -0x1.a03fd4p-27
#define NORMAL_POLE 4.0
#endif
#define SCALED ((real)1 / ((lane)1 << SCALE))

static const real exponential_series[] = /* (exp(r) - 1 - r) / r^2 */
#if FC_DOUBLE
    {0x1.af77bedcf55bbp-26, 0x1.28a3647713ebep-22, 0x1.71dde961c5edp-19, 0x1.a019a5d3f4b1ep-16, 0x1.a01a01b61c37ap-13,
     0x1.6c16c17f6f86p-10,  0x1.111111110e61ep-7,  0x1.5555555552027p-5, 0x1.555555555555cp-3,  0x1.0000000000005p-1};
#else
    {0x1.6da18ap-10, 0x1.122928p-7, 0x1.55547cp-5, 0x1.5554aep-3, 0x1p-1};
#endif

/* With t the distance from 0 and u = 2 t / (t + a) - 1, a being NORMAL_POLE, for 0 <= t <= NORMAL_MOST. */
static const real normal_series[] = /* (t + a) exp(t^2 / 2) erfc(t / sqrt 2) / 2 */
#if FC_DOUBLE
    {-0x1.37aafa273a1ap-32,  0x1.9791d3c0da426p-30, 0x1.1045713e8384ep-27,  -0x1.21e9375a60f97p-27,
     -0x1.1bb2f3abd8b5cp-24, 0x1.609ef8a2bc185p-25, 0x1.d0e76d9b761fap-22,  -0x1.68668165e6d6bp-22,
     -0x1.73a71ae075eebp-19, 0x1.0b1f40a1a0877p-18, 0x1.17dcad68c3d89p-16,  -0x1.a17082e6ebf84p-15,
     -0x1.f2144fb9bea93p-15, 0x1.1daf1c4846c5ep-11, -0x1.a250380e7c54dp-11, -0x1.88590ea2f54cap-9,
     0x1.54b4d4f4ef2c2p-6,   -0x1.1b1c254c9e9bdp-4, 0x1.51f6329f012cdp-3,   -0x1.410ed5f8759e7p-2,
     0x1.fb31653876f9dp-2,   -0x1.54ad03f27ca17p-1, 0x1.89d3abe1f95aep-1},
#else
    {-0x1.0c4c36p-13, 0x1.8a83d4p-13, 0x1.9c6a94p-10, -0x1.cce9b4p-9, -0x1.ed55cep-8,
     0x1.eed508p-5,   -0x1.7dffccp-3, 0x1.8c6d9cp-2,  -0x1.373e3ap-1, 0x1.82b4bcp-1},
#endif
                  /* (exp(t^2 / 2) erfc(t / sqrt 2) / 2 - t / sqrt(2 pi)) / (z - t), z being its zero */
    gelu_slope_series[] =
#if FC_DOUBLE
        {-0x1.d08f855456025p-36, -0x1.0a8d5ec1f8843p-39, 0x1.bb5bc64c169adp-32,  0x1.1da7385e7e7b4p-32,
         -0x1.ad9b79030234fp-29, -0x1.4f6994a2c49e5p-29, 0x1.7ba9210490f91p-26,  0x1.ac83296cbff7cp-27,
         -0x1.6ad896301306cp-23, 0x1.6f9acf217ad06p-26,  0x1.6d230fb9ce6a1p-20,  -0x1.0b75c4876d8d5p-19,
         -0x1.34bd9b7fd8d32p-17, 0x1.54f8b4fe8d3cp-15,   -0x1.fde2ab9c10606p-17, -0x1.cdee09d1565a7p-12,
         0x1.2dc07799aac0ep-9,   -0x1.e0a9519472fc2p-8,  0x1.23c375899307cp-6,   -0x1.231a8d123844cp-5,
         0x1.ef8423a0a745dp-5,   -0x1.6fce89f8d2b96p-4,  0x1.ce451b41a3bap-2};
#else
        {-0x1.0c6b34p-16, -0x1.ae15d8p-17, 0x1.8573f2p-13, -0x1.48855ep-13, -0x1.d4d71ap-10,
         0x1.37785p-7,    -0x1.cc1dfcp-6,  0x1.ef4fecp-5,  -0x1.a763p-4,    0x1.d94de8p-2};
#endif

INLINE
vec polynomial(const real *series, const int count, vec x) {
    vec sum = splat(series[0]);
#pragma GCC unroll 32
    for (int k = 1; k < count; k++) sum = sum * x + splat(series[k]);
    return sum;
}
#define POLYNOMIAL(series, x) polynomial(series, sizeof(series) / sizeof *(series), x)

INLINE
vec with_sign(vec size, vec x) { return (vec)((lanes)size | ((lanes)x & (lanes)splat((real)-0.0))); }

/* For x - coarse - fine - least: gives exp(r) - 1, and 2^(n + scale) in `power`; `near` is about that number, and
 * decides n. `coarse` ends in zeros, so that its sum with a multiple of LN2_HIGH is exact. */
INLINE
vec exponential_parts(vec near, vec x, vec coarse, vec fine, vec least, lanes scale, vec *power) {
    const vec round = splat((real)1.5 * (real)((lane)1 << MANTISSA_BITS));
    vec shifted = near * splat((real)1.44269504088896340736) + round, n = shifted - round;
    *power = (vec)(((lanes)shifted - (lanes)round + EXPONENT_BIAS + scale) << MANTISSA_BITS);
    vec r = ((x - (n * splat((real)LN2_HIGH) + coarse)) - fine) - (n * splat((real)LN2_LOW) + least);
    return r * r * POLYNOMIAL(exponential_series, r) + r;
}

/* exp(x) 2^scale. */
INLINE
vec exponential(vec x, lanes scale) {
    vec power, rest = exponential_parts(x, x, zero(), zero(), zero(), scale, &power);
    return (rest + splat(1)) * power;
}

/* exp(x) for x of at most EXP_FULL; 0 where that is less than any normal number. */
INLINE
vec exponential_or_zero(vec x) {
    const vec least = splat(-(real)EXP_FULL);
    return choose(x < least, zero(), exponential(at_least(x, least), (lanes){0}));
}

INLINE
vec sigmoid(vec x) {
    x = at_least(at_most(x, splat((real)EXP_FULL)), splat(-(real)EXP_FULL));
    return splat(1) / (splat(1) + exponential(-x, (lanes){0}));
}

/* x / (1 + exp(-x)); far below 0 both parts of the fraction are scaled. */
INLINE
vec silu(vec x) {
    lanes far = x < splat(-64);
    vec one = choose(far, splat(SCALED), splat(1)), low = at_least(x, -splat((real)EXP_MOST));
    vec e = exponential(-at_most(low, splat((real)64)), far & -SCALE);
    return low * one / (one + e);
}

INLINE
vec hyperbolic_tangent(vec x) {
    vec size = at_most(absolute(x), splat(20)), power;
    vec rest = exponential_parts(size + size, size + size, zero(), zero(), zero(), (lanes){0}, &power);
    vec e = power * rest + (power - splat(1)); /* exp(2 |x|) - 1 */
    return with_sign(e / (e + splat(2)), x);
}

/* factor exp(-t^2 / 2); the square is that of t's upper half, which is exact, and what is left. */
INLINE
vec times_density(vec factor, vec t) {
    vec high = (vec)((lanes)t & HIGH_HALF), power;
    vec square = high * high * splat((real)-0.5), less = (t - high) * (t + high) * splat((real)0.5);
    vec rest = exponential_parts(square, square, zero(), less, zero(), (lanes){0} + SCALE, &power);
    return (factor * rest + factor) * power * splat(SCALED);
}

/* x times the normal distribution. Below 0 that is -t R(t) exp(-t^2 / 2), which is subtracted from x above. */
INLINE
vec gelu(vec x) {
    const vec pole = splat((real)NORMAL_POLE);
    vec t = at_most(absolute(x), splat((real)NORMAL_MOST)), sum = t + pole, share = t / sum;
    share -= share * (splat(1) - share) * (t - (sum - pole)) * splat((real)(1 / NORMAL_POLE)); /* the sum's rounding */
    vec product = share * POLYNOMIAL(normal_series, share + share - splat(1));
    return at_least(x, zero()) - times_density(product, t);
}

/* ---- slopes ---- */

/* e / (1 + e)^2 with e = exp(-|x|). */
INLINE
vec sigmoid_slope(vec x) {
    vec e = exponential(-at_most(absolute(x), splat((real)EXP_FULL)), (lanes){0});
    return e / (splat(1) + e * (splat(2) + e));
}

/* 4 e / (1 + e)^2 with e = exp(-2 |x|). */
INLINE
vec tangent_slope(vec x) {
    vec size = at_most(absolute(x), splat((real)(EXP_FULL + 0.7) / 2));
    vec scaled = exponential(-(size + size), (lanes){0} + 2), e = scaled * splat((real)0.25);
    return scaled / (splat(1) + e * (splat(2) + e));
}

/* (exp(x) + x + 1) / (exp(x) + 2 + exp(-x)). The zero z of the first factor has exp(z) = -1 - z, so that the factor is
 * k (exp(x - log k) - 1) + (x + 1 + k) with k, which is exp(z) rounded: two numbers of the same sign. */
INLINE
vec silu_slope(vec x) {
    static const real log_k[] = SILU_LOG;
    const vec z = splat((real)SILU_ZERO_HIGH), k = splat((real)SILU_AT_ZERO);
    x = at_least(at_most(x, splat((real)SLOPE_MOST)), -splat((real)EXP_MOST));
    vec d = x - z, lost = (x - d) - z, power;
    vec rest = exponential_parts(d, x, splat(log_k[0]), splat(log_k[1]), splat(log_k[2]), (lanes){0} + SCALE, &power);
    vec scaled = (rest + splat(1)) * (power * k), full = power * splat(SCALED); /* exp(x) 2^SCALE */
    vec factor = k * (full * rest + (full - splat(1))) + (lost - splat((real)SILU_ZERO_LOW)) + d;
    vec divisor = (scaled * splat(SCALED) + splat(2)) * splat(SCALED) + splat(1) / scaled;
    return factor / divisor * splat(SCALED);
}

/* exp(-t^2 / 2) (R(t) - t / sqrt(2 pi)) below 0, where the second factor has a zero, and 1 minus that above. */
INLINE
vec gelu_slope(vec x) {
    vec t = at_most(absolute(x), splat((real)NORMAL_MOST)), share = t / (t + splat((real)NORMAL_POLE));
    vec factor = (splat((real)GELU_ZERO_HIGH) - t) + splat((real)GELU_ZERO_LOW);
    factor *= POLYNOMIAL(gelu_slope_series, share + share - splat(1));
    vec below = times_density(factor, t);
    return choose(x < zero(), below, splat(1) - below);
}

#endif
