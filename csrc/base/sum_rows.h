/* The sum of rows that lie anywhere, written once. Included by the gradients of pooling and padding. */
#ifndef FC_SUM_ROWS_H
#define FC_SUM_ROWS_H

#include "base/total.h"

INLINE
void sum_few_rows(const int count, real *out, const real *const *rows, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec sum = load(rows[0] + i);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load(rows[r] + i);
        store(out + i, sum);
    }
    if (i == n) return;
    if (n >= VL) { /* some a second time: nothing here is added to what is there */
        i = n - VL;
        vec sum = load(rows[0] + i);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load(rows[r] + i);
        store(out + i, sum);
    } else {
        vec sum = load_n(rows[0], n);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load_n(rows[r], n);
        store_n(out, sum, n);
    }
}

/* out[i] = the sum of rows[r][i] over `count` rows, for i < n. */
static inline void sum_rows(real *out, const real *const *rows, int64_t count, int64_t n) {
    switch (count) {
        case 0: clear_reals(out, n); return;
        case 1: sum_few_rows(1, out, rows, n); return;
        case 2: sum_few_rows(2, out, rows, n); return;
        case 3: sum_few_rows(3, out, rows, n); return;
        default: break;
    }
    for (int64_t i = 0; i < n; i += VL) {
        total sum = no_total();
        for (int64_t first = 0; first < count; first += PART_TERMS) {
            vec part = load_up_to(rows[first] + i, n - i);
            for (int64_t r = first + 1; r < min64(first + PART_TERMS, count); r++)
                part += load_up_to(rows[r] + i, n - i);
            add_part(&sum, part);
        }
        store_up_to(out + i, total_of(&sum), n - i);
    }
}

#endif
