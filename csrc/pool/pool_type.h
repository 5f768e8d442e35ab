/* Pooling of one element type T; included once for each by pool.c, which says whether T has NaN and what is lowest.
 *
 * The last three functions are the bodies of pool.c's tasks: rows of windows one at a time, parts of NCHW planes, and
 * parts of the channels of an NHWC row of outputs. */

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

/* Combines the taps [from, to) of windows at regular distances. */
static void NAMED(combine_taps_of)(const fc_windows *w, T *restrict out, const T *restrict first, int64_t from,
                                   int64_t to, int sum) {
    for (int64_t o = 0; o < w->count; o++) out[o] = first[from * w->step + o * w->stride];
    for (int64_t i = from + 1; i < to; i++) {
        const T *tap = first + i * w->step;
        if (w->stride == 1)
            NAMED(combine_row)(out, tap, w->count, sum);
        else
            for (int64_t o = 0; o < w->count; o++) out[o] = NAMED(combine)(tap[o * w->stride], out[o], sum);
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

#define ALONG(stride, taps)                                                                                            \
    sum ? NAMED(combine_taps)(out, first, n, stride, 1, taps, 1)                                                       \
        : NAMED(combine_taps)(out, first, n, stride, 1, taps, 0)

/* Windows of a plane along a `row`, which is padded where that is worth it. `totals` has room for two numbers of each
 * window. */
static void NAMED(along_row)(listing *l, int64_t plane, const T *restrict row, T *restrict out, int sum,
                             T *restrict totals) {
    const fc_windows *w = l->w;
    int64_t n = w->count, step = w->step;
    if (is_padded(w)) {
        const T *restrict first = row + w->first;
        switch (w->step == 1 && w->kernel <= 3 && w->stride <= 2 ? 2 * w->kernel + w->stride : 0) {
            case 5: ALONG(1, 2); return;
            case 6: ALONG(2, 2); return;
            case 7: ALONG(1, 3); return;
            case 8: ALONG(2, 3); return;
            default: break;
        }
        if (!sum || w->kernel <= PART_TERMS) {
            NAMED(combine_taps_of)(w, out, first, 0, w->kernel, sum);
            return;
        }
        memset(totals, 0, (size_t)(2 * n) * sizeof(T));
        for (int64_t i = 0; i < w->kernel; i += PART_TERMS) {
            NAMED(combine_taps_of)(w, out, first, i, min64(i + PART_TERMS, w->kernel), 1);
            NAMED(add_parts)(totals, totals + n, out, n);
        }
        NAMED(take_totals)(out, totals, totals + n, n);
        return;
    }
    for (int64_t from = 0; from < w->count; from += LISTED) {
        n = list_windows(l, plane, from);
        for (int64_t o = 0; o < n; o++) {
            window at = l->at[o];
            out[from + o] = NAMED(combine_run)(row + at.start, ceil_div(at.stop - at.start, step), step, sum);
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

/* Output rows [y0, y1) of a plane. Around the pixels of `row` is what does not count; `divisor` are the columns'. */
static void NAMED(plane_rows)(const fc_pool *p, int64_t plane, const T *x, T *out, int64_t y0, int64_t y1, T *row,
                              const T *restrict divisor, T *totals, listing *across) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = SUMS && p->reducer == FC_SUM;
    if (!sum && covers(rows) && covers(columns)) {
        out[0] = NAMED(whole_plane)(x, p->height * p->width);
        return;
    }
    double each = window_size(rows) * (double)p->width + window_size(columns) * (double)columns->count;
    int64_t between = fc_steps_between(each / 8);
    for (int64_t y = y0; y < y1; y++) {
        if ((y - y0) % between == between - 1 && fc_called_off()) return;
        window down = window_at(rows, plane, y);
        NAMED(down_columns)(row, x + down.start * p->width, p->width, rows->step * p->width,
                            ceil_div(down.stop - down.start, rows->step), sum, totals);
        NAMED(along_row)(across, plane, row, out + y * columns->count, sum, totals);
        if (!sum) continue;
        T *restrict line = out + y * columns->count, row_divisor = (T)divisor_of(rows, y);
        for (int64_t o = 0; o < columns->count; o++) line[o] = (T)(line[o] / (row_divisor * divisor[o]));
    }
}

/* Combines n channels, at most MOST_CHANNELS, of a window's pixels: their maximum, or sum by the divisor. */
static void NAMED(pixel_channels)(const fc_pool *p, const T *x, T *out, window down, window across, double divisor,
                                  int64_t n) {
    T total[MOST_CHANNELS], rest[MOST_CHANNELS];
    int sum = SUMS && p->reducer == FC_SUM, parts = 0, terms = 0; /* parts in the total; pixels in `out` */
    for (int64_t r = down.start; r < down.stop; r += p->rows.step)
        for (int64_t s = across.start; s < across.stop; s += p->columns.step) {
            const T *pixel = x + (r * p->width + s) * p->channels;
            if (sum && terms == PART_TERMS) {
                size_t bytes = (size_t)n * sizeof(T);
                if (!parts++) memset(total, 0, bytes), memset(rest, 0, bytes);
                NAMED(add_parts)(total, rest, out, n);
                terms = 0;
            }
            if (terms)
                NAMED(combine_row)(out, pixel, n, sum);
            else
                memcpy(out, pixel, (size_t)n * sizeof(T));
            terms++;
        }
    if (parts) {
        NAMED(add_parts)(total, rest, out, n);
        NAMED(take_totals)(out, total, rest, n);
    }
    if (sum) {
        T d = (T)divisor;
        for (int64_t c = 0; c < n; c++) out[c] /= d;
    }
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

/* Of FC_POWER the norm, of FC_WEIGHTED the sum of squares by the sum: in double, whatever T is. */
static T NAMED(quotient)(const fc_pool *p, const NAMED(one_window) * w, double divisor) {
    double part[2] = {0, 0}, total[2] = {0, 0}, rest[2] = {0, 0};
    int terms = 0;
    FOR_WINDOW {
        double value = (double)w->x[at * w->step];
        if (p->reducer == FC_POWER)
            part[0] += p->power == 2 ? value * value : p->power == 1 ? fabs(value) : pow(fabs(value), p->power);
        else
            part[0] += value * value, part[1] += value;
        if (++terms < PART_TERMS) continue;
        for (int i = 0; i < 2; i++) {
            ADD_PART(double, total[i], rest[i], part[i]);
            part[i] = 0;
        }
        terms = 0;
    }
    for (int i = 0; i < 2; i++) {
        ADD_PART(double, total[i], rest[i], part[i]);
        total[i] += rest[i];
    }
    if (p->reducer == FC_WEIGHTED) return total[1] == 0 ? 0 : (T)(total[0] / total[1]);
    total[0] /= divisor;
    return (T)(p->power == 2 ? sqrt(total[0]) : p->power == 1 ? total[0] : pow(total[0], 1 / p->power));
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

static int NAMED(planes_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *c = &p->columns;
    int sum = SUMS && p->reducer == FC_SUM;
    int64_t before = is_padded(c) ? max64(0, -c->first) : 0;
    int64_t reach = is_padded(c) ? max64(p->width, c->first + (c->count - 1) * c->stride + extent_of(c)) : p->width;
    int64_t sums = sum ? c->count + 2 * max64(p->width, c->count) : 0;
    T *memory = fc_workspace(FC_OWN, (size_t)(before + reach + sums) * sizeof(T));
    if (!memory) return FC_NO_MEMORY;
    T *row = memory + before, *divisor = row + reach, *totals = divisor + c->count;
    for (int64_t i = -before; i < 0; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t i = p->width; i < reach; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t o = 0; sum && o < c->count; o++) divisor[o] = (T)divisor_of(c, o);
    listing across;
    open_listing(&across, c);
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        NAMED(plane_rows)(p, plane, (const T *)j->x + plane * p->height * p->width,
                          (T *)j->out + plane * p->rows.count * c->count, p->rows.count * part / j->parts,
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
                NAMED(pixel_channels)(p, x, out, down, across.at[i], row_divisor * across.divisor[i], n);
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
