/* Ranks in large boxes of bytes. Called by windows.c. */
#ifndef FC_FILTER_COUNTS_H
#define FC_FILTER_COUNTS_H

#include "base/types.h"

/* The byte of that rank in each box; FC_NOT_MINE where a box has more pixels than a count can tell. */
int FC_NAME(filter_counts)(const fc_filter *f, int64_t rank, const void *x, void *out, int threads);

#endif
