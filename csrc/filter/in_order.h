/* Sums in a given order, for those that an integer is cut off of. Called by sums.c. */
#ifndef FC_FILTER_IN_ORDER_H
#define FC_FILTER_IN_ORDER_H

#include "base/types.h"

enum { GROUP = 16 }; /* sums that are computed again together */

/* `sums` of windows whose rows are `rows`, from number `first` of a row on, cut off. */
void FC_NAME(filter_in_order)(const fc_filter_pass *p, const real *const *rows, int64_t channels, int64_t first,
                              real *sums);

#endif
