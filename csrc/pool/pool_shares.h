/* Maximum and average over whole images whose channels lie side by side: NHWC images of few channels, and large NCHW
 * planes, which have one. Included by pool_planes.c.
 *
 * An image is one run of numbers, of which number i belongs to channel i % channels. It is cut into shares, always at
 * the same places, for threads to have one each; so many vectors are combined side by side that each lane keeps its
 * channel. */
#ifndef FC_POOL_SHARES_H
#define FC_POOL_SHARES_H

#include <stdlib.h>

#include "base/parallel.h"
#include "base/total.h"
#include "pool/pool_walk.h"

enum { SHARE_REALS = 1 << 15, MOST_ABREAST = VL > 6 ? VL : 6 };

typedef struct {
    const real *x;
    real *results; /* (images, shares, channels) */
    int64_t channels, reals, shares;
    int sum;
} shares_job;

/* Vectors side by side, MOST_ABREAST at most: a multiple of the channels, and enough to hide the latency of an
 * addition. */
static int64_t abreast(int64_t channels) { return channels * ceil_div(4, channels); }

INLINE
real combine_two(const int sum, real a, real b) { return sum ? a + b : b > a || b != b ? b : a; }

/* The results of `n` reals from the first channel on. */
INLINE
void combine_share(const int sum, const int64_t vectors, int64_t channels, const real *x, int64_t n, real *results) {
    total all[MOST_ABREAST];
#pragma GCC unroll 6
    for (int64_t v = 0; v < vectors; v++) all[v] = (total){neutral(sum), zero()};
    int64_t block = vectors * VL, i = 0;
    while (i + block <= n) {
        vec part[MOST_ABREAST];
#pragma GCC unroll 6
        for (int64_t v = 0; v < vectors; v++) part[v] = load(x + i + v * VL);
        i += block;
        for (int64_t s = 1; s < PART_TERMS && i + block <= n; s++, i += block)
#pragma GCC unroll 6
            for (int64_t v = 0; v < vectors; v++) part[v] = combine(sum, part[v], load(x + i + v * VL));
#pragma GCC unroll 6
        for (int64_t v = 0; v < vectors; v++) {
            if (sum)
                add_part(&all[v], part[v]);
            else
                all[v].sum = combine(0, all[v].sum, part[v]);
        }
    }
    real lanes[MOST_ABREAST * VL];
    for (int64_t v = 0; v < vectors; v++) store(lanes + v * VL, total_of(&all[v]));
    for (int64_t at = 0; i < n; i++, at++) lanes[at] = combine_two(sum, lanes[at], x[i]);
    for (int64_t c = 0; c < channels; c++) {
        results[c] = lanes[c];
        for (int64_t l = c + channels; l < block; l += channels) results[c] = combine_two(sum, results[c], lanes[l]);
    }
}

/* Tasks are (image, share). */
INLINE
int combine_shares(const int sum, const shares_job *j, int64_t begin, int64_t end) {
    int64_t c = j->channels, vectors = abreast(c), each = SHARE_REALS / c * c;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t first = task % j->shares * each, n = min64(each, j->reals - first);
        const real *x = j->x + task / j->shares * j->reals + first;
        if (vectors == 4)
            combine_share(sum, 4, c, x, n, j->results + task * c);
        else if (vectors == 6)
            combine_share(sum, 6, c, x, n, j->results + task * c);
        else
            combine_share(sum, vectors, c, x, n, j->results + task * c);
    }
    return 0;
}

static int work_shares(const void *context, int64_t begin, int64_t end) {
    const shares_job *j = context;
    return j->sum ? combine_shares(1, j, begin, end) : combine_shares(0, j, begin, end);
}

/* Maxima, or sums over `divisor`, of `images` runs of `reals`, of fewer than VL channels, to (images, channels). */
static int pool_shares(const real *x, real *out, int64_t images, int64_t reals, int64_t channels, int sum,
                       double divisor, double cycles, int threads) {
    shares_job j = {x, NULL, channels, reals, ceil_div(reals, SHARE_REALS / channels * channels), sum};
    j.results = malloc((size_t)(images * j.shares * channels) * sizeof(real));
    if (!j.results) return FC_NO_MEMORY;
    int status = fc_parallel(images * j.shares, cycles, threads, work_shares, &j);
    for (int64_t i = 0; i < images * channels && !status; i++) {
        const real *results = j.results + i / channels * j.shares * channels + i % channels;
        real best = results[0], rest = 0;
        for (int64_t s = 1; s < j.shares; s++) {
            real own = results[s * channels];
            if (sum)
                ADD_PART(real, best, rest, own);
            else
                best = combine_two(0, best, own);
        }
        out[i] = sum ? (best + rest) / (real)divisor : best;
    }
    free(j.results);
    return status;
}

#endif
