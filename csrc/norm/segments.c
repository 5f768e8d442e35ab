/* Sums over segments of an array, and what is done with them: the two passes of every normalisation and of its
 * gradient. Called through `operations.def`. Limit: memory bandwidth.
 *
 * The array is (outer, steps, groups, run): a segment is all of `steps` and `run` for one of (outer, groups), and its
 * numbers are at that place of (outer, groups). Where `run` is 1, vectors lie along the groups, else along the run. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/total.h"
#include "norm/affine_rows.h"
#include "norm/row_sums.h"

/* Elements in a row of memory that a task takes, and rows that are summed by one task at least. */
enum { STRETCH = 4096, SHARE_ELEMENTS = 16384, MOST_SHARES = 64 };

typedef struct {
    const real *x, *other, *centre;
    double *parts; /* (shares, 2, outer * groups) */
    int64_t outer, steps, groups, run, shares, blocks;
} segments_job;

/* As add_row, for groups next to each other, down `steps` rows. */
static void add_columns(const real *x, const real *other, vec centre, int64_t steps, int64_t pitch, int64_t n,
                        double *sum, double *dot) {
    total sums = no_total(), dots = no_total();
    for (int64_t first = 0; first < steps; first += PART_TERMS) {
        vec part = zero(), product = zero();
        for (int64_t s = first; s < min64(first + PART_TERMS, steps); s++) {
            vec above = load_up_to(x + s * pitch, n) - centre;
            vec factor = other ? load_up_to(other + s * pitch, n) : above;
            part += factor, product += factor * above;
        }
        add_part(&sums, part), add_part(&dots, product);
    }
    vec s = total_of(&sums), d = total_of(&dots);
    for (int64_t l = 0; l < min64(n, VL); l++) sum[l] = (double)s[l], dot[l] = (double)d[l];
}

/* Tasks are (outer, share of the steps, block of groups): what a task sums depends on the sizes alone. */
static int sum_work(const void *context, int64_t begin, int64_t end) {
    const segments_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t block = task % j->blocks, share = task / j->blocks % j->shares, a = task / j->blocks / j->shares;
        int64_t first = j->steps * share / j->shares, steps = j->steps * (share + 1) / j->shares - first;
        int64_t wide = j->run > 1 ? 1 : VL, group = block * wide, n = min64(wide, j->groups - group);
        double *sum = j->parts + share * 2 * j->outer * j->groups + a * j->groups + group;
        double *dot = sum + j->outer * j->groups;
        const real *centre = j->centre + a * j->groups + group;
        int64_t pitch = j->groups * j->run, at = (a * j->steps + first) * pitch + group * j->run;
        if (j->run == 1) {
            add_columns(j->x + at, j->other ? j->other + at : NULL, load_up_to(centre, n), steps, pitch, n, sum, dot);
            continue;
        }
        *sum = *dot = 0;
        for (int64_t s = 0; s < steps; s++, at += pitch)
            add_row(j->x + at, j->other ? j->other + at : NULL, splat(*centre), j->run, sum, dot);
    }
    return 0;
}

int FC_NAME(segment_sums)(const void *x, const void *other, const void *centre, double *sums, int64_t outer,
                          int64_t steps, int64_t groups, int64_t run, int threads) {
    int64_t segments = outer * groups, elements = segments * steps * run;
    segments_job j = {x, other, centre, NULL, outer, steps, groups, run, 1, run > 1 ? groups : ceil_div(groups, VL)};
    j.shares = max64(1, min64(min64(steps, MOST_SHARES / max64(1, min64(MOST_SHARES, outer * j.blocks))),
                              elements / SHARE_ELEMENTS));
    j.parts = j.shares == 1 ? sums : malloc((size_t)(j.shares * 2 * segments) * sizeof(double));
    if (!j.parts) return FC_NO_MEMORY;
    int status = fc_parallel(outer * j.shares * j.blocks, (double)elements / 2, threads, sum_work, &j);
    if (j.shares == 1) return status;
    for (int64_t i = 0; i < 2 * segments && !status; i++) {
        sums[i] = 0;
        for (int64_t share = 0; share < j.shares; share++) sums[i] += j.parts[share * 2 * segments + i];
    }
    free(j.parts);
    return status;
}

typedef struct {
    affine map;
    int64_t steps, groups, length, stretches, rows_together, rows;
    int along_run;
} affine_job;

/* Tasks are (some rows, stretch of them). */
static int affine_work(const void *context, int64_t begin, int64_t end) {
    const affine_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t first = task % j->stretches * STRETCH, n = min64(STRETCH, j->length - first);
        int64_t row = task / j->stretches * j->rows_together, last = min64(row + j->rows_together, j->rows);
        for (; row < last; row++) {
            int64_t at = row * j->length + first;
            if (j->along_run) {
                int64_t segment = row / (j->steps * j->groups) * j->groups + row % j->groups;
                (j->map.other ? affine_row(1, 1, &j->map, at, segment, n) : affine_row(1, 0, &j->map, at, segment, n));
            } else {
                int64_t segment = row / j->steps * j->groups + first;
                (j->map.other ? affine_row(0, 1, &j->map, at, segment, n) : affine_row(0, 0, &j->map, at, segment, n));
            }
        }
    }
    return 0;
}

int FC_NAME(segment_affine)(const void *x, const void *centre, const void *scale, const void *shift, const void *other,
                            const void *factor, double low, double high, void *out, int64_t outer, int64_t steps,
                            int64_t groups, int64_t run, int threads) {
    affine_job j = {
        {x, centre, scale, shift, other, factor, out, (real)low, (real)high}, steps, groups, 0, 0, 0, 0, run > 1};
    j.length = run > 1 ? run : groups, j.rows = outer * steps * (run > 1 ? groups : 1);
    j.stretches = ceil_div(j.length, STRETCH), j.rows_together = max64(1, STRETCH / j.length);
    double elements = (double)j.rows * (double)j.length;
    return fc_parallel(ceil_div(j.rows, j.rows_together) * j.stretches, elements / 2, threads, affine_work, &j);
}
