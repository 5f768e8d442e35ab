/* The gradient of average pooling: every pixel is the sum of its windows' shares. Called through `operations.def`.
 *
 * A row of outputs is divided, and spread along the row, into a ring of such rows in L1; a row of pixels is the sum of
 * those whose windows hold it, written once. NCHW has vectors along the row, NHWC over channels. Limit: memory
 * bandwidth. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/readers.h"
#include "base/simd.h"
#include "base/sink.h"
#include "pool/cost.h"
#include "pool/windows.h"

/* How a row is spread: by the windows' grid, with what is in front of vectors; or by the lists of readers. */
typedef enum { STRIDE_1, STRIDE_2, BY_TABLE, BY_LIST, BY_CHANNELS } kind;

enum { MOST_TABLES = 4 };

typedef struct {
    const fc_pool *p;
    const real *gradient;
    real *out;
    int64_t inner, parts; /* reals of a pixel; parts of a plane */
    int past;             /* the caches */
    readers rows, columns;
    kind kind;
    const int32_t *tables; /* [columns.most][width]: readers, or the number of columns where there are no more */
    int64_t before, shares_room, row_room; /* zeros in front of a row's shares; reals */
} pool_gradient_job;

/* ---- sums of rows ---- */

INLINE
void sum_of(const int count, real *out, const real *const *rows, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec sum = load(rows[0] + i);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load(rows[r] + i);
        store(out + i, sum);
    }
    if (i == n) return;
    if (n >= VL) { /* some a second time: nothing here is added to what is there */
        i = n - VL;
        vec sum = load(rows[0] + i);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load(rows[r] + i);
        store(out + i, sum);
    } else {
        vec sum = load_n(rows[0], n);
#pragma GCC unroll 4
        for (int r = 1; r < count; r++) sum += load_n(rows[r], n);
        store_n(out, sum, n);
    }
}

static void sum_rows(real *out, const real *const *rows, int64_t count, int64_t n) {
    switch (count) {
        case 0: clear_reals(out, n); return;
        case 1: sum_of(1, out, rows, n); return;
        case 2: sum_of(2, out, rows, n); return;
        case 3: sum_of(3, out, rows, n); return;
        default: break;
    }
    for (int64_t i = 0; i < n; i += VL) {
        vec sum = load_up_to(rows[0] + i, n - i);
        for (int64_t r = 1; r < count; r++) sum += load_up_to(rows[r] + i, n - i);
        store_up_to(out + i, sum, n - i);
    }
}

/* ---- along a row ---- */

typedef struct {
    real *by_column, *column_inverses;
    real *shares; /* of a row's outputs, with zeros around */
    real *ring;
    const real **terms; /* of a sum */
} scratch;

/* Gives the divisors of an axis, up to a whole vector, followed by their inverses. */
static real *open_divisors(const fc_windows *w, real *to) {
    int64_t padded = round_up(w->count, VL);
    for (int64_t o = 0; o < padded; o++) {
        double divisor = o < w->count ? w->divisor[o] : 1;
        to[o] = (real)divisor, to[padded + o] = (real)(1 / divisor);
    }
    return to + padded;
}

/* Divides all outputs of row y. Whole vectors are written, with zeros behind the last output. */
static void divide_row(const pool_gradient_job *j, const scratch *s, const real *from, int64_t y) {
    int64_t count = j->p->columns.count, inner = j->inner;
    vec by_row = splat((real)j->p->rows.divisor[y]), inverse = splat((real)(1 / j->p->rows.divisor[y]));
    if (inner == 1) {
        for (int64_t o = 0; o < count; o += VL) {
            vec divisor = by_row * load(s->by_column + o), nearly = inverse * load(s->column_inverses + o);
            store(s->shares + o, divided(load_up_to(from + o, count - o), divisor, nearly));
        }
        return;
    }
    for (int64_t o = 0; o < count; o++) {
        vec divisor = by_row * splat(s->by_column[o]), nearly = inverse * splat(s->column_inverses[o]);
        for (int64_t c = 0; c < inner; c += VL)
            store(s->shares + o * inner + c, divided(load_up_to(from + o * inner + c, inner - c), divisor, nearly));
    }
}

INLINE
void spread_by_1(const int64_t kernel, const int64_t step, const real *shares, real *to, int64_t width) {
    for (int64_t x = 0; x < width; x += VL) {
        vec sum = load(shares + x);
#pragma GCC unroll 4
        for (int64_t t = 1; t < kernel; t++) sum += load(shares + x - t * step);
        store(to + x, sum);
    }
}

/* With stride 2, the first of two pixels is pixel 0, 2, ... of its windows, the second pixel 1, 3, ... */
INLINE
void spread_by_2(const int64_t kernel, const real *shares, real *to, int64_t width) {
    for (int64_t x = 0; x < width; x += 2 * VL, shares += VL) {
        vec even = load(shares), odd = kernel > 1 ? even : zero();
#pragma GCC unroll 4
        for (int64_t t = 1; 2 * t < kernel; t++) {
            vec share = load(shares - t);
            even += share;
            if (2 * t + 1 < kernel) odd += share;
        }
        store(to + x, __builtin_shufflevector(even, odd, LANES(ZIP_LOW, 0, 0)));
        store(to + x + VL, __builtin_shufflevector(even, odd, LANES(ZIP_HIGH, 0, 0)));
    }
}

static void spread_by_table(const pool_gradient_job *j, const real *restrict shares, real *restrict to) {
    const int32_t *restrict at = j->tables;
    int64_t width = j->p->width;
    for (int64_t x = 0; x < width; x++) to[x] = shares[at[x]];
    for (int64_t t = 1; t < j->columns.most; t++) {
        at += width;
        for (int64_t x = 0; x < width; x++) to[x] += shares[at[x]];
    }
}

/* Sums the shares of a row for each of its pixels; whole vectors are written. */
static void spread_row(const pool_gradient_job *j, const scratch *s, real *to) {
    const fc_windows *w = &j->p->columns;
    const readers *r = &j->columns;
    int64_t width = j->p->width, pad = -w->first;
    switch (j->kind) {
        case STRIDE_1:
            if (w->kernel == 2)
                spread_by_1(2, w->step, s->shares + pad, to, width);
            else if (w->kernel == 3)
                spread_by_1(3, w->step, s->shares + pad, to, width);
            else
                spread_by_1(w->kernel, w->step, s->shares + pad, to, width);
            return;
        case STRIDE_2:
            if (w->kernel == 2)
                spread_by_2(2, s->shares + pad / 2, to, width + pad % 2);
            else if (w->kernel == 3)
                spread_by_2(3, s->shares + pad / 2, to, width + pad % 2);
            else
                spread_by_2(w->kernel, s->shares + pad / 2, to, width + pad % 2);
            return;
        case BY_TABLE: spread_by_table(j, s->shares, to); return;
        case BY_LIST:
            for (int64_t x = 0; x < width; x++) {
                real sum = 0;
                for (int64_t i = r->begin[x]; i < r->begin[x + 1]; i++) sum += s->shares[r->list[i]];
                to[x] = sum;
            }
            return;
        default:
            for (int64_t x = 0; x < width; x++) {
                int64_t count = r->begin[x + 1] - r->begin[x];
                for (int64_t i = 0; i < count; i++) s->terms[i] = s->shares + r->list[r->begin[x] + i] * j->inner;
                sum_rows(to + x * j->inner, s->terms, count, j->inner);
            }
    }
}

/* ---- planes, or images of NHWC ---- */

static int work(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    const readers *r = &j->rows;
    int64_t columns = p->columns.count, padded = round_up(columns, VL), row = p->width * j->inner;
    int64_t most = max64(r->most, j->columns.most), shift = j->kind == STRIDE_2 ? -p->columns.first % 2 : 0;
    int64_t room = j->past ? sink_room(row) : 0;
    size_t reals = (size_t)(2 * padded + j->shares_room + r->span * j->row_room + round_up(room, VL)) * sizeof(real);
    char *memory = fc_workspace(FC_OWN, reals + (size_t)most * sizeof(real *));
    if (!memory) return FC_NO_MEMORY;
    scratch s = {.by_column = (real *)memory};
    s.column_inverses = open_divisors(&p->columns, s.by_column);
    s.ring = s.column_inverses + padded;
    s.shares = s.ring + r->span * j->row_room;
    sink to = {.buffer = room ? s.shares + j->shares_room : NULL, .room = room, .past = j->past};
    s.terms = (const real **)(memory + reals);
    clear_reals(s.shares, j->shares_room);
    s.shares += j->before;
    double own = window_readers(&p->rows, p->height) + window_readers(&p->columns, p->width);
    int64_t between = fc_steps_between((double)row * own / 8);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        int64_t y = p->height * part / j->parts, y_end = p->height * (part + 1) / j->parts;
        const real *gradient = j->gradient + plane * p->rows.count * columns * j->inner;
        to.out = j->out + (plane * p->height + y) * row;
        for (int64_t next = r->first[y]; y < y_end; y++) {
            int status = y % between == 0 ? fc_called_off() : 0;
            if (status) return status;
            for (; next <= r->last[y]; next++) {
                divide_row(j, &s, gradient + next * columns * j->inner, next);
                spread_row(j, &s, s.ring + next % r->span * j->row_room);
            }
            int64_t count = r->begin[y + 1] - r->begin[y];
            for (int64_t i = 0; i < count; i++)
                s.terms[i] = s.ring + r->list[r->begin[y] + i] % r->span * j->row_room + shift;
            sum_rows(next_row(&to, row), s.terms, count, row);
        }
        flush(&to);
    }
    settle();
    return 0;
}

/* Windows of 2x2, each next to the other, of NCHW: every output is four pixels. Parts are of the outputs' rows. */
static int double_planes(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    int64_t columns = p->columns.count, rows = p->rows.count, width = p->width, used = min64(width, 2 * columns);
    int64_t padded = round_up(columns, VL), room = j->past ? sink_room(2 * width) : 0;
    real *by_column = fc_workspace(FC_OWN, (size_t)(2 * padded + room) * sizeof(real));
    if (!by_column) return FC_NO_MEMORY;
    real *inverses = open_divisors(&p->columns, by_column);
    sink s = {.buffer = room ? inverses + padded : NULL, .room = room, .past = j->past};
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts, y_end = rows * (part + 1) / j->parts;
        int64_t y = rows * part / j->parts;
        for (s.out = j->out + (plane * p->height + 2 * y) * width; y < y_end; y++) {
            const real *gradient = j->gradient + (plane * rows + y) * columns;
            vec by_row = splat((real)p->rows.divisor[y]), inverse = splat((real)(1 / p->rows.divisor[y]));
            int64_t both = 2 * y + 1 < p->height;
            real *first = next_row(&s, (1 + both) * width), *to = first;
            for (int64_t o = 0; 2 * o < used; o += VL, to += 2 * VL) {
                vec share = divided(load_up_to(gradient + o, columns - o), by_row * load(by_column + o),
                                    inverse * load(inverses + o));
                vec left = __builtin_shufflevector(share, share, LANES(ZIP_LOW, 0, 0));
                vec right = __builtin_shufflevector(share, share, LANES(ZIP_HIGH, 0, 0));
                int64_t n = used - 2 * o;
                store_up_to(to, left, n);
                if (n > VL) store_up_to(to + VL, right, n - VL);
                if (!both) continue;
                store_up_to(to + width, left, n);
                if (n > VL) store_up_to(to + width + VL, right, n - VL);
            }
            for (int64_t row = 0; row <= both; row++) clear_reals(first + row * width + used, width - used);
        }
        for (int64_t row = 2 * rows; part + 1 == j->parts && row < p->height; row++)
            clear_reals(next_row(&s, width), width);
        flush(&s);
    }
    settle();
    return 0;
}

static int is_doubling(const fc_windows *w) {
    return w->kernel == 2 && w->stride == 2 && w->step == 1 && w->first == 0;
}

/* Fills planes that have one window, over the whole plane. */
static int fill_planes(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    int64_t n = p->height * p->width;
    real divisor = (real)(p->rows.divisor[0] * p->columns.divisor[0]);
    real *out = j->out + begin * n, *last = j->out + end * n;
    for (int64_t plane = begin; plane < end; plane++, out += n) {
        vec value = splat(j->gradient[plane] / divisor);
        int64_t i = 0;
        /* The last vector may write into the next plane, which comes next. */
        for (; i < n && last - out - i >= VL; i += VL) store(out + i, value);
        if (i < n) store_n(out + i, value, n - i);
    }
    return 0;
}

/* ---- the way through ---- */

static int plan_columns(pool_gradient_job *j) {
    const fc_pool *p = j->p;
    const fc_windows *w = &p->columns;
    int64_t width = p->width, reach = w->count + 1; /* BY_TABLE: a zero behind the shares */
    j->before = 0;
    j->row_room = round_up(width * j->inner + 1, 2 * VL);
    if (j->inner > 1) {
        j->kind = BY_CHANNELS;
        reach = w->count * j->inner + VL;
    } else if (w->kernel && w->stride == 1) {
        j->kind = STRIDE_1;
        j->before = max64(0, (w->kernel - 1) * w->step + w->first);
        reach = max64(w->count, width - w->first + VL);
    } else if (w->kernel && w->stride == 2 && w->step == 1) {
        j->kind = STRIDE_2;
        j->before = max64(0, (w->kernel - 1) / 2 + w->first / 2);
        reach = max64(w->count, -w->first / 2 + j->row_room / 2 + VL);
    } else if (j->columns.most <= MOST_TABLES && j->columns.most > 0) {
        j->kind = BY_TABLE;
        int32_t *tables = malloc((size_t)(j->columns.most * width) * sizeof *tables);
        if (!tables) return FC_NO_MEMORY;
        for (int64_t t = 0; t < j->columns.most; t++)
            for (int64_t x = 0; x < width; x++) {
                int64_t at = j->columns.begin[x] + t;
                tables[t * width + x] = (int32_t)(at < j->columns.begin[x + 1] ? j->columns.list[at] : w->count);
            }
        j->tables = tables;
    } else {
        j->kind = BY_LIST;
    }
    j->before = round_up(j->before, VL);
    j->shares_room = j->before + round_up(reach, VL);
    return 0;
}

/* Windows of one axis at all distances of 1, each with the same divisor. */
static int is_uniform(const fc_windows *w) {
    for (int64_t o = 1; o < w->count; o++)
        if (w->divisor[o] != w->divisor[0]) return 0;
    return w->kernel && w->stride == 1 && w->step == 1;
}

/* The gradient of uniform windows is average pooling too: pixel i lies in the windows i + pad - kernel + 1, ..., i +
 * pad. */
static int pool_back(const fc_pool *p, const void *gradient, void *out, int threads) {
    fc_pool back = *p;
    double *divisors = malloc((size_t)(p->height + p->width) * sizeof *divisors);
    if (!divisors) return FC_NO_MEMORY;
    for (int64_t y = 0; y < p->height; y++) divisors[y] = p->rows.divisor[0];
    for (int64_t x = 0; x < p->width; x++) divisors[p->height + x] = p->columns.divisor[0];
    back.height = p->rows.count, back.width = p->columns.count;
    back.rows.count = p->height, back.rows.first = 1 - p->rows.kernel - p->rows.first, back.rows.divisor = divisors;
    back.columns.count = p->width, back.columns.first = 1 - p->columns.kernel - p->columns.first;
    back.columns.divisor = divisors + p->height;
    int status = FC_NAME(pool_planes)(&back, gradient, out, threads);
    free(divisors);
    return status;
}

int FC_NAME(pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads) {
    int nhwc = p->layout == FC_NHWC;
    pool_gradient_job j = {.p = p, .gradient = gradient, .out = out, .inner = nhwc ? p->channels : 1, .parts = 1};
    int64_t planes = nhwc ? p->batch : p->batch * p->channels;
    double elements =
        (double)(p->batch * p->channels) * (double)(p->height * p->width + p->rows.count * p->columns.count);
    double own = window_readers(&p->rows, p->height) + window_readers(&p->columns, p->width);
    double cycles = elements / 8 * (own > 2 ? own / 2 : 1);
    threads = fc_worth(cycles, threads);
    if (!nhwc && covers(&p->rows, p->height) && covers(&p->columns, p->width))
        return fc_parallel(planes, cycles, threads, fill_planes, &j);
    if (!nhwc && is_uniform(&p->rows) && is_uniform(&p->columns)) {
        int status = pool_back(p, gradient, out, threads);
        if (status != FC_NOT_MINE) return status;
    }
    reading rows = {p->rows.start, p->rows.stop, p->rows.step, p->rows.count};
    reading columns = {p->columns.start, p->columns.stop, p->columns.step, p->columns.count};
    j.past = goes_past((double)(p->batch * p->channels) * (double)(p->height * p->width));
    if (!nhwc && is_doubling(&p->rows) && is_doubling(&p->columns)) {
        if (planes < 4 * threads) j.parts = min64(p->rows.count, ceil_div(4 * threads, planes));
        return fc_parallel(planes * j.parts, cycles, threads, double_planes, &j);
    }
    if (planes < 4 * threads) j.parts = min64(p->height, ceil_div(4 * threads, planes));
    int status = find_readers(&j.rows, p->height, &rows);
    if (!status) status = find_readers(&j.columns, p->width, &columns);
    if (!status) status = plan_columns(&j);
    if (!status) status = fc_parallel(planes * j.parts, cycles, threads, work, &j);
    free_readers(&j.rows), free_readers(&j.columns), free((void *)j.tables);
    return status;
}
