/* The totals of base/compensated.h in vectors, and in arrays of reals. Included by kernels. */
#ifndef FC_TOTAL_H
#define FC_TOTAL_H

#include "base/compensated.h"
#include "base/simd.h"

/* What has been summed, and what the last addition lost. */
typedef struct {
    vec sum, rest;
} total;

INLINE
total no_total(void) { return (total){zero(), zero()}; }

INLINE
void add_part(total *t, vec part) {
    vec own = part + t->rest, whole = t->sum + own, lost = own - (whole - t->sum);
    t->rest = choose(lost - lost == zero(), lost, zero());
    t->sum = whole;
}

INLINE
vec total_of(const total *t) { return t->sum + t->rest; }

/* The same for n totals. */
INLINE
void add_parts(real *sums, real *rests, const real *parts, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) {
        total t = {load_up_to(sums + i, n - i), load_up_to(rests + i, n - i)};
        add_part(&t, load_up_to(parts + i, n - i));
        store_up_to(sums + i, t.sum, n - i), store_up_to(rests + i, t.rest, n - i);
    }
}

INLINE
void copy_totals(real *to, const real *sums, const real *rests, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) {
        const total t = {load_up_to(sums + i, n - i), load_up_to(rests + i, n - i)};
        store_up_to(to + i, total_of(&t), n - i);
    }
}

/* Half of the lanes to the other half, and so on: the sum of all. */
INLINE
real sum_of_lanes(vec v) {
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 8
    v += SWAPPED(v, 8);
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 4
    v += SWAPPED(v, 4);
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 2
    v += SWAPPED(v, 2);
#endif
    return v[0] + v[1];
}

/* The same for n vectors, halving them from step to step. With `pairs`, even and odd lanes have a sum each, next to
 * each other. */
#define ADD_BUTTERFLY(s)                                                                                               \
    if (s < VL && !(s == 1 && pairs)) {                                                                                \
        _Pragma("GCC unroll 16") for (int i = 0; i < VL; i += 2 * (s)) v[i] =                                          \
            __builtin_shufflevector(v[i], v[i + (s)], LANES(BUTTERFLY_LOW, s, 0)) +                                    \
            __builtin_shufflevector(v[i], v[i + (s)], LANES(BUTTERFLY_HIGH, s, 0));                                    \
    }
INLINE
void sum_lanes_of(const int pairs, const real *vectors, int64_t n, real *to) {
    const int each = pairs ? 2 : 1;
    for (int64_t first = 0; first < n; first += VL / each, to += VL) {
        int64_t count = n - first;
        vec v[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i += each) v[i] = i / each < count ? load(vectors + (first + i / each) * VL) : zero();
        ADD_BUTTERFLY(1)
        ADD_BUTTERFLY(2)
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 4
        ADD_BUTTERFLY(4)
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 8
        ADD_BUTTERFLY(8)
#endif
        store_up_to(to, v[0], count * each);
    }
}
#undef ADD_BUTTERFLY

#endif
