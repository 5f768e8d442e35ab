/* Are all numbers of an array finite, and none far larger than the others in the mean? Called through `operations.def`,
 * before a transform is taken whose results are to be strict. Limit: cache or memory bandwidth.
 *
 * Magnitudes are added in vectors, a part of them at a time, and parts in double. Threads take shares that follow from
 * the count alone. */
#include "base/compensated.h"
#include "base/parallel.h"
#include "base/simd.h"
#include "base/total.h"

enum { CHAINS = 4, PART = CHAINS * PART_TERMS * VL, SHARE = 16 * PART, MOST_SHARES = 256 };

/* So that a part of the largest numbers does not overflow, nor all parts of any array. */
#if FC_DOUBLE
static const real SCALE = 0x1p-80;
#else
static const real SCALE = 0x1p-12f;
#endif

/* Scaled magnitudes: the largest, but for what is not a number, and the sum of all. */
typedef struct {
    double largest, sum;
} magnitudes;

typedef struct {
    const real *x;
    magnitudes *shares;
    int64_t count, each;
} even_job;

INLINE
vec magnitude(vec x) { return (vec)((lanes)x & ~(lanes)splat((real)-0.0)); }

static magnitudes magnitudes_of(const real *x, int64_t n) {
    const vec scale = splat(SCALE);
    vec most[CHAINS] = {zero()};
    double sum = 0;
    for (int64_t first = 0; first < n; first += PART) {
        int64_t i = first, end = min64(first + PART, n);
        vec part[CHAINS] = {zero()};
        for (; i + CHAINS * VL <= end; i += CHAINS * VL)
#pragma GCC unroll 4
            for (int c = 0; c < CHAINS; c++) {
                vec own = magnitude(load(x + i + c * VL));
                most[c] = at_least(own, most[c]), part[c] += own * scale;
            }
        for (; i < end; i += VL) {
            vec own = magnitude(load_up_to(x + i, end - i));
            most[0] = at_least(own, most[0]), part[0] += own * scale;
        }
        sum += (double)sum_of_lanes((part[0] + part[1]) + (part[2] + part[3]));
    }
    vec all = at_least(at_least(most[0], most[1]), at_least(most[2], most[3]));
    real largest = 0;
    for (int l = 0; l < VL; l++) largest = all[l] > largest ? all[l] : largest;
    return (magnitudes){(double)(largest * SCALE), sum};
}

static void add_magnitudes(magnitudes *all, magnitudes own) {
    all->largest = own.largest > all->largest ? own.largest : all->largest, all->sum += own.sum;
}

static int even_work(const void *context, int64_t begin, int64_t end) {
    const even_job *j = context;
    for (int64_t share = begin; share < end; share++) {
        magnitudes all = {0, 0};
        for (int64_t i = share * j->each, to = min64(i + j->each, j->count); i < to; i += SHARE) {
            int status = fc_called_off();
            if (status) return status;
            add_magnitudes(&all, magnitudes_of(j->x + i, min64(SHARE, to - i)));
        }
        j->shares[share] = all;
    }
    return 0;
}

int FC_NAME(is_even)(const void *x, int64_t count, double far, int threads) {
    magnitudes shares[MOST_SHARES], all = {0, 0};
    even_job j = {x, shares, count, max64(1, ceil_div(count, SHARE * (int64_t)MOST_SHARES)) * SHARE};
    int64_t n = ceil_div(count, j.each);
    int status = fc_parallel(n, (double)count * sizeof(real) / 20, threads, even_work, &j);
    if (status) return status;
    for (int64_t i = 0; i < n; i++) add_magnitudes(&all, shares[i]);
    /* What is not finite makes a sum, or a difference, that is no number: no comparison with that holds. */
    double others = all.sum - all.largest;
    int even = count < 2 ? all.sum - all.sum == 0 : all.largest * (double)(count - 1) <= far * others;
    return even ? 0 : FC_NOT_MINE;
}
