/* The gradient of average pooling: every pixel is the sum of its windows' shares. Called through `operations.def`.
 *
 * A row of outputs is divided, and spread along the row, into a ring of such rows in L1; a row of pixels is the sum of
 * those whose windows hold it, written once. Where windows are so high that the ring would not fit L2, each such row is
 * added to the rows of pixels instead. NCHW has vectors along the row, NHWC over channels. Limit: memory bandwidth. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/sink.h"
#include "base/sum_rows.h"
#include "pool/cost.h"
#include "pool/divided.h"
#include "pool/holders.h"

/* How a row is spread: by the windows' stride, with what is in front of vectors; or by the holders of each pixel. */
typedef enum { STRIDE_1, STRIDE_2, BY_TABLE, BY_LIST, BY_CHANNELS } kind;

enum { MOST_TABLES = 4 };

typedef struct {
    const fc_pool *p;
    const real *gradient;
    real *out;
    int64_t inner, parts;  /* reals of a pixel; parts of a plane */
    int past, rings;       /* the caches; is there a ring? */
    holders rows, columns; /* of columns only for the last three kinds */
    kind kind;
    const int32_t *tables; /* [columns.most][width]: holders, or the number of columns where there are no more */
    int64_t before, shares_room, row_room; /* zeros in front of a row's shares; reals */
} pool_gradient_job;

/* ---- along a row ---- */

typedef struct {
    real *by_column, *column_inverses;
    real *shares; /* of a row's outputs, with zeros around */
    real *ring;   /* or one row */
    real *beyond;
    const real **terms; /* of a sum */
} scratch;

/* Gives the divisors of an axis, up to a whole vector, followed by their inverses. */
static real *open_divisors(const fc_windows *w, real *to) {
    int64_t padded = round_up(w->count, VL);
    for (int64_t o = 0; o < padded; o++) {
        double divisor = o < w->count ? divisor_of(w, o) : 1;
        to[o] = (real)divisor, to[padded + o] = (real)(1 / divisor);
    }
    return to + padded;
}

/* Divides all outputs of row y. Whole vectors are written, with zeros behind the last output. */
static void divide_row(const pool_gradient_job *j, const scratch *s, const real *from, int64_t y) {
    int64_t count = j->p->columns.count, inner = j->inner;
    double row_divisor = divisor_of(&j->p->rows, y);
    vec by_row = splat((real)row_divisor), inverse = splat((real)(1 / row_divisor));
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

/* The shares at `at`, at - step, ..., of which there are `count`. */
INLINE
vec sum_shares(const int64_t count, const int64_t step, const real *at) {
    vec part = load(at);
    if (count <= PART_TERMS) {
#pragma GCC unroll 4
        for (int64_t t = 1; t < count; t++) part += load(at - t * step);
        return part;
    }
    total sum = no_total();
    for (int64_t first = 0; first < count; first += PART_TERMS) {
        part = load(at - first * step);
        for (int64_t t = first + 1; t < min64(first + PART_TERMS, count); t++) part += load(at - t * step);
        add_part(&sum, part);
    }
    return total_of(&sum);
}

INLINE
void spread_by_1(const int64_t kernel, const int64_t step, const real *shares, real *to, int64_t width) {
    for (int64_t x = 0; x < width; x += VL) store(to + x, sum_shares(kernel, step, shares + x));
}

/* With stride 2, the first of two pixels is pixel 0, 2, ... of its windows, the second pixel 1, 3, ... */
INLINE
void spread_by_2(const int64_t kernel, const real *shares, real *to, int64_t width) {
    for (int64_t x = 0; x < width; x += 2 * VL, shares += VL) {
        vec odd = kernel > 1 ? sum_shares(kernel / 2, 1, shares) : zero();
        vec even = kernel % 2 ? odd + load(shares - kernel / 2) : odd;
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
    const holder *of = j->columns.of;
    int64_t width = j->p->width, pad = -w->first, period = j->columns.period;
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
                real sum = 0, rest = 0;
                for (int64_t o = of[x].first; o <= of[x].last;) {
                    real part = 0;
                    for (int64_t last = min64(o + (PART_TERMS - 1) * period, of[x].last); o <= last; o += period)
                        part += s->shares[o];
                    ADD_PART(real, sum, rest, part);
                }
                to[x] = sum + rest;
            }
            return;
        default:
            for (int64_t x = 0; x < width; x++) {
                int64_t count = 0;
                for (int64_t o = of[x].first; o <= of[x].last; o += period)
                    s->terms[count++] = s->shares + o * j->inner;
                sum_rows(to + x * j->inner, s->terms, count, j->inner);
            }
    }
}

/* ---- planes, or images of NHWC ---- */

/* Scratch with room for so many rows in the ring and terms of a sum, and `beyond` reals behind it; 0, or a status. */
static int open_scratch(const pool_gradient_job *j, int64_t rows, int64_t terms, int64_t beyond, scratch *s) {
    int64_t padded = round_up(j->p->columns.count, VL);
    size_t reals = (size_t)(2 * padded + rows * j->row_room + j->shares_room + round_up(beyond, VL)) * sizeof(real);
    char *memory = fc_workspace(FC_OWN, reals + (size_t)terms * sizeof(real *));
    if (!memory) return FC_NO_MEMORY;
    s->by_column = (real *)memory;
    s->column_inverses = open_divisors(&j->p->columns, s->by_column);
    s->ring = s->column_inverses + padded;
    s->shares = s->ring + rows * j->row_room;
    s->beyond = s->shares + j->shares_room;
    s->terms = (const real **)(memory + reals);
    clear_reals(s->shares, j->shares_room);
    s->shares += j->before;
    return 0;
}

/* Where in a spread row the first pixel stands. */
static int64_t shift_of(const pool_gradient_job *j) { return j->kind == STRIDE_2 ? -j->p->columns.first % 2 : 0; }

static int work_in_ring(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *w = &p->rows;
    int64_t columns = p->columns.count, row = p->width * j->inner, span = j->rows.span, shift = shift_of(j);
    int64_t room = j->past ? sink_room(row) : 0;
    scratch s;
    int status = open_scratch(j, span, max64(j->rows.most, j->columns.most), room, &s);
    if (status) return status;
    sink to = {.buffer = room ? s.beyond : NULL, .room = room, .past = j->past};
    double own = holders_of(w) * holders_of(&p->columns);
    int64_t between = fc_steps_between((double)row * own / 8);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        int64_t y = p->height * part / j->parts, y_end = p->height * (part + 1) / j->parts;
        const real *gradient = j->gradient + plane * w->count * columns * j->inner;
        to.out = j->out + (plane * p->height + y) * row;
        int64_t next = first_beyond(w, &j->rows, y);
        for (window reach = reach_of(w, next); y < y_end; y++) {
            status = y % between == 0 ? fc_called_off() : 0;
            if (status) return status;
            for (; next < w->count && reach.start <= y; reach = reach_of(w, ++next)) {
                divide_row(j, &s, gradient + next * columns * j->inner, next);
                spread_row(j, &s, s.ring + next % span * j->row_room);
            }
            int64_t count = 0;
            for (int64_t o = j->rows.of[y].first; o <= j->rows.of[y].last; o += j->rows.period)
                s.terms[count++] = s.ring + o % span * j->row_room + shift;
            sum_rows(next_row(&to, row), s.terms, count, row);
        }
        flush(&to);
    }
    settle();
    return 0;
}

/* Every row of pixels is summed in the order of its windows; in totals, where they are many. */
static int work_in_place(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *w = &p->rows;
    int64_t columns = p->columns.count, row = p->width * j->inner, shift = shift_of(j);
    scratch s;
    int status = open_scratch(j, 1, j->columns.most, 0, &s);
    if (status) return status;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        int64_t y = p->height * part / j->parts, y_end = p->height * (part + 1) / j->parts;
        const real *gradient = j->gradient + plane * w->count * columns * j->inner;
        real *out = j->out + plane * p->height * row, *own = out + y * row, *rests = NULL;
        int64_t own_reals = (y_end - y) * row;
        clear_reals(own, own_reals);
        if (j->rows.most > PART_TERMS) {
            rests = calloc((size_t)own_reals, sizeof(real));
            if (!rests) return FC_NO_MEMORY;
        }
        for (int64_t o = first_beyond(w, &j->rows, y); o < w->count && reach_of(w, o).start < y_end; o++) {
            window down = window_at(w, 0, o);
            if (down.start < y) down.start += round_up(y - down.start, w->step);
            down.stop = min64(down.stop, y_end);
            if (down.start >= down.stop) continue;
            divide_row(j, &s, gradient + o * columns * j->inner, o);
            spread_row(j, &s, s.ring);
            for (int64_t r = down.start; r < down.stop; r += w->step) {
                if (rests)
                    add_parts(out + r * row, rests + (r - y) * row, s.ring + shift, row);
                else
                    add_reals(out + r * row, s.ring + shift, row);
            }
        }
        if (rests) copy_totals(own, own, rests, own_reals);
        free(rests);
    }
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
            double row_divisor = divisor_of(&p->rows, y);
            vec by_row = splat((real)row_divisor), inverse = splat((real)(1 / row_divisor));
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
    return w->kind == FC_SLIDING && w->kernel == 2 && w->stride == 2 && w->step == 1 && w->first == 0;
}

/* Fills planes that have one window, over the whole plane. */
static int fill_planes(const void *context, int64_t begin, int64_t end) {
    const pool_gradient_job *j = context;
    const fc_pool *p = j->p;
    int64_t n = p->height * p->width;
    real divisor = (real)(divisor_of(&p->rows, 0) * divisor_of(&p->columns, 0));
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
    /* Windows that reach over far more than there are of them would meet zeros, mostly. */
    int by_stride = j->inner == 1 && w->kind == FC_SLIDING && extent_of(w) <= max64(w->count, 64) &&
                    (w->stride == 1 || (w->stride == 2 && w->step == 1));
    int status = by_stride ? 0 : find_holders(&j->columns, w);
    if (status) return status;
    j->before = 0;
    j->row_room = round_up(width * j->inner + 1, 2 * VL);
    if (j->inner > 1) {
        j->kind = BY_CHANNELS;
        reach = w->count * j->inner + VL;
    } else if (by_stride && w->stride == 1) {
        j->kind = STRIDE_1;
        j->before = max64(0, (w->kernel - 1) * w->step + w->first);
        reach = max64(w->count, width - w->first + VL);
    } else if (by_stride) {
        j->kind = STRIDE_2;
        j->before = max64(0, (w->kernel - 1) / 2 + w->first / 2);
        reach = max64(w->count, -w->first / 2 + j->row_room / 2 + VL);
    } else if (j->columns.most <= MOST_TABLES) {
        j->kind = BY_TABLE;
        int32_t *tables = malloc((size_t)(j->columns.most * width) * sizeof *tables);
        if (!tables) return FC_NO_MEMORY;
        for (int64_t t = 0; t < j->columns.most; t++)
            for (int64_t x = 0; x < width; x++) {
                int64_t o = j->columns.of[x].first + t * j->columns.period;
                tables[t * width + x] = (int32_t)(o <= j->columns.of[x].last ? o : w->count);
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
    int whole = w->counted_from <= w->first && w->counted_to >= w->first + w->count - 1 + w->kernel;
    return w->kind == FC_SLIDING && w->stride == 1 && w->step == 1 && (w->divisor != 0 || whole);
}

/* The axis of the gradient's gradient: its pixels are the windows, its windows the pixels. */
static fc_windows windows_back(const fc_windows *w) {
    return (fc_windows){.kind = FC_SLIDING,
                        .size = w->count,
                        .count = w->size,
                        .step = 1,
                        .kernel = w->kernel,
                        .stride = 1,
                        .first = 1 - w->kernel - w->first,
                        .divisor = divisor_of(w, 0)};
}

/* The gradient of uniform windows is average pooling too: pixel i lies in the windows i + pad - kernel + 1, ..., i +
 * pad. */
static int pool_back(const fc_pool *p, const void *gradient, void *out, int threads) {
    fc_pool back = *p;
    back.height = p->rows.count, back.width = p->columns.count;
    back.rows = windows_back(&p->rows), back.columns = windows_back(&p->columns);
    return FC_NAME(pool_planes)(&back, gradient, out, threads);
}

int FC_NAME(pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads) {
    int nhwc = p->layout == FC_NHWC;
    pool_gradient_job j = {.p = p, .gradient = gradient, .out = out, .inner = nhwc ? p->channels : 1, .parts = 1};
    int64_t planes = nhwc ? p->batch : p->batch * p->channels;
    double elements =
        (double)(p->batch * p->channels) * (double)(p->height * p->width + p->rows.count * p->columns.count);
    double own = holders_of(&p->rows) + holders_of(&p->columns);
    double cycles = elements / 8 * (own > 2 ? own / 2 : 1);
    threads = fc_worth(cycles, threads);
    if (!nhwc && covers(&p->rows) && covers(&p->columns)) return fc_parallel(planes, cycles, threads, fill_planes, &j);
    if (!nhwc && is_uniform(&p->rows) && is_uniform(&p->columns)) {
        int status = pool_back(p, gradient, out, threads);
        if (status != FC_NOT_MINE) return status;
    }
    j.past = goes_past((double)(p->batch * p->channels) * (double)(p->height * p->width));
    if (!nhwc && is_doubling(&p->rows) && is_doubling(&p->columns)) {
        if (planes < 4 * threads) j.parts = min64(p->rows.count, ceil_div(4 * threads, planes));
        return fc_parallel(planes * j.parts, cycles, threads, double_planes, &j);
    }
    if (planes < 4 * threads) j.parts = min64(p->height, ceil_div(4 * threads, planes));
    int status = find_holders(&j.rows, &p->rows);
    if (!status) status = plan_columns(&j);
    j.rings = j.rows.span * j.row_room <= max64(fc_l2_bytes() / (int64_t)sizeof(real), 4 * j.row_room);
    if (!status) status = fc_parallel(planes * j.parts, cycles, threads, j.rings ? work_in_ring : work_in_place, &j);
    free_holders(&j.rows), free_holders(&j.columns), free((void *)j.tables);
    return status;
}
