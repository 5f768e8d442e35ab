/* Sums in double, product after product, none of them fused with its addition: as SciPy's filters sum. Called by
 * sums.c; a file of its own because it is compiled without contraction. Limit: conversions to double. */
#include "filter/in_order.h"

#include <math.h>

void FC_NAME(filter_in_order)(const fc_filter_pass *p, const real *const *rows, int64_t channels, int64_t first,
                              real *sums) {
    double total[GROUP] = {0};
    const int64_t *o = p->order;
    for (int64_t t = 0; t < p->order_count; t++, o += 5) {
        const real *a = rows[o[0]] + o[1] * channels + first, *b = rows[o[2]] + o[3] * channels + first;
        double weight = p->order_weights[t], sign = (double)o[4];
        if (o[4])
            for (int i = 0; i < GROUP; i++) total[i] += ((double)a[i] + sign * (double)b[i]) * weight;
        else
            for (int i = 0; i < GROUP; i++) total[i] += (double)a[i] * weight;
    }
    for (int i = 0; i < GROUP; i++) sums[i] = (real)trunc(total[i]);
}
