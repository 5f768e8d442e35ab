/* Vectors of `real` as wide as the instruction set has them: GCC and Clang vector extensions for arithmetic, a few
 * intrinsics for what these lack; the size of the register tiles that fit the registers. Included by the kernels. */
#ifndef FC_SIMD_H
#define FC_SIMD_H

#include "base/types.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define VL ((int)(VECTOR_BYTES / sizeof(real)))

/* Register tiles: accumulators, NV vectors and a broadcast must fit the register file. */
#define NV 2
#if defined(__AVX512F__) || defined(__aarch64__)
#define MR 14
#else
#define MR 6
#endif
#define NR (NV * VL)
/* f(rows) for every register tile, of 1 to MR rows. */
#if MR > 6
#define EACH_TILE(f) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14)
#else
#define EACH_TILE(f) f(1) f(2) f(3) f(4) f(5) f(6)
#endif

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real unaligned_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#if FC_DOUBLE
typedef int64_t lane;
#else
typedef int32_t lane;
#endif
typedef lane lanes __attribute__((vector_size(VECTOR_BYTES)));

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
/* Of what runs once for a plan, not for each image: small rather than fast. */
#define COLD __attribute__((cold))

/* GCC 12 has Clang's shuffle of constant lanes; before, it has one that takes the lanes as a vector. */
#if !defined(__clang__) && __GNUC__ < 12
#define __builtin_shufflevector(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif

INLINE
vec load(const real *p) { return *(const unaligned_vec *)p; }
INLINE
void store(real *p, vec v) { *(unaligned_vec *)p = v; }
INLINE
vec splat(real x) { return x - (vec){0}; }
INLINE
vec zero(void) { return (vec){0}; }
/* Holds a finished sum in a register here: compilers otherwise move its computation behind a later branch, and spill
 * what it needs. */
#if defined(__aarch64__)
#define PIN(v) __asm__ volatile("" : "+w"(v))
#elif defined(__x86_64__)
#define PIN(v) __asm__ volatile("" : "+v"(v))
#else
#define PIN(v) (void)(v)
#endif
/* `yes` where the condition's lanes are all ones, else `no`. */
INLINE
vec choose(lanes condition, vec yes, vec no) {
#if VECTOR_BYTES == 32 && FC_DOUBLE
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)condition);
#elif VECTOR_BYTES == 32
    return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)condition);
#else
    return (vec)((condition & (lanes)yes) | (~condition & (lanes)no));
#endif
}

INLINE
vec absolute(vec x) { return (vec)((lanes)x & ~(lanes)splat((real)-0.0)); }

/* The larger, or the smaller; what is not a number stays, and so does a zero's sign. */
INLINE
vec at_least(vec x, vec low) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)_mm512_max_pd((__m512d)low, (__m512d)x);
#elif defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)low, (__m512)x);
#elif defined(__AVX2__) && FC_DOUBLE
    return (vec)_mm256_max_pd((__m256d)low, (__m256d)x);
#elif defined(__AVX2__)
    return (vec)_mm256_max_ps((__m256)low, (__m256)x);
#else
    return choose(x < low, low, x);
#endif
}
INLINE
vec at_most(vec x, vec high) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)_mm512_min_pd((__m512d)high, (__m512d)x);
#elif defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)high, (__m512)x);
#elif defined(__AVX2__) && FC_DOUBLE
    return (vec)_mm256_min_pd((__m256d)high, (__m256d)x);
#elif defined(__AVX2__)
    return (vec)_mm256_min_ps((__m256)high, (__m256)x);
#else
    return choose(x > high, high, x);
#endif
}

/* The larger number of each lane; `best` where both are equal, and what is not a number where one is. */
#ifdef __AVX512F__ /* a comparison fewer: where the best is a number, the second operand wins unless it is less */
INLINE
__m512 larger_f32(__m512 value, __m512 best) {
    return _mm512_mask_max_ps(best, _mm512_cmp_ps_mask(best, best, _CMP_ORD_Q), best, value);
}
INLINE
__m512d larger_f64(__m512d value, __m512d best) {
    return _mm512_mask_max_pd(best, _mm512_cmp_pd_mask(best, best, _CMP_ORD_Q), best, value);
}
#endif
INLINE
vec larger(vec value, vec best) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)larger_f64((__m512d)value, (__m512d)best);
#elif defined(__AVX512F__)
    return (vec)larger_f32((__m512)value, (__m512)best);
#elif defined(__AVX2__) && FC_DOUBLE
    return choose(value != value, value, (vec)_mm256_max_pd((__m256d)value, (__m256d)best));
#elif defined(__AVX2__) /* the second operand wins unless it is less */
    return choose(value != value, value, (vec)_mm256_max_ps((__m256)value, (__m256)best));
#else
    return choose((value > best) | (value != value), value, best);
#endif
}

/* Lane l of the two halves of a butterfly of distance s between vectors a (lanes 0..) and b (lanes VL..). */
#define BUTTERFLY_LOW(s, l) (((l) & (s)) ? VL + (l) - (s) : (l))
#define BUTTERFLY_HIGH(s, l) (((l) & (s)) ? VL + (l) : (l) + (s))
#define LANES_2(f, s, l) f(s, l), f(s, (l) + 1)
#define LANES_4(f, s, l) LANES_2(f, s, l), LANES_2(f, s, (l) + 2)
#define LANES_8(f, s, l) LANES_4(f, s, l), LANES_4(f, s, (l) + 4)
#define LANES_16(f, s, l) LANES_8(f, s, l), LANES_8(f, s, (l) + 8)
#if defined(__AVX512F__)
#define LANES_WIDE LANES_16
#elif defined(__AVX2__)
#define LANES_WIDE LANES_8
#else
#define LANES_WIDE LANES_4
#endif
#if FC_DOUBLE
#if defined(__AVX512F__)
#define LANES LANES_8
#elif defined(__AVX2__)
#define LANES LANES_4
#else
#define LANES LANES_2
#endif
#else
#define LANES LANES_WIDE
#endif

/* Lanes first, first + 2, ... of two vectors in a row. */
#define EVERY_SECOND(first, l) (2 * (l) + (first))
#define LANE_NUMBER(unused, l) (l)
INLINE
lanes lane_numbers(void) { return (lanes){LANES(LANE_NUMBER, 0, 0)}; }

/* Lane i is v[i ^ s], s a constant. */
#define ACROSS(s, l) ((l) ^ (s))
#define SWAPPED(v, s) __builtin_shufflevector(v, v, LANES(ACROSS, s, 0))

/* Lane i is v[index[i]]. */
INLINE
vec permute(vec v, lanes index) {
#if defined(__clang__)
    vec result;
    for (int i = 0; i < VL; i++) result[i] = v[index[i]];
    return result;
#else
    return __builtin_shuffle(v, index);
#endif
}

/* Lanes of memory. */
#if defined(__AVX512F__) && FC_DOUBLE
typedef __mmask8 lane_mask;
#elif defined(__AVX512F__)
typedef __mmask16 lane_mask;
#else
typedef lanes lane_mask;
#endif

/* Lanes [low, high), 0 <= low <= high <= VL. */
INLINE
lane_mask mask_between(int64_t low, int64_t high) {
#if defined(__AVX512F__)
    return (lane_mask)((1u << high) - (1u << low));
#else
    return (lane_numbers() >= (lane)low) & (lane_numbers() < (lane)high);
#endif
}

/* The others are 0, and their memory is not touched. Lanes of a mask are neighbours. */
INLINE
vec load_masked(const real *p, lane_mask inside) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)_mm512_maskz_loadu_pd(inside, p);
#elif defined(__AVX512F__)
    return (vec)_mm512_maskz_loadu_ps(inside, p);
#elif defined(__AVX2__) && FC_DOUBLE
    return (vec)_mm256_maskload_pd(p, (__m256i)inside);
#elif defined(__AVX2__)
    return (vec)_mm256_maskload_ps(p, (__m256i)inside);
#else
    if (inside[0] & inside[VL - 1]) return load(p);
    vec v = {0};
    for (int i = 0; i < VL; i++)
        if (inside[i]) v[i] = p[i];
    return v;
#endif
}
/* The others are `other`. */
INLINE
vec load_masked_or(const real *p, lane_mask inside, vec other) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)_mm512_mask_loadu_pd((__m512d)other, inside, p);
#elif defined(__AVX512F__)
    return (vec)_mm512_mask_loadu_ps((__m512)other, inside, p);
#else
    return choose(inside, load_masked(p, inside), other);
#endif
}
/* `sum` + a * b in the lanes of the mask; the others stay what they are, whatever b is there, where a is 0. */
INLINE
vec add_product_masked(vec sum, vec a, vec b, lane_mask inside) {
#if defined(__AVX512F__) && FC_DOUBLE
    return (vec)_mm512_mask3_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)sum, inside);
#elif defined(__AVX512F__)
    return (vec)_mm512_mask3_fmadd_ps((__m512)a, (__m512)b, (__m512)sum, inside);
#else
    return sum + a * choose(inside, b, zero());
#endif
}
INLINE
vec load_between(const real *p, int64_t low, int64_t high) { return load_masked(p, mask_between(low, high)); }

/* Are stores of some lanes as fast as of all? */
#ifdef __AVX512F__
#define MASKS_STORES 1
#else
#define MASKS_STORES 0
#endif

/* The first n lanes, 0 < n < VL. */
INLINE
vec load_n(const real *p, int64_t n) { return load_between(p, 0, n); }
INLINE
void store_n(real *p, vec v, int64_t n) {
#if defined(__AVX512F__) && FC_DOUBLE
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    for (int i = 0; i < VL; i++) /* masked stores of AVX2 are slow on many processors */
        if (i < n) p[i] = v[i];
#endif
}

/* Stores all lanes, to every second element from p on. */
#define HALF_LOW(unused, l) ((l) / 2)
#define HALF_HIGH(unused, l) (VL / 2 + (l) / 2)
INLINE
void store_every_second(real *p, vec v) {
#if defined(__AVX2__)
    vec low = __builtin_shufflevector(v, v, LANES(HALF_LOW, 0, 0)),
        high = __builtin_shufflevector(v, v, LANES(HALF_HIGH, 0, 0));
#if defined(__AVX512F__) && FC_DOUBLE
    _mm512_mask_storeu_pd(p, 0x55, (__m512d)low), _mm512_mask_storeu_pd(p + VL, 0x55, (__m512d)high);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, 0x5555, (__m512)low), _mm512_mask_storeu_ps(p + VL, 0x5555, (__m512)high);
#else
    lanes even = (lane_numbers() & 1) == 0;
#if FC_DOUBLE
    _mm256_maskstore_pd(p, (__m256i)even, (__m256d)low), _mm256_maskstore_pd(p + VL, (__m256i)even, (__m256d)high);
#else
    _mm256_maskstore_ps(p, (__m256i)even, (__m256)low), _mm256_maskstore_ps(p + VL, (__m256i)even, (__m256)high);
#endif
#endif
#else
    for (int i = 0; i < VL; i++) p[2 * i] = v[i];
#endif
}

/* The lower and the upper lanes of two vectors, in turn. */
#define ZIP_LOW(unused, l) ((l) / 2 + ((l) & 1) * VL)
#define ZIP_HIGH(unused, l) (VL / 2 + (l) / 2 + ((l) & 1) * VL)

INLINE
vec load_up_to(const real *p, int64_t n) { return n >= VL ? load(p) : load_n(p, n); }
INLINE
void store_up_to(real *p, vec v, int64_t n) {
    if (n >= VL)
        store(p, v);
    else
        store_n(p, v, n);
}

/* Loads elements 0, 2, ..., of which there are n; the memory behind the last is not touched. */
INLINE
vec load_every_second(const real *p, int64_t n) {
    vec a = load_up_to(p, 2 * n - 1), b = 2 * n - 1 > VL ? load_up_to(p + VL, 2 * n - 1 - VL) : zero();
    return __builtin_shufflevector(a, b, LANES(EVERY_SECOND, 0, 0));
}

INLINE
void copy_reals(real *to, const real *from, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) store(to + i, load(from + i));
    if (i < n) {
        if (n >= VL)
            store(to + n - VL, load(from + n - VL));
        else
            store_n(to + i, load_n(from + i, n - i), n - i);
    }
}

INLINE
void clear_reals(real *to, int64_t n) {
    for (; n >= VL; n -= VL, to += VL) store(to, zero());
    if (n > 0) store_n(to, zero(), n);
}

static inline void add_reals(real *to, const real *from, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) store(to + i, load(to + i) + load(from + i));
    if (i < n) store_n(to + i, load_n(to + i, n - i) + load_n(from + i, n - i), n - i);
}

#define TRANSPOSE_STEP(v, s)                                                                                           \
    if (s < VL) {                                                                                                      \
        _Pragma("GCC unroll 16") for (int i = 0; i < VL; i++) if (!(i & (s))) {                                        \
            vec a = v[i], b = v[i + (s)];                                                                              \
            v[i] = __builtin_shufflevector(a, b, LANES(BUTTERFLY_LOW, s, 0));                                          \
            v[i + (s)] = __builtin_shufflevector(a, b, LANES(BUTTERFLY_HIGH, s, 0));                                   \
        }                                                                                                              \
    }

/* Transposes the VL x VL matrix whose rows are v[0..VL). */
INLINE
void transpose(vec *v){TRANSPOSE_STEP(v, 1) TRANSPOSE_STEP(v, 2)
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 4
                           TRANSPOSE_STEP(v, 4)
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 8
                               TRANSPOSE_STEP(v, 8)
#endif
}

/* Loads the transpose of the VL x VL matrix whose row i is at p + offset[i]. */
INLINE
void load_transposed(const real *p, const int64_t *offset, vec *v) {
#if defined(__AVX512F__) && !FC_DOUBLE
    /* Quarters of rows are put in their places on the way from memory, which needs no port that shuffles need. */
#pragma GCC unroll 4
    for (int column = 0; column < VL; column += 4) {
        __m512 r[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            r[i] = _mm512_castps128_ps512(_mm_loadu_ps(p + offset[i] + column));
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + offset[i + 4] + column), 1);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + offset[i + 8] + column), 2);
            r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + offset[i + 12] + column), 3);
        }
        __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])),
                high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
        __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3])),
                high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
        v[column] = (vec)_mm512_unpacklo_pd(low01, low23), v[column + 1] = (vec)_mm512_unpackhi_pd(low01, low23);
        v[column + 2] = (vec)_mm512_unpacklo_pd(high01, high23),
                   v[column + 3] = (vec)_mm512_unpackhi_pd(high01, high23);
    }
#else
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) v[i] = load(p + offset[i]);
    transpose(v);
#endif
}

#endif
