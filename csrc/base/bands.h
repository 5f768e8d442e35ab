/* How far down a plane its columns are walked, which depends on whether a core's cache holds it. Included by the walks
 * of convolution and pooling, and by who asks the same of other arrays. */
#ifndef FC_BANDS_H
#define FC_BANDS_H

#include "base/parallel.h"
#include "base/processor.h"
#include "base/types.h"

/* Does an array of so many reals leave no room beside it in a core's cache? */
static inline int beyond_l2(int64_t reals) { return reals * (int64_t)sizeof(real) > fc_l2_bytes() / 2; }

/* Does an array of so many reals not fit next to a core's arithmetic? */
static inline int beyond_l1(int64_t reals) { return reals * (int64_t)sizeof(real) > L1_BYTES; }

/* The rows of outputs that a column has: of a plane beyond L2 it is short. */
enum { BAND_ROWS = 16 };
static inline int64_t band_rows(int beyond, int64_t rows) { return beyond ? BAND_ROWS : rows; }

/* Can tiles ask, with each step, for a part of the memory that their results will go to? All at once, the requests
 * would hold up the pixels. Without enough registers, or for a few steps, that takes longer than it saves. */
#define FETCHES (MR > 6)
enum { STEPS_TO_FETCH = 48 };

#endif
