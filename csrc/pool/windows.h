/* What pooling of planes and its gradient share: windows over a whole axis, and division. Included by pool_planes.c and
 * pool_gradient.c. */
#ifndef FC_WINDOWS_H
#define FC_WINDOWS_H

#include "base/simd.h"

/* Is it one window over the whole axis? */
static inline int covers(const fc_windows *w, int64_t size) {
    return w->count == 1 && w->step == 1 && !w->per_plane && w->start[0] == 0 && w->stop[0] == size;
}

/* x / d by a multiplication with r, which is nearly 1 / d, and one correction (Markstein 1990): divisions of vectors
 * are slow. */
INLINE
vec divided(vec x, vec d, vec r) {
    vec q = x * r, rest = x - q * d;
    return choose(rest - rest == zero(), q + rest * r, q);
}

#endif
