/* Copies pixels of an NCHW row, channel by channel, with zeros where the image ends. Used by strip.h, for the direct
 * kernels, and by im2col.c. */
#ifndef FC_PACK_ROW_H
#define FC_PACK_ROW_H

#include "base/simd.h"

/* `n` pixels that are `step` apart, of which [low, high) exist; `from` is the image's row, `at` the position of pixel
 * 0. `to` takes them side by side, and the next channel `to_channel` further on. Up to VL - 1 elements beyond the last
 * of each channel may be overwritten. */
static inline void pack_row(real *to, int64_t to_channel, const real *from, int64_t from_channel, int64_t channels,
                            int64_t step, int64_t at, int64_t n, int64_t low, int64_t high) {
    if (step == 1 && n <= VL) {
        for (int64_t c = 0; c < channels; c++, to += to_channel, from += from_channel)
            store(to, load_between(from + at, low, high));
        return;
    }
    for (int64_t c = 0; c < channels; c++, to += to_channel, from += from_channel) {
        clear_reals(to, low);
        if (step == 1)
            copy_reals(to + low, from + at + low, high - low);
        else if (step == 2)
            for (int64_t i = low; i < high; i++) to[i] = from[at + 2 * i];
        else
            for (int64_t i = low; i < high; i++) to[i] = from[at + i * step];
        clear_reals(to + high, n - high);
    }
}

#endif
