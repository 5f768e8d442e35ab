/* The sums of a row of memory that normalisation takes. Included by segments.c and normalise_rows.c. */
#ifndef FC_ROW_SUMS_H
#define FC_ROW_SUMS_H

#include "base/total.h"

enum { CHAINS = 4 }; /* sums side by side: each addition waits for the one before */

/* Adds to `sum` the numbers of a row (of `other`, or what x is above its centre), and to `dot`, unless it is NULL,
 * their products with what x is above its centre. */
INLINE
void add_row(const real *x, const real *other, vec centre, int64_t n, double *sum, double *dot) {
    total sums = no_total(), dots = no_total();
    int64_t i = 0;
    for (; i + PART_TERMS * VL <= n; i += PART_TERMS * VL) {
        vec part[CHAINS] = {zero()}, product[CHAINS] = {zero()};
#pragma GCC unroll 16
        for (int k = 0; k < PART_TERMS; k++) {
            vec above = load(x + i + k * VL) - centre, factor = other ? load(other + i + k * VL) : above;
            part[k % CHAINS] += factor, product[k % CHAINS] += factor * above;
        }
        add_part(&sums, (part[0] + part[1]) + (part[2] + part[3]));
        if (dot) add_part(&dots, (product[0] + product[1]) + (product[2] + product[3]));
    }
    if (i < n) {
        vec part = zero(), product = zero();
        for (; i + VL <= n; i += VL) {
            vec above = load(x + i) - centre, factor = other ? load(other + i) : above;
            part += factor, product += factor * above;
        }
        if (i < n) {
            vec above = choose(lane_numbers() < (lane)(n - i), load_n(x + i, n - i) - centre, zero());
            vec factor = other ? load_n(other + i, n - i) : above;
            part += factor, product += factor * above;
        }
        add_part(&sums, part);
        if (dot) add_part(&dots, product);
    }
    *sum += (double)sum_of_lanes(total_of(&sums));
    if (dot) *dot += (double)sum_of_lanes(total_of(&dots));
}

#endif
