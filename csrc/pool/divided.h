/* Division of vectors by numbers whose inverses are known: by a kernel of average pooling and by its gradient. */
#ifndef FC_DIVIDED_H
#define FC_DIVIDED_H

#include "base/simd.h"

/* x / d by a multiplication with r, which is nearly 1 / d, and one correction (Markstein 1990): divisions of vectors
 * are slow. */
INLINE
vec divided(vec x, vec d, vec r) {
    vec q = x * r, rest = x - q * d;
    return choose(rest - rest == zero(), q + rest * r, q);
}

#endif
