/* Even and odd numbers of two vectors; with AVX2 by shuffles within 16 bytes, which are the cheapest: in an order that
 * sums may keep until they are stored. Included by the walks of convolution and pooling. */
#ifndef FC_SPLIT_H
#define FC_SPLIT_H

#include "base/simd.h"

#ifdef __AVX512F__ /* any order is one instruction */
#define SPLIT_LANE EVERY_SECOND
#define JOINED_LANE LANE_NUMBER
#else
enum { LANES_16_BYTES = 16 / sizeof(real), LANES_8_BYTES = LANES_16_BYTES / 2 };
#define SPLIT_LANE(first, l)                                                                                           \
    ((l) / LANES_16_BYTES * LANES_16_BYTES + (l) % LANES_8_BYTES * 2 + (first) +                                       \
     ((l) % LANES_16_BYTES < LANES_8_BYTES ? 0 : VL))
#define JOINED_PAIR(q) ((q) < VL / LANES_16_BYTES ? 2 * (q) : 2 * (q) - 2 * (VL / LANES_16_BYTES) + 1)
#define JOINED_LANE(unused, l) (JOINED_PAIR((l) / LANES_8_BYTES) * LANES_8_BYTES + (l) % LANES_8_BYTES)
#endif

#define SPLIT_EVEN(a, b) __builtin_shufflevector(a, b, LANES(SPLIT_LANE, 0, 0))
#define SPLIT_ODD(a, b) __builtin_shufflevector(a, b, LANES(SPLIT_LANE, 1, 0))

/* What was split, in order again. */
INLINE
vec joined(vec split) { return __builtin_shufflevector(split, split, LANES(JOINED_LANE, 0, 0)); }

#endif
