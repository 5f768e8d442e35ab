/* How much work windows are, from one in the middle of the axis. Included by pool.c and pool_gradient.c. */
#ifndef FC_POOL_COST_H
#define FC_POOL_COST_H

#include "pool/windows.h"

/* The elements of a window. */
static inline double window_size(const fc_windows *w) {
    window middle = window_at(w, 0, w->count / 2);
    return (double)ceil_div(middle.stop - middle.start, w->step);
}

/* The windows that hold a pixel. */
static inline double holders_of(const fc_windows *w) { return window_size(w) * (double)w->count / (double)w->size; }

#endif
