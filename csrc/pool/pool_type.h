/* Pooling of one element type T; included once for each by pool.c, which says whether T has NaN and what is lowest.
 *
 * The bodies of pool.c's tasks: rows of windows one at a time, maxima with their places (pool_maxima.h), parts of NCHW
 * planes (or of NHWC images of few channels), and parts of the channels of an NHWC row of outputs. */

INLINE
int NAMED(wins)(T value, T best) { return value > best || IS_NAN(value); }

INLINE
T NAMED(combine)(T value, T best, int sum) { return sum ? (T)(best + value) : NAMED(wins)(value, best) ? value : best; }

/* ---- totals of parts (base/compensated.h) ---- */

static void NAMED(add_parts)(T *restrict sum, T *restrict rest, const T *restrict part, int64_t n) {
    for (int64_t i = 0; i < n; i++) ADD_PART(T, sum[i], rest[i], part[i]);
}

static void NAMED(take_totals)(T *restrict out, const T *restrict sum, const T *restrict rest, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = sum[i] + rest[i];
}

/* ---- whole rows: maximum and sum of windows, first down the columns, then along the row ---- */

/* out[i] combines x[i * stride + t * step] for t < taps; all but n constant where it is called. */
INLINE
void NAMED(combine_taps)(T *restrict out, const T *restrict x, int64_t n, int64_t stride, int64_t step, int taps,
                         int sum) {
    for (int64_t i = 0; i < n; i++) {
        T best = x[i * stride];
#pragma GCC unroll 4
        for (int t = 1; t < taps; t++) best = NAMED(combine)(x[i * stride + t * step], best, sum);
        out[i] = best;
    }
}

static void NAMED(combine_row)(T *restrict acc, const T *restrict x, int64_t n, int sum) {
    if (sum)
        for (int64_t i = 0; i < n; i++) acc[i] = NAMED(combine)(x[i], acc[i], 1);
    else
        for (int64_t i = 0; i < n; i++) acc[i] = NAMED(combine)(x[i], acc[i], 0);
}

/* Combines `count` rows x, x + step, ... */
static void NAMED(combine_rows)(T *restrict row, const T *restrict x, int64_t n, int64_t step, int64_t count, int sum) {
    memcpy(row, x, (size_t)n * sizeof(T));
    for (int64_t r = 1; r < count; r++) NAMED(combine_row)(row, x + r * step, n, sum);
}

/* The same, of a few rows in one pass, of many in totals, which have room for 2 n numbers. */
static void NAMED(down_columns)(T *restrict row, const T *restrict x, int64_t n, int64_t step, int64_t count, int sum,
                                T *restrict totals) {
    if (count == 2)
        sum ? NAMED(combine_taps)(row, x, n, 1, step, 2, 1) : NAMED(combine_taps)(row, x, n, 1, step, 2, 0);
    else if (count == 3)
        sum ? NAMED(combine_taps)(row, x, n, 1, step, 3, 1) : NAMED(combine_taps)(row, x, n, 1, step, 3, 0);
    else if (!sum || count <= PART_TERMS)
        NAMED(combine_rows)(row, x, n, step, count, sum);
    else {
        memset(totals, 0, (size_t)(2 * n) * sizeof(T));
        for (int64_t r = 0; r < count; r += PART_TERMS) {
            NAMED(combine_rows)(row, x + r * step, n, step, min64(PART_TERMS, count - r), 1);
            NAMED(add_parts)(totals, totals + n, row, n);
        }
        NAMED(take_totals)(row, totals, totals + n, n);
    }
}

/* Combines the taps [from, to) of windows at regular distances, of pixels of `inner` channels. */
static void NAMED(combine_taps_of)(const fc_windows *w, T *restrict out, const T *restrict first, int64_t from,
                                   int64_t to, int64_t inner, int sum) {
    int64_t n = w->count * inner, step = w->step * inner, stride = w->stride * inner;
    if (w->stride == 1) {
        NAMED(combine_rows)(out, first + from * step, n, step, to - from, sum);
        return;
    }
    for (int64_t c = 0; c < inner; c++) {
        const T *tap = first + from * step + c;
        for (int64_t o = 0; o < w->count; o++) out[o * inner + c] = tap[o * stride];
        for (int64_t i = from + 1; i < to; i++) {
            tap += step;
            for (int64_t o = 0; o < w->count; o++)
                out[o * inner + c] = NAMED(combine)(tap[o * stride], out[o * inner + c], sum);
        }
    }
}

/* Combines the n elements x, x + step, ... */
static T NAMED(combine_run)(const T *restrict x, int64_t n, int64_t step, int sum) {
    T best = x[0];
    if (!sum || n <= PART_TERMS) {
        for (int64_t i = 1; i < n; i++) best = NAMED(combine)(x[i * step], best, sum);
        return best;
    }
    T total = 0, rest = 0;
    for (int64_t at = 0; at < n; at += PART_TERMS) {
        best = x[at * step];
        for (int64_t i = at + 1; i < min64(at + PART_TERMS, n); i++) best += x[i * step];
        ADD_PART(T, total, rest, best);
    }
    return total + rest;
}

/* out[o] = from[o * stride], in pixels of `inner` channels. */
INLINE
void NAMED(pick)(T *restrict out, const T *restrict from, int64_t count, int64_t stride, int64_t inner) {
    for (int64_t o = 0; o < count; o++)
        for (int64_t c = 0; c < inner; c++) out[o * inner + c] = from[o * stride * inner + c];
}

/* Windows at small distances are combined at every pixel, in vectors, to `all`; then those that there are are picked.
 */
static void NAMED(combine_and_pick)(const fc_windows *w, T *restrict out, const T *restrict first, int64_t inner,
                                    int sum, T *restrict all) {
    NAMED(combine_rows)(all, first, ((w->count - 1) * w->stride + 1) * inner, w->step * inner, w->kernel, sum);
    switch (inner) {
        case 1: NAMED(pick)(out, all, w->count, w->stride, 1); return;
        case 2: NAMED(pick)(out, all, w->count, w->stride, 2); return;
        case 3: NAMED(pick)(out, all, w->count, w->stride, 3); return;
        case 4: NAMED(pick)(out, all, w->count, w->stride, 4); return;
        default: NAMED(pick)(out, all, w->count, w->stride, inner); return;
    }
}

#define ALONG(stride, taps)                                                                                            \
    sum ? NAMED(combine_taps)(out, first, n, stride, inner, taps, 1)                                                   \
        : NAMED(combine_taps)(out, first, n, stride, inner, taps, 0)

/* Windows of a plane along a `row` of pixels of `inner` channels, which is padded where that is worth it. `totals` has
 * room for two numbers of each result, and for the row. */
static void NAMED(along_row)(listing *l, int64_t plane, const T *restrict row, T *restrict out, int64_t inner, int sum,
                             T *restrict totals) {
    const fc_windows *w = l->w;
    int64_t n = w->count * inner;
    if (is_padded(w)) {
        const T *restrict first = row + w->first * inner;
        int simple = w->step == 1 && w->kernel <= 3 && (w->stride == 1 || (w->stride == 2 && inner == 1));
        switch (simple ? 2 * w->kernel + w->stride : 0) {
            case 5: ALONG(1, 2); return;
            case 6: ALONG(2, 2); return;
            case 7: ALONG(1, 3); return;
            case 8: ALONG(2, 3); return;
            default: break;
        }
        if (!sum || w->kernel <= PART_TERMS) {
            if (w->stride > 1 && w->stride <= MOST_PICKED)
                NAMED(combine_and_pick)(w, out, first, inner, sum, totals);
            else
                NAMED(combine_taps_of)(w, out, first, 0, w->kernel, inner, sum);
            return;
        }
        memset(totals, 0, (size_t)(2 * n) * sizeof(T));
        for (int64_t i = 0; i < w->kernel; i += PART_TERMS) {
            NAMED(combine_taps_of)(w, out, first, i, min64(i + PART_TERMS, w->kernel), inner, 1);
            NAMED(add_parts)(totals, totals + n, out, n);
        }
        NAMED(take_totals)(out, totals, totals + n, n);
        return;
    }
    for (int64_t from = 0; from < w->count; from += LISTED) {
        n = list_windows(l, plane, from);
        for (int64_t o = 0; o < n; o++) {
            int64_t start = l->at[o].start, count = ceil_div(l->at[o].stop - start, w->step);
            for (int64_t c = 0; c < inner; c++)
                out[(from + o) * inner + c] = NAMED(combine_run)(row + start * inner + c, count, w->step * inner, sum);
        }
    }
}
#undef ALONG

/* The maximum of a plane of n elements. */
static T NAMED(whole_plane)(const T *restrict x, int64_t n) {
    enum { PARTS = 64 / sizeof(T) };
    T part[PARTS];
    int64_t i = PARTS;
    if (n < PARTS) return NAMED(combine_run)(x, n, 1, 0);
    memcpy(part, x, sizeof part);
    for (; i + PARTS <= n; i += PARTS)
        for (int l = 0; l < PARTS; l++) part[l] = NAMED(combine)(x[i + l], part[l], 0);
    for (int l = 0; i < n; i++, l++) part[l] = NAMED(combine)(x[i], part[l], 0);
#pragma GCC unroll 8
    for (int width = PARTS / 2; width > 0; width /= 2)
#pragma GCC unroll 32
        for (int l = 0; l < width; l++) part[l] = NAMED(combine)(part[l + width], part[l], 0);
    return part[0];
}

/* Output rows [y0, y1) of a plane, or of an image of `inner` channels. Around the pixels of `row` is what does not
 * count; `divisor` are the columns'. */
static void NAMED(plane_rows)(const fc_pool *p, int64_t plane, int64_t inner, const T *x, T *out, int64_t y0,
                              int64_t y1, T *row, const T *restrict divisor, T *totals, listing *across) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = SUMS && p->reducer == FC_SUM;
    int64_t width = p->width * inner, n = columns->count * inner;
    if (!sum && inner == 1 && covers(rows) && covers(columns)) {
        out[0] = NAMED(whole_plane)(x, p->height * p->width);
        return;
    }
    double each = window_size(rows) * (double)width + window_size(columns) * (double)n;
    int64_t between = fc_steps_between(each / 8);
    for (int64_t y = y0; y < y1; y++) {
        if ((y - y0) % between == between - 1 && fc_called_off()) return;
        window down = window_at(rows, plane, y);
        NAMED(down_columns)(row, x + down.start * width, width, rows->step * width,
                            ceil_div(down.stop - down.start, rows->step), sum, totals);
        NAMED(along_row)(across, plane, row, out + y * n, inner, sum, totals);
        if (!sum) continue;
        T *restrict line = out + y * n, row_divisor = (T)divisor_of(rows, y);
        for (int64_t o = 0; o < n; o++) line[o] = (T)(line[o] / (row_divisor * divisor[o]));
    }
}

/* ---- channels of a pixel: vectors of them stay in registers over the whole window ---- */

typedef T NAMED(pack) __attribute__((vector_size(VECTOR_BYTES)));
typedef T NAMED(loose) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));

/* The greater lanes, or those that are not a number. */
INLINE
NAMED(pack) NAMED(greater)(NAMED(pack) value, NAMED(pack) best) {
#if SUMS && defined(__AVX512F__) /* of floating-point types */
    return NAMED(larger)(value, best);
#else
    __typeof__(value > best) wins = (value > best) | IS_NAN(value);
    return (NAMED(pack))((wins & (__typeof__(wins))value) | (~wins & (__typeof__(wins))best));
#endif
}

/* ADD_PART of lanes. */
INLINE
void NAMED(add_part)(NAMED(pack) * sum, NAMED(pack) * rest, NAMED(pack) part) {
    NAMED(pack) own = part + *rest, whole = *sum + own, lost = own - (whole - *sum);
    __typeof__(lost > own) is_number = lost - lost == 0;
    *rest = (NAMED(pack))(is_number & (__typeof__(is_number))lost);
    *sum = whole;
}

/* A window of pixels, and what its sum is divided by. */
typedef struct {
    window down, across;
    double divisor;
} NAMED(pixels);

/* `count` vectors of channels from x and out on; all but the first three constant where it is called. */
INLINE
void NAMED(combine_vectors)(const fc_pool *p, const T *x, T *out, const NAMED(pixels) * w, int count, int sum,
                            int totals) {
    NAMED(pack) best[VECTORS], total[VECTORS], rest[VECTORS];
    int64_t right = p->columns.step * p->channels, down = p->rows.step * p->width * p->channels;
    int64_t across = ceil_div(w->across.stop - w->across.start, p->columns.step);
    int64_t rows = ceil_div(w->down.stop - w->down.start, p->rows.step);
    const T *line = x + (w->down.start * p->width + w->across.start) * p->channels;
    int terms = 0;
#pragma GCC unroll 8
    for (int v = 0; v < count; v++) {
        best[v] = (NAMED(pack)){0} + (T)(sum ? 0 : LOWEST);
        total[v] = rest[v] = (NAMED(pack)){0};
    }
    for (int64_t r = 0; r < rows; r++, line += down) {
        const T *pixel = line;
        for (int64_t s = 0; s < across; s++, pixel += right) {
#pragma GCC unroll 8
            for (int v = 0; v < count; v++) {
                NAMED(pack) value = *(const NAMED(loose) *)(pixel + v * (int)LANE_COUNT);
                best[v] = sum ? best[v] + value : NAMED(greater)(value, best[v]);
            }
            if (!totals || ++terms < PART_TERMS) continue;
#pragma GCC unroll 8
            for (int v = 0; v < count; v++) NAMED(add_part)(&total[v], &rest[v], best[v]), best[v] = (NAMED(pack)){0};
            terms = 0;
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < count; v++) {
        if (totals) NAMED(add_part)(&total[v], &rest[v], best[v]), best[v] = total[v] + rest[v];
        if (sum) best[v] /= (T)w->divisor;
        *(NAMED(loose) *)(out + v * (int)LANE_COUNT) = best[v];
    }
}

/* n channels, at least a vector; `sum` and `totals` constant where it is called. Some may be computed twice. */
INLINE
void NAMED(combine_channels)(const fc_pool *p, const T *x, T *out, const NAMED(pixels) * w, int64_t n, int sum,
                             int totals) {
    int64_t c = 0;
    for (; c + VECTORS * LANE_COUNT <= n; c += VECTORS * LANE_COUNT)
        NAMED(combine_vectors)(p, x + c, out + c, w, VECTORS, sum, totals);
    for (; c + 2 * LANE_COUNT <= n; c += 2 * LANE_COUNT) NAMED(combine_vectors)(p, x + c, out + c, w, 2, sum, totals);
    for (; c < n; c += LANE_COUNT) {
        int64_t at = min64(c, n - LANE_COUNT);
        NAMED(combine_vectors)(p, x + at, out + at, w, 1, sum, totals);
    }
}

static void NAMED(pixel_channels)(const fc_pool *p, const T *x, T *out, const NAMED(pixels) * w, int64_t n) {
    if (!SUMS || p->reducer == FC_MAX)
        NAMED(combine_channels)(p, x, out, w, n, 0, 0);
    else if ((w->down.stop - w->down.start) * (w->across.stop - w->across.start) <= PART_TERMS)
        NAMED(combine_channels)(p, x, out, w, n, SUMS, 0);
    else
        NAMED(combine_channels)(p, x, out, w, n, SUMS, SUMS);
}

/* ---- one window at a time: everything else ---- */

/* The pixels of a plane, `step` elements apart, and a window of it. */
typedef struct {
    const T *x;
    int64_t step;
    window down, across;
} NAMED(one_window);

#define FOR_WINDOW                                                                                                     \
    for (int64_t r = w->down.start; r < w->down.stop; r += p->rows.step)                                               \
        for (int64_t s = w->across.start, at = r * p->width + s; s < w->across.stop;                                   \
             s += p->columns.step, at += p->columns.step)

static T NAMED(maximum)(const fc_pool *p, const NAMED(one_window) * w, int64_t *index) {
    *index = w->down.start * p->width + w->across.start;
    T best = w->x[*index * w->step];
    FOR_WINDOW {
        T value = w->x[at * w->step];
        if (NAMED(wins)(value, best)) best = value, *index = at;
    }
    return best;
}

/* Of FC_POWER the norm, of FC_WEIGHTED the sum of squares by the sum: in double, whatever T is; `squares` and
 * `weighted` constant where it is called. */
INLINE
T NAMED(quotient_of)(const fc_pool *p, const NAMED(one_window) * w, double divisor, int squares, int weighted) {
    double part[2] = {0, 0}, total[2] = {0, 0}, rest[2] = {0, 0};
    int terms = 0;
    FOR_WINDOW {
        double value = (double)w->x[at * w->step];
        part[0] += squares ? value * value : p->power == 1 ? fabs(value) : pow(fabs(value), p->power);
        if (weighted) part[1] += value;
        if (++terms < PART_TERMS) continue;
        for (int i = 0; i <= weighted; i++) {
            ADD_PART(double, total[i], rest[i], part[i]);
            part[i] = 0;
        }
        terms = 0;
    }
    for (int i = 0; i <= weighted; i++) total[i] += rest[i] + part[i];
    if (weighted) return total[1] == 0 ? 0 : (T)(total[0] / total[1]);
    total[0] /= divisor;
    return (T)(squares ? sqrt(total[0]) : p->power == 1 ? total[0] : pow(total[0], 1 / p->power));
}

static T NAMED(quotient)(const fc_pool *p, const NAMED(one_window) * w, double divisor) {
    if (p->reducer == FC_WEIGHTED) return NAMED(quotient_of)(p, w, divisor, 1, 1);
    return p->power == 2 ? NAMED(quotient_of)(p, w, divisor, 1, 0) : NAMED(quotient_of)(p, w, divisor, 0, 0);
}

/* The first element at which the running sum exceeds the sampled share of the last one. */
static T NAMED(sample)(const fc_pool *p, const NAMED(one_window) * w, double uniform, int64_t *index) {
    double total = 0, running = 0;
    FOR_WINDOW total += (double)w->x[at * w->step];
    FOR_WINDOW {
        T value = w->x[at * w->step];
        running += (double)value;
        /* The whole total is enough too, as the share may have been rounded up to it. */
        if (running > uniform * total || (running == total && total > 0)) {
            *index = at;
            return value;
        }
    }
    *index = w->down.start * p->width + w->across.start;
    return 0;
}
#undef FOR_WINDOW

static int NAMED(windows_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int nhwc = p->layout == FC_NHWC;
    int64_t step = nhwc ? p->channels : 1;
    int64_t between = fc_steps_between(window_size(rows) * window_size(columns));
    listing across;
    open_listing(&across, columns);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / rows->count, y = task % rows->count, image = plane / p->channels,
                c = plane % p->channels;
        const T *x =
            (const T *)j->x + (nhwc ? image * p->channels * p->height * p->width + c : plane * p->height * p->width);
        window down = window_at(rows, plane, y);
        double row_divisor = divisor_of(rows, y);
        for (int64_t from = 0; from < columns->count; from += LISTED) {
            int64_t n = list_windows(&across, plane, from);
            for (int64_t i = 0; i < n; i++) {
                int status = (from + i) % between == between - 1 ? fc_called_off() : 0;
                if (status) return status;
                int64_t at = task * columns->count + from + i;
                if (nhwc) at = ((image * rows->count + y) * columns->count + from + i) * p->channels + c;
                int64_t index = 0;
                const NAMED(one_window) w = {x, step, down, across.at[i]};
                T *out = (T *)j->out + at;
                switch (p->reducer) {
                    case FC_MAX: *out = NAMED(maximum)(p, &w, &index); break;
                    case FC_SAMPLE: *out = NAMED(sample)(p, &w, j->uniforms[at], &index); break;
                    default: *out = NAMED(quotient)(p, &w, row_divisor * across.divisor[i]);
                }
                if (j->indices) j->indices[at] = index;
            }
        }
    }
    return 0;
}

#include "pool/pool_maxima.h"

static int NAMED(planes_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *c = &p->columns;
    int sum = SUMS && p->reducer == FC_SUM;
    int64_t inner = j->inner, n = c->count * inner, width = p->width * inner;
    int64_t before = is_padded(c) ? max64(0, -c->first) * inner : 0, reach = width;
    if (is_padded(c)) reach = max64(width, (c->first + (c->count - 1) * c->stride + extent_of(c)) * inner);
    int64_t divisors = sum ? n : 0, scratch = max64(sum ? 2 * max64(width, n) : 0, before + reach);
    T *memory = fc_workspace(FC_OWN, (size_t)(before + reach + divisors + scratch) * sizeof(T));
    if (!memory) return FC_NO_MEMORY;
    T *row = memory + before, *divisor = row + reach, *totals = divisor + divisors;
    for (int64_t i = -before; i < 0; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t i = width; i < reach; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t o = 0; sum && o < n; o++) divisor[o] = (T)divisor_of(c, o / inner);
    listing across;
    open_listing(&across, c);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        NAMED(plane_rows)(p, plane, inner, (const T *)j->x + plane * p->height * width,
                          (T *)j->out + plane * p->rows.count * n, p->rows.count * part / j->parts,
                          p->rows.count * (part + 1) / j->parts, row, divisor, totals, &across);
    }
    return 0;
}

static int NAMED(channels_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    int64_t rows = p->rows.count, columns = p->columns.count;
    int64_t between = fc_steps_between(window_size(&p->rows) * window_size(&p->columns) * 64);
    listing across;
    open_listing(&across, &p->columns);
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % j->parts, y = task / j->parts % rows, image = task / j->parts / rows;
        int64_t c = p->channels * part / j->parts, n = p->channels * (part + 1) / j->parts - c;
        const T *x = (const T *)j->x + image * p->height * p->width * p->channels + c;
        T *out = (T *)j->out + (image * rows + y) * columns * p->channels + c;
        window down = window_at(&p->rows, 0, y);
        double row_divisor = divisor_of(&p->rows, y);
        for (int64_t from = 0; from < columns; from += LISTED) {
            int64_t count = list_windows(&across, 0, from);
            for (int64_t i = 0; i < count; i++, out += p->channels) {
                int status = (from + i) % between == between - 1 ? fc_called_off() : 0;
                if (status) return status;
                const NAMED(pixels) w = {down, across.at[i], row_divisor * across.divisor[i]};
                NAMED(pixel_channels)(p, x, out, &w, n);
            }
        }
    }
    return 0;
}

#undef T
#undef NAMED
#undef LOWEST
#undef IS_NAN
#undef SUMS
