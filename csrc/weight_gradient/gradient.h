/* What the kernels for the gradient of a convolution's weights share: the register tile, shares of the reduction, and
 * the way to the user's layout. Included by gradient_*.c. */
#ifndef FC_GRADIENT_H
#define FC_GRADIENT_H

#include "base/parallel.h"
#include "base/total.h"
#include "conv/grid.h"

/* ---- register tile: gradient_tile.c ---- */

/* Neighbouring steps of the reduction: where they begin in both operands, and how many they are. */
typedef struct {
    int64_t cell, pixel, count;
} step_stretch;

typedef struct {
    const real *x, *gradient; /* x[m]: a step's rows; gradient: its vectors of filters, step after step */
    const step_stretch *stretches, *end;
    int64_t width, step; /* reals of `x` from cell to cell, and from step to step */
    real *sums;          /* [row][vectors * VL], added to unless `first` */
    int first;
} gradient_tile;

typedef void gradient_tile_function(const gradient_tile *t);

/* [rows - 1][vectors - 1] */
extern gradient_tile_function *const FC_NAME(gradient_tiles)[MR][NV];

/* Where part `i` begins of `whole`, cut into `count` parts that differ by one at most. */
static inline int64_t part_start(int64_t whole, int64_t count, int64_t i) {
    return whole / count * i + min64(i, whole % count);
}

/* ---- results ---- */

/* Stores the sums [tap][channel][width] of a block of filters and `channels` channels in the user's layout; `to` is the
 * place of the first filter and channel there. */
static inline void unpack_sums(const operands *o, const real *sums, int64_t taps, int64_t channels, int64_t width,
                               int64_t filters, real *to) {
    int64_t rows = channels * taps;
    if (o->nhwc) {
        for (int64_t row = 0; row < rows; row++)
            copy_reals(to + row % channels * o->w_channel + row / channels * o->w_column, sums + row * width, filters);
        return;
    }
    int64_t c = 0, tap = 0; /* channels and their taps follow on each other */
    for (int64_t at = 0; at < rows; at += VL) {
        int64_t offset[VL], n = min64(VL, rows - at);
        for (int64_t l = 0; l < VL; l++) {
            offset[l] = (tap * channels + c) * width;
            if (l + 1 < n && ++tap == taps) tap = 0, c++;
        }
        if (++tap == taps) tap = 0, c++;
        for (int64_t k = 0; k < filters; k += VL) {
            vec lanes[VL];
            load_transposed(sums + k, offset, lanes);
            for (int64_t l = 0; l < min64(VL, filters - k); l++)
                store_up_to(to + (k + l) * o->w_filter + at, lanes[l], n);
        }
    }
}

/* ---- totals: the sums of many parts of the reduction (base/compensated.h) ---- */

/* The sums of parts 0, 1, ... of the reduction: of PART_TERMS parts they are added up in place, and then go to the
 * totals, from where the last part brings them back. A part that begins_anew is not added to what is there. */
typedef struct {
    real *sums, *totals, *rests; /* no totals where there are few parts */
    int64_t part, parts;
} part_sums;

static inline int has_totals(int64_t parts) { return parts > PART_TERMS; }

static inline int begins_anew(const part_sums *s) { return s->part % PART_TERMS == 0; }

/* After a part, for the sums [first, first + n). */
static inline void settle_sums(const part_sums *s, int64_t first, int64_t n) {
    real *sums = s->sums + first, *totals = s->totals + first, *rests = s->rests + first;
    int last = s->part + 1 == s->parts;
    if (!has_totals(s->parts) || !(last || (s->part + 1) % PART_TERMS == 0)) return;
    if (s->part < PART_TERMS)
        copy_reals(totals, sums, n), clear_reals(rests, n);
    else
        add_parts(totals, rests, sums, n);
    if (last) copy_totals(sums, totals, rests, n);
}

/* ---- shares: each has weights of its own, added up at the end ---- */

typedef struct {
    const real *partial;
    real *out;
    int64_t size, shares;
} sum_job;

enum { SUM_REALS = 4096 };

static inline int sum_work(const void *context, int64_t begin, int64_t end) {
    const sum_job *j = context;
    for (int64_t i = begin * SUM_REALS; i < min64(end * SUM_REALS, j->size); i += VL) {
        int64_t n = min64(VL, j->size - i);
        total sum = {load_up_to(j->out + i, n), zero()};
        for (int64_t s = 0; s < j->shares - 1; s++) add_part(&sum, load_up_to(j->partial + s * j->size + i, n));
        store_up_to(j->out + i, total_of(&sum), n);
    }
    return 0;
}

static inline int add_shares(real *out, const real *partial, int64_t size, int64_t shares, int threads) {
    sum_job j = {partial, out, size, shares};
    return fc_parallel(ceil_div(size, SUM_REALS), (double)(size * shares) / VL, threads, sum_work, &j);
}

#endif
