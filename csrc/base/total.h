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
    real lane[VL];
    store(lane, v);
#pragma GCC unroll 4
    for (int width = VL / 2; width > 0; width /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}

/* The same for n vectors: VL of them at a time are transposed. Where `odd` is not NULL, it
 * takes the sums of every second lane, and `even` those of the others. */
static inline void sum_lanes_of(const real *vectors, int64_t n, real *even, real *odd) {
    for (int64_t first = 0; first < n; first += VL) {
        int64_t offset[VL], count = min64(VL, n - first);
        vec lane[VL];
        for (int64_t i = 0; i < VL; i++) offset[i] = (first + min64(i, count - 1)) * VL;
        load_transposed(vectors, offset, lane);
#pragma GCC unroll 4
        for (int width = VL / 2; width > 1; width /= 2)
#pragma GCC unroll 8
            for (int l = 0; l < width; l++) lane[l] += lane[l + width];
        store_up_to(even + first, odd ? lane[0] : lane[0] + lane[1], count);
        if (odd) store_up_to(odd + first, lane[1], count);
    }
}

#endif
