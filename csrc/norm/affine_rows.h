/* Rows of memory mapped by numbers of the segments that they belong to. Included by segments.c and batch_norm.c. */
#ifndef FC_AFFINE_ROWS_H
#define FC_AFFINE_ROWS_H

#include "base/simd.h"

/* `other` and `factor` may be NULL; results are kept from `low` to `high`, which may be infinite. */
typedef struct {
    const real *x, *centre, *scale, *shift, *other, *factor;
    real *out;
    real low, high;
} affine;

/* n elements from `at` on. `along_run`: all are of the one segment, else each of its own from there on. */
INLINE
void affine_row(const int along_run, const int both, const affine *j, int64_t at, int64_t segment, int64_t n) {
    vec centre = zero(), scale = zero(), shift = zero(), factor = zero(), low = splat(j->low), high = splat(j->high);
    if (along_run) {
        centre = splat(j->centre[segment]), scale = splat(j->scale[segment]), shift = splat(j->shift[segment]);
        if (both) factor = splat(j->factor[segment]);
    }
    for (int64_t i = 0; i < n; i += VL) {
        int64_t left = n - i;
        if (!along_run) {
            centre = load_up_to(j->centre + segment + i, left), scale = load_up_to(j->scale + segment + i, left);
            shift = load_up_to(j->shift + segment + i, left);
            if (both) factor = load_up_to(j->factor + segment + i, left);
        }
        vec y = (load_up_to(j->x + at + i, left) - centre) * scale + shift;
        if (both) y += load_up_to(j->other + at + i, left) * factor;
        store_up_to(j->out + at + i, at_most(at_least(y, low), high), left);
    }
}

#endif
