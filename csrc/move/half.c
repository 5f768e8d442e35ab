/* Arrays of half precision (IEEE 754 binary16) to floats and back, with the bits that NumPy's `astype` gives. Compiled
 * once for each instruction set, called by `fc_to_floats` and `fc_to_halves`.
 *
 * AVX-512 and F16C have instructions for it; without them, and for the last elements, it is done in integers, in loops
 * that the compiler turns into vectors. Subnormal halves are normal floats, and are made by float arithmetic, in which
 * no float is subnormal: such ones are flushed to zero here. Limit: memory bandwidth. */
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"

enum { PART = 8192 };

/* Bits of floats without the sign: 2^-14, below which halves are subnormal; 65520, from which on they are infinite;
 * infinity; what the exponents differ by; the bit that makes a NaN quiet. */
enum { LEAST_NORMAL = 0x38800000, OVERFLOWS = 0x477ff000, INFINITE = 0x7f800000, BIAS = 112 << 23, QUIET = 1 << 22 };

INLINE
int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
INLINE
float of_bits(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE
float float_of(uint16_t half) {
    int32_t size = half & 0x7fff, subnormal = bits_of((float)size * 0x1p-24f), bits = (size << 13) + BIAS;
    bits += size >= 0x7c00 ? BIAS : 0;
    bits |= size > 0x7c00 ? QUIET : 0;
    bits = size < 0x400 ? subnormal : bits;
    return of_bits(bits | (int32_t)((uint32_t)(half & 0x8000) << 16));
}

/* Rounds to nearest, ties to even. */
INLINE
uint16_t half_of(float x) {
    int32_t bits = bits_of(x), size = bits & 0x7fffffff;
    int32_t normal = (size - BIAS + 0xfff + (size >> 13 & 1)) >> 13; /* a carry goes into the exponent, as it should */
    int32_t subnormal = bits_of(of_bits(size) + 0.5f) - bits_of(0.5f); /* the last bit of 0.5f is 2^-24, too */
    int32_t special = size > INFINITE ? (size | QUIET) >> 13 & 0x7fff : 0x7c00;
    int32_t half = size < LEAST_NORMAL ? subnormal : size < OVERFLOWS ? normal : special;
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

/* Negative but where a finite number becomes infinite; of `lanes`, too. */
#define STAYS_FINITE(size) (((size) - OVERFLOWS) | (INFINITE - 1 - (size)))

typedef struct {
    const void *from;
    void *to;
    int64_t count;
    atomic_int *overflow;
} half_job;

static int to_floats(const void *context, int64_t begin, int64_t end) {
    const half_job *j = context;
    const uint16_t *restrict halves = j->from;
    float *restrict floats = j->to;
    int64_t i = begin * PART, last = min64(end * PART, j->count);
#if defined(__AVX512F__)
    for (; i + VL <= last; i += VL)
        store(floats + i, (vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(halves + i))));
#elif defined(__F16C__)
    for (; i + VL <= last; i += VL)
        store(floats + i, (vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
#endif
    for (; i < last; i++) floats[i] = float_of(halves[i]);
    return 0;
}

static int to_halves(const void *context, int64_t begin, int64_t end) {
    const half_job *j = context;
    const float *restrict floats = j->from;
    uint16_t *restrict halves = j->to;
    int64_t i = begin * PART, last = min64(end * PART, j->count);
    int32_t finite = -1;
#if defined(__F16C__)
    lanes finite_lanes = (lanes){0} - 1;
    for (; i + VL <= last; i += VL) {
        vec x = load(floats + i);
#if defined(__AVX512F__)
        _mm256_storeu_si256((__m256i *)(halves + i), _mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT));
#else
        _mm_storeu_si128((__m128i *)(halves + i), _mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT));
#endif
        lanes size = (lanes)x & 0x7fffffff;
        finite_lanes &= STAYS_FINITE(size);
    }
    for (int l = 0; l < VL; l++) finite &= finite_lanes[l];
#endif
    for (; i < last; i++) {
        int32_t size = bits_of(floats[i]) & 0x7fffffff;
        halves[i] = half_of(floats[i]);
        finite &= STAYS_FINITE(size);
    }
    if (finite >= 0) atomic_store_explicit(j->overflow, 1, memory_order_relaxed);
    return 0;
}

/* In the caches: in memory, a thread more is worth its waking all the sooner. */
static double cycles_of(int64_t count) { return (double)count * (VECTOR_BYTES > 16 ? 0.25 : 1); }

int FC_NAME(to_floats)(const void *halves, void *floats, int64_t count, int threads) {
    half_job j = {halves, floats, count, NULL};
    return fc_parallel(ceil_div(count, PART), cycles_of(count), threads, to_floats, &j);
}

int FC_NAME(to_halves)(const void *floats, void *halves, int64_t count, int threads) {
    atomic_int overflow = 0;
    half_job j = {floats, halves, count, &overflow};
    int status = fc_parallel(ceil_div(count, PART), cycles_of(count), threads, to_halves, &j);
    return status ? status : atomic_load(&overflow) ? FC_OVERFLOW : 0;
}
