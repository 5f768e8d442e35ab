/* Masked loads at the edges of an image. Included by kernels that have many of them. */
#ifndef FC_EDGE_H
#define FC_EDGE_H

#include "base/simd.h"

#if defined(__AVX2__)
#define load_edge load_masked
#else
/* Lane by lane, which is long: once, and not at every place. */
static NOINLINE vec load_lanes(const real *p, lane_mask inside) { return load_masked(p, inside); }

INLINE
vec load_edge(const real *p, lane_mask inside) { return inside[0] & inside[VL - 1] ? load(p) : load_lanes(p, inside); }
#endif

#endif
