/* The usual pooling of NCHW planes: maximum and average over windows of 2x2 and 3x3 at distances of 1 and 2, and over
 * whole planes. Called by `fc_pool_run`, which gives everything else to pool.c.
 *
 * Windows: rows are combined horizontally as they are read, then vertically in registers, ROWS rows of outputs at a
 * time.
 * Whole planes: VL planes at a time, whose partial sums are transposed and combined.
 * Limit: cache or memory bandwidth. */
#include <math.h>

#include "base/parallel.h"
#include "base/rolling.h"
#include "base/total.h"
#include "pool/divided.h"
#include "pool/windows.h"

typedef struct {
    const fc_pool *p;
    const real *x;
    real *out;
    int64_t parts;
} planes_job;

/* Adds, or takes the larger number; NaN wins. */
INLINE
vec combine(const int sum, vec a, vec b) { return sum ? a + b : choose((b > a) | (b != b), b, a); }

INLINE
vec neutral(const int sum) { return splat(sum ? 0 : -(real)INFINITY); }

typedef struct {
    const real *rows[MOST_ROWS];
    real *out;
    const real *by_column, *by_row;             /* divisors, ... */
    const real *column_inverses, *row_inverses; /* ... and 1 / them */
    int64_t width, out_width, first, x, row_count;
} pool_tile;

INLINE
void slide(const int kernel, const int stride, const int sum, const int edge, const pool_tile *t) {
    const int64_t at = t->x * stride + t->first;
    lanes inside[4];
    vec total[ROWS], across[2 * (ROWS - 1) + 3];
    if (edge) edge_masks(kernel, stride, at, t->width, inside);
#pragma GCC unroll 16
    for (int j = 0; j < stride * (ROWS - 1) + kernel; j++) {
        vec tap[4];
#pragma GCC unroll 2
        for (int s = 0; s < kernel; s += 2) load_taps(stride, t->rows[j] + at + s, &tap[s], &tap[s + 1]);
#pragma GCC unroll 3
        for (int s = 0; s < kernel; s++)
            if (edge) tap[s] = choose(inside[s], tap[s], neutral(sum));
        across[j] = combine(sum, tap[0], tap[1]);
        if (kernel == 3) across[j] = combine(sum, across[j], tap[2]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; i++) {
        total[i] = combine(sum, across[stride * i], across[stride * i + 1]);
        if (kernel == 3) total[i] = combine(sum, total[i], across[stride * i + 2]);
        PIN(total[i]);
    }
    int64_t n = t->out_width - t->x;
    vec divisor = zero(), inverse = zero();
    if (sum) divisor = load_up_to(t->by_column + t->x, n), inverse = load_up_to(t->column_inverses + t->x, n);
#pragma GCC unroll 4
    for (int i = 0; i < ROWS; i++) {
        if (i >= t->row_count) break;
        if (sum) total[i] = divided(total[i], divisor * splat(t->by_row[i]), inverse * splat(t->row_inverses[i]));
        store_up_to(t->out + i * t->out_width + t->x, total[i], n);
    }
}

#define SLIDE(kernel, stride)                                                                                          \
    static void max_##kernel##_##stride##_inner(const pool_tile *t) { slide(kernel, stride, 0, 0, t); }                \
    static void max_##kernel##_##stride##_edge(const pool_tile *t) { slide(kernel, stride, 0, 1, t); }                 \
    static void sum_##kernel##_##stride##_inner(const pool_tile *t) { slide(kernel, stride, 1, 0, t); }                \
    static void sum_##kernel##_##stride##_edge(const pool_tile *t) { slide(kernel, stride, 1, 1, t); }
#define SLIDES(kernel, stride)                                                                                         \
    {                                                                                                                  \
        {max_##kernel##_##stride##_inner, max_##kernel##_##stride##_edge}, {                                           \
            sum_##kernel##_##stride##_inner, sum_##kernel##_##stride##_edge                                            \
        }                                                                                                              \
    }
SLIDE(2, 1)
SLIDE(2, 2)
SLIDE(3, 1)
SLIDE(3, 2)

/* [kernel - 2][stride - 1][sum][edge] */
static void (*const slides[2][2][2][2])(const pool_tile *) = {{SLIDES(2, 1), SLIDES(2, 2)},
                                                              {SLIDES(3, 1), SLIDES(3, 2)}};

static int work_windows(const void *context, int64_t begin, int64_t end) {
    const planes_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = p->reducer == FC_SUM;
    int64_t kernel = columns->kernel, stride = columns->stride, beyond = max64(0, -columns->first) + 4 + 3 * VL;
    int64_t reach = columns->first + (columns->count + VL) * stride + kernel - p->width; /* ceil_mode, padding */
    beyond = max64(beyond, reach + VL * stride);
    int64_t room = rows_room(p->width, beyond);
    real *memory = fc_workspace(FC_OWN, (size_t)(room + 2 * (columns->count + rows->count)) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    row_source source =
        open_rows(j->x, p->batch * p->channels, p->height, p->width, beyond, sum ? 0 : -(real)INFINITY, 0, memory);
    real *by_column = memory + room, *column_inverses = by_column + columns->count;
    real *by_row = column_inverses + columns->count, *row_inverses = by_row + rows->count;
    for (int64_t o = 0; sum && o < columns->count; o++)
        by_column[o] = (real)divisor_of(columns, o), column_inverses[o] = (real)(1 / divisor_of(columns, o));
    for (int64_t o = 0; sum && o < rows->count; o++)
        by_row[o] = (real)divisor_of(rows, o), row_inverses[o] = (real)(1 / divisor_of(rows, o));
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts, y_end = rows->count * (part + 1) / j->parts;
        pool_tile t = {.by_column = by_column,
                       .column_inverses = column_inverses,
                       .width = p->width,
                       .out_width = columns->count,
                       .first = columns->first};
        for (int64_t y = rows->count * part / j->parts; y < y_end; y += ROWS) {
            t.row_count = min64(ROWS, y_end - y);
            t.by_row = by_row + y, t.row_inverses = row_inverses + y;
            t.out = j->out + (plane * rows->count + y) * columns->count;
            rows_of(&source, j->x + plane * p->height * p->width, y * stride + rows->first,
                    (int)(stride * (ROWS - 1) + kernel), t.rows);
            for (t.x = 0; t.x < columns->count; t.x += VL) {
                int64_t left = t.x * stride + columns->first, right = left + (VL - 1) * stride + kernel;
                slides[kernel - 2][stride - 1][sum][left < 0 || right > p->width](&t);
            }
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

INLINE
void whole_planes(const int sum, const planes_job *j, int64_t begin, int64_t end) {
    const fc_pool *p = j->p;
    int64_t n = p->height * p->width;
    for (int64_t plane = begin; plane < end; plane += VL) {
        vec block[VL];
        int64_t count = min64(VL, end - plane);
        for (int64_t i = 0; i < VL; i++)
            block[i] = i < count ? partial_of_plane(sum, j->x + (plane + i) * n, n) : zero();
        transpose(block);
#pragma GCC unroll 8
        for (int width = VL / 2; width > 0; width /= 2)
#pragma GCC unroll 8
            for (int i = 0; i < width; i++) block[i] = combine(sum, block[i], block[i + width]);
        if (sum) block[0] /= splat((real)(divisor_of(&p->rows, 0) * divisor_of(&p->columns, 0)));
        store_up_to(j->out + plane, block[0], count);
    }
}

static int work_planes(const void *context, int64_t begin, int64_t end) {
    const planes_job *j = context;
    if (j->p->reducer == FC_SUM)
        whole_planes(1, j, begin, end);
    else
        whole_planes(0, j, begin, end);
    return 0;
}

int FC_NAME(pool_planes)(const fc_pool *p, const void *x, void *out, int threads) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    if (p->layout != FC_NCHW || p->reducer > FC_SUM) return FC_NOT_MINE;
    planes_job j = {p, x, out, 1};
    int64_t planes = p->batch * p->channels;
    double elements = (double)planes * (double)(p->height * p->width + rows->count * columns->count);
    double cycles = elements / 8;
    threads = fc_worth(cycles, threads);
    if (covers(rows) && covers(columns)) return fc_parallel(planes, cycles, threads, work_planes, &j);
    if (rows->kind != FC_SLIDING || columns->kind != FC_SLIDING || rows->kernel != columns->kernel ||
        rows->stride != columns->stride || columns->kernel < 2 || columns->kernel > 3 || columns->stride > 2 ||
        rows->step != 1 || columns->step != 1)
        return FC_NOT_MINE;
    if (planes < 4 * threads) j.parts = min64(ceil_div(rows->count, ROWS), ceil_div(4 * threads, planes));
    return fc_parallel(planes * j.parts, cycles, threads, work_windows, &j);
}
