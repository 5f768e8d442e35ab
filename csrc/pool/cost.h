/* How much work windows are, from one in the middle of the axis. Included by pool.c and pool_gradient.c. */
#ifndef FC_POOL_COST_H
#define FC_POOL_COST_H

#include "base/types.h"

/* The elements of a window. */
static inline double window_size(const fc_windows *w) {
    int64_t o = w->count / 2;
    return (double)ceil_div(w->stop[o] - w->start[o], w->step);
}

/* The windows that hold a pixel of an axis of `size`. */
static inline double window_readers(const fc_windows *w, int64_t size) {
    return window_size(w) * (double)w->count / (double)size;
}

#endif
