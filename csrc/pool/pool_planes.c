/* The usual pooling of NCHW planes: maximum and average over windows of 2x2 and 3x3 at distances of 1 and 2, and over
 * whole planes; the latter of NHWC images of few channels, too. Called by `fc_pool_run`, which gives everything else to
 * pool.c.
 *
 * Windows: columns of the image are walked down (pool_walk.h).
 * Whole planes: VL planes at a time, whose partial sums are folded into one vector; large ones, and NHWC images, in
 * shares (pool_shares.h).
 * Limit: cache or memory bandwidth. */
#include <math.h>

#include "base/bands.h"
#include "base/parallel.h"
#include "base/simd.h"
#include "base/total.h"
#include "pool/pool_shares.h"
#include "pool/pool_walk.h"
#include "pool/windows.h"

typedef struct {
    const fc_pool *p;
    const real *x;
    real *out;
    int64_t parts;
} planes_job;

static int all_alike(const real *x, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (x[i] != x[0]) return 0;
    return 1;
}

/* Tasks are (plane, part of its rows). */
static int work_windows(const void *context, int64_t begin, int64_t end) {
    const planes_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int64_t kernel = columns->kernel, stride = columns->stride, most = ceil_div(columns->count, VL), count = 0;
    int sum = p->reducer == FC_SUM;
    size_t reals = (size_t)(2 * (columns->count + rows->count)) * sizeof(real);
    pool_column *list = fc_workspace(FC_OWN, (size_t)most * sizeof *list + reals);
    if (!list) return FC_NO_MEMORY;
    real *by_column = (real *)(list + most), *column_inverses = by_column + columns->count;
    real *by_row = column_inverses + columns->count, *row_inverses = by_row + rows->count;
    for (int64_t o = 0; sum && o < columns->count; o++)
        by_column[o] = (real)divisor_of(columns, o), column_inverses[o] = (real)(1 / divisor_of(columns, o));
    for (int64_t o = 0; sum && o < rows->count; o++)
        by_row[o] = (real)divisor_of(rows, o), row_inverses[o] = (real)(1 / divisor_of(rows, o));
    int64_t plane_size = p->height * p->width, out_size = rows->count * columns->count;
    int64_t band = band_rows(beyond_l2(plane_size + out_size), rows->count);
    pool_rows t = {.by_column = by_column,
                   .column_inverses = column_inverses,
                   .by_row = by_row,
                   .row_inverses = row_inverses,
                   .height = p->height,
                   .width = p->width,
                   .out_width = columns->count,
                   .first_row = rows->first,
                   .first_column = columns->first,
                   .ahead = beyond_l1(plane_size + out_size)};
    t.alike = sum && all_alike(by_column, columns->count) && all_alike(by_row, rows->count);
    for (int64_t x = 0; x < columns->count; count++) x = set_pool_column(&list[count], &t, kernel, stride, x);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts, y_end = rows->count * (part + 1) / j->parts;
        t.x = j->x + plane * plane_size, t.out = j->out + plane * out_size;
        for (t.y = rows->count * part / j->parts; t.y < y_end; t.y = t.y_end) {
            int status = fc_called_off();
            if (status) return status;
            t.y_end = min64(t.y + band, y_end);
            for (int64_t c = 0; c < count; c++)
                window_walkers[kernel - 2][stride - 1][list[c].vectors / 2][sum](&list[c], &t);
        }
    }
    return 0;
}

/* Partial results of n reals, a vector of them. */
INLINE
vec partial(const int sum, const real *x, int64_t n) {
    vec a = neutral(sum), b = a;
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) a = combine(sum, a, load(x + i)), b = combine(sum, b, load(x + i + VL));
    if (i + VL <= n) a = combine(sum, a, load(x + i)), i += VL;
    if (i < n && sum)
        b += load_n(x + i, n - i);
    else if (i < n)
        b = combine(0, b, choose(lane_numbers() < (lane)(n - i), load_n(x + i, n - i), neutral(0)));
    return combine(sum, a, b);
}

/* The same of a plane of any size. */
INLINE
vec partial_of_plane(const int sum, const real *x, int64_t n) {
    const int64_t part = 2 * VL * PART_TERMS;
    if (!sum || n <= part) return partial(sum, x, n);
    total all = no_total();
    for (; n > 0; n -= part, x += part) add_part(&all, partial(1, x, min64(n, part)));
    return total_of(&all);
}

/* Halves 2 s vectors, whose lanes l with and without bit s are combined, to s vectors that hold the results of both: in
 * the end lane l of the one that is left has those of vector l. */
#define FOLD(v, s)                                                                                                     \
    _Pragma("GCC unroll 8") for (int i = 0; i < (s); i++) v[i] =                                                       \
        combine(sum, __builtin_shufflevector(v[i], v[i + (s)], LANES(BUTTERFLY_LOW, s, 0)),                            \
                __builtin_shufflevector(v[i], v[i + (s)], LANES(BUTTERFLY_HIGH, s, 0)));

/* Those of `count` small planes side by side, whose loads need not wait for each other's sums; those of a plane are the
 * same whatever lies beside it, which depends on threads. */
INLINE
void partials(const int sum, const int count, const real *x, int64_t n, vec *block) {
    int64_t at = 0;
#pragma GCC unroll 16
    for (int i = 0; i < count; i++) block[i] = neutral(sum);
    for (; at + VL <= n; at += VL)
#pragma GCC unroll 16
        for (int i = 0; i < count; i++) block[i] = combine(sum, block[i], load(x + i * n + at));
    if (at == n) return;
    const lane_mask rest = mask_between(0, n - at);
#pragma GCC unroll 16
    for (int i = 0; i < count; i++)
        block[i] = combine(sum, block[i], load_masked_or(x + i * n + at, rest, neutral(sum)));
}

INLINE
int whole_planes(const int sum, const planes_job *j, int64_t begin, int64_t end) {
    const fc_pool *p = j->p;
    int64_t n = p->height * p->width;
    for (int64_t plane = begin; plane < end; plane += VL) {
        vec block[VL];
        int64_t count = min64(VL, end - plane);
        if (count == VL && n <= VL * PART_TERMS)
            partials(sum, VL, j->x + plane * n, n, block);
        else
            for (int64_t i = 0; i < VL; i++)
                if (i >= count)
                    block[i] = zero();
                else if (n <= VL * PART_TERMS)
                    partials(sum, 1, j->x + (plane + i) * n, n, block + i);
                else
                    block[i] = partial_of_plane(sum, j->x + (plane + i) * n, n);
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 8
        FOLD(block, 8)
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 4
        FOLD(block, 4)
#endif
        if (VL > 2) FOLD(block, 2)
        FOLD(block, 1)
        if (sum) block[0] /= splat((real)(divisor_of(&p->rows, 0) * divisor_of(&p->columns, 0)));
        store_up_to(j->out + plane, block[0], count);
    }
    return 0;
}

static int work_planes(const void *context, int64_t begin, int64_t end) {
    const planes_job *j = context;
    return j->p->reducer == FC_SUM ? whole_planes(1, j, begin, end) : whole_planes(0, j, begin, end);
}

int FC_NAME(pool_planes)(const fc_pool *p, const void *x, void *out, int threads) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    if (p->reducer > FC_SUM) return FC_NOT_MINE;
    int whole = covers(rows) && covers(columns);
    int64_t inner = p->layout == FC_NHWC ? p->channels : 1, reals = p->height * p->width * inner;
    if (whole && inner < VL && (inner > 1 || reals > SHARE_REALS))
        return pool_shares(x, out, p->batch * p->channels / inner, reals, inner, p->reducer == FC_SUM,
                           divisor_of(rows, 0) * divisor_of(columns, 0),
                           (double)(p->batch * p->channels / inner) * (double)reals / 8, threads);
    if (p->layout != FC_NCHW) return FC_NOT_MINE;
    planes_job j = {p, x, out, 1};
    int64_t planes = p->batch * p->channels;
    double elements = (double)planes * (double)(p->height * p->width + rows->count * columns->count);
    double cycles = elements / 8;
    threads = fc_worth(cycles, threads);
    if (whole) return fc_parallel(planes, cycles, threads, work_planes, &j);
    if (rows->kind != FC_SLIDING || columns->kind != FC_SLIDING || rows->kernel != columns->kernel ||
        rows->stride != columns->stride || columns->kernel < 2 || columns->kernel > 3 || columns->stride > 2 ||
        rows->step != 1 || columns->step != 1)
        return FC_NOT_MINE;
    if (planes < 4 * threads) j.parts = min64(ceil_div(rows->count, 4), ceil_div(4 * threads, planes));
    return fc_parallel(planes * j.parts, cycles, threads, work_windows, &j);
}
