/* The logarithm, the error function, powers and what is made of them, in vectors. Included by elementwise.c.
 *
 * As in base/exponential.h the polynomials have the least largest relative error (Remez), and every function errs by
 * less than 4 units in the last place wherever its value is a normal number; tests/test_program_elementwise.py measures
 * it. Subnormal numbers count as 0. */
#ifndef FC_FUNCTIONS_H
#define FC_FUNCTIONS_H

#include "base/exponential.h"

typedef __typeof__(__builtin_choose_expr(sizeof(lane) == 8, (uint64_t)0, (uint32_t)0)) unsigned_lane;
typedef unsigned_lane unsigned_lanes __attribute__((vector_size(VECTOR_BYTES)));

/* (log((1 + s) / (1 - s)) - 2 s) / s^3 of s^2, for (1 + s) / (1 - s) from sqrt(1/2) to sqrt(2). */
static const real logarithm_series[] =
#if FC_DOUBLE
    {0x1.0c9df82840d5dp-3, 0x1.0faf9f7f28ca2p-3, 0x1.3b1cc66e1845p-3,  0x1.745cf64f670d7p-3,
     0x1.c71c7207f0891p-3, 0x1.2492492473035p-2, 0x1.9999999999a51p-2, 0x1.5555555555555p-1},
#else
    {0x1.de510ep-3, 0x1.2459cep-2, 0x1.9999f2p-2, 0x1.555556p-1},
#endif
                  /* erf(x) / x of x^2, up to 1 */
    error_series[] =
#if FC_DOUBLE
        {0x1.0579a69d4bb26p-34, -0x1.386abe81bc097p-30, 0x1.f7a4112daf135p-27, -0x1.5f1d36a3432d6p-23,
         0x1.b9def1995c1e6p-20, -0x1.f4d1df38db4aep-17, 0x1.f9a321a116d34p-14, -0x1.c02db3d8ecdbep-11,
         0x1.565bcd0db02c7p-8,  -0x1.b82ce3128499cp-6,  0x1.ce2f21a042b2p-4,   -0x1.812746b0379e6p-2,
         0x1.20dd750429b6dp+0};
#define HALF_ROOT_BITS 0x3fe6a09e667f3bcd
#define TWO_THIRDS 0x1.5555555555555p-1
#define TWO_THIRDS_LOW 0x1.5555555555555p-55
#define HIGH_THIRD (~(((lane)1 << 36) - 1))
#else
        {-0x1.438414p-17, 0x1.d82698p-14, -0x1.bcbe9cp-11, 0x1.5628eep-8,
         -0x1.b829a8p-6,  0x1.ce2f08p-4,  -0x1.812746p-2,  0x1.20dd76p+0};
#define HALF_ROOT_BITS 0x3f3504f3
#define TWO_THIRDS 0x1.555556p-1
#define TWO_THIRDS_LOW -0x1.555556p-26
#define HIGH_THIRD (~(((lane)1 << 16) - 1))
#endif

/* x = 2^n (1 + f) with 1 + f from sqrt(1/2) to sqrt(2); gives f, which is exact. */
INLINE
vec fraction_of(vec x, vec *n) {
    const vec round = splat((real)1.5 * (real)((lane)1 << MANTISSA_BITS));
    const unsigned_lane bias = (unsigned_lane)EXPONENT_BIAS << MANTISSA_BITS;
    unsigned_lanes power = ((unsigned_lanes)x + (bias - HALF_ROOT_BITS)) >> MANTISSA_BITS;
    *n = (vec)((unsigned_lanes)round + power) - (round + splat(EXPONENT_BIAS));
    return (vec)((unsigned_lanes)x - ((power - EXPONENT_BIAS) << MANTISSA_BITS)) - splat(1);
}

/* log(x) of a positive number. */
INLINE
vec logarithm_of_positive(vec x) {
    vec n, f = fraction_of(x, &n), s = f / (f + splat(2)), z = s * s, half = f * f * splat((real)0.5);
    vec rest = s * (half + z * POLYNOMIAL(logarithm_series, z)) + n * splat((real)LN2_LOW);
    return n * splat((real)LN2_HIGH) - ((half - rest) - f);
}

INLINE
vec logarithm(vec x) {
    vec infinite = splat((real)INFINITY), other = choose(x == zero(), -infinite, splat((real)NAN));
    return choose(x > zero(), choose(x == infinite, x, logarithm_of_positive(x)), other);
}

/* exp(x + more), up to infinity and down to 0: halfway the power is scaled, so that it has room. */
INLINE
vec whole_exponential(vec x, vec more) {
    lanes high = x > zero();
    vec power, low = at_least(at_most(x, splat((real)EXP_MOST)), -splat((real)EXP_MOST));
    lanes scale = (high & (lanes)((lanes){0} - SCALE)) | (~high & (lanes)((lanes){0} + SCALE));
    vec rest = exponential_parts(low, low, zero(), -more, zero(), scale, &power);
    return (rest + splat(1)) * power * choose(high, splat(1 / SCALED), splat(SCALED));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)); what 1 + e loses is added to the logarithm. */
INLINE
vec soft_plus(vec x) {
    vec e = exponential_or_zero(-absolute(x)), sum = splat(1) + e;
    return at_least(x, zero()) + (logarithm_of_positive(sum) + (e - (sum - splat(1))) / sum);
}

/* 1 - 2 R(t) exp(-t^2 / 2) with t = x sqrt(2), as gelu has it; near 0 by its own series. */
INLINE
vec error_function(vec x) {
    vec t = at_most(absolute(x) * splat((real)1.41421356237309504880), splat((real)NORMAL_MOST));
    vec sum = t + splat((real)NORMAL_POLE), share = t / sum;
    vec above = times_density(POLYNOMIAL(normal_series, share + share - splat(1)) / sum, t);
    vec far = with_sign(splat(1) - (above + above), x);
    return choose(absolute(x) < splat(1), x * POLYNOMIAL(error_series, x * x), far);
}

/* The upper half of a number's digits: products of two of them are exact. */
INLINE
vec upper_half(vec x) { return (vec)((lanes)x & HIGH_HALF); }

/* log(x) of a positive number in two parts, to about one and a half times the digits of one: 2 s + 2/3 s^3 + ...
 * where s, and the cube of its upper third, have two parts. */
INLINE
vec long_logarithm(vec x, vec *rest) {
    const vec share = splat((real)TWO_THIRDS), share_high = upper_half(share), share_low = share - share_high;
    vec n, f = fraction_of(x, &n), d = f + splat(2), s = f / d, z = s * s;
    vec s_high = upper_half(s), s_low = s - s_high, d_high = upper_half(d), d_low = d - d_high;
    vec left = (((f - s_high * d_high) - s_low * d_high) - s_high * d_low) - s_low * d_low;
    left -= s * (f - (d - splat(2)));
    vec u = (vec)((lanes)s & HIGH_THIRD), v = s - u, cube = u * u * u, cube_high = upper_half(cube);
    vec cube_low = cube - cube_high, third = cube * share;
    vec low = ((cube_high * share_high - third) + cube_high * share_low + cube_low * share_high) + cube_low * share_low;
    low += cube * splat((real)TWO_THIRDS_LOW) + share * (v * (splat(3) * u * s + v * v));
    low += s * (z * z * polynomial(logarithm_series, sizeof(logarithm_series) / sizeof(real) - 1, z));
    low += (left + left) / d * (splat(1) + z) + n * splat((real)LN2_LOW);
    vec whole = n * splat((real)LN2_HIGH), high = s + s, sum = whole + high, own = sum - whole;
    low += (whole - (sum - own)) + (high - own);
    vec more = sum + third, added = more - sum;
    low += (sum - (more - added)) + (third - added);
    vec result = more + low;
    *rest = low - (result - more);
    return result;
}

/* Whether numbers that are not negative are whole. */
INLINE
lanes is_whole(vec size) {
    const vec round = splat((real)((lane)1 << MANTISSA_BITS));
    return (size >= round) | ((size + round) - round == size);
}

/* x^y = exp(y log(x)), the product in two parts; and what C says of the rest. */
INLINE
vec power_of(vec x, vec y) {
    const vec infinite = splat((real)INFINITY);
    vec size = absolute(x), rest, log = long_logarithm(size, &rest);
    log = choose(size == zero(), -infinite, choose(size < infinite, log, size));
    vec y_high = upper_half(y), y_low = y - y_high, log_high = upper_half(log), log_low = log - log_high;
    vec product = y * log;
    vec lost = ((y_high * log_high - product) + y_high * log_low + y_low * log_high) + y_low * log_low + y * rest;
    lost = choose(absolute(product) < splat((real)(2 * EXP_MOST)), lost, zero());
    vec result = whole_exponential(product, lost);
    result = choose((size == splat(1)) | (y == zero()), splat(1), result);
    vec steps = absolute(y);
    lanes whole = is_whole(steps), odd = whole & ~is_whole(steps * splat((real)0.5));
    lanes none = (x < zero()) & (size < infinite) & ~whole;
    return choose(none, splat((real)NAN), (vec)((lanes)result | (odd & (lanes)x & (lanes)splat((real)-0.0))));
}

#endif
