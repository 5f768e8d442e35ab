/* Pooling of one element type T; included once for each by pool.c, which says whether T has NaN and what is lowest.
 *
 * The last three functions are the bodies of pool.c's tasks: rows of windows one at a time, parts of NCHW planes, and
 * parts of the channels of an NHWC row of outputs. */

INLINE
int NAMED(wins)(T value, T best) { return value > best || IS_NAN(value); }

INLINE
T NAMED(combine)(T value, T best, int sum) { return sum ? (T)(best + value) : NAMED(wins)(value, best) ? value : best; }

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
static void NAMED(down_columns)(T *restrict row, const T *restrict x, int64_t n, int64_t step, int64_t count, int sum) {
    if (count == 2)
        sum ? NAMED(combine_taps)(row, x, n, 1, step, 2, 1) : NAMED(combine_taps)(row, x, n, 1, step, 2, 0);
    else if (count == 3)
        sum ? NAMED(combine_taps)(row, x, n, 1, step, 3, 1) : NAMED(combine_taps)(row, x, n, 1, step, 3, 0);
    else {
        memcpy(row, x, (size_t)n * sizeof(T));
        for (int64_t r = 1; r < count; r++) NAMED(combine_row)(row, x + r * step, n, sum);
    }
}

#define ALONG(stride, taps)                                                                                            \
    sum ? NAMED(combine_taps)(out, first, n, stride, 1, taps, 1)                                                       \
        : NAMED(combine_taps)(out, first, n, stride, 1, taps, 0)

/* Combines the windows of a row. Where there is a grid, `row` is padded, so that every window is whole. */
static void NAMED(along_row)(const fc_windows *w, const T *restrict row, T *restrict out, const int64_t *start,
                             const int64_t *stop, int sum) {
    int64_t n = w->count;
    if (w->kernel) {
        const T *restrict first = row + w->first;
        switch (w->step == 1 && w->kernel <= 3 && w->stride <= 2 ? 2 * w->kernel + w->stride : 0) {
            case 5: ALONG(1, 2); return;
            case 6: ALONG(2, 2); return;
            case 7: ALONG(1, 3); return;
            case 8: ALONG(2, 3); return;
            default: break;
        }
        for (int64_t o = 0; o < n; o++) out[o] = first[o * w->stride];
        for (int64_t i = 1; i < w->kernel; i++) {
            const T *tap = first + i * w->step;
            if (w->stride == 1)
                NAMED(combine_row)(out, tap, n, sum);
            else
                for (int64_t o = 0; o < n; o++) out[o] = NAMED(combine)(tap[o * w->stride], out[o], sum);
        }
        return;
    }
    for (int64_t o = 0; o < n; o++) {
        T best = row[start[o]];
        for (int64_t i = start[o] + w->step; i < stop[o]; i += w->step) best = NAMED(combine)(row[i], best, sum);
        out[o] = best;
    }
}
#undef ALONG

/* Combines a plane of n elements, in a fixed tree of partial results. */
static T NAMED(whole_plane)(const T *restrict x, int64_t n, int sum) {
    enum { PARTS = 64 / sizeof(T) };
    T part[PARTS];
    int64_t i = PARTS;
    if (n < PARTS) {
        T best = x[0];
        for (i = 1; i < n; i++) best = NAMED(combine)(x[i], best, sum);
        return best;
    }
    memcpy(part, x, sizeof part);
    if (sum)
        for (; i + PARTS <= n; i += PARTS)
            for (int l = 0; l < PARTS; l++) part[l] = NAMED(combine)(x[i + l], part[l], 1);
    else
        for (; i + PARTS <= n; i += PARTS)
            for (int l = 0; l < PARTS; l++) part[l] = NAMED(combine)(x[i + l], part[l], 0);
    for (int l = 0; i < n; i++, l++) part[l] = NAMED(combine)(x[i], part[l], sum);
#pragma GCC unroll 8
    for (int width = PARTS / 2; width > 0; width /= 2)
#pragma GCC unroll 32
        for (int l = 0; l < width; l++) part[l] = NAMED(combine)(part[l + width], part[l], sum);
    return part[0];
}

/* Does output rows [y0, y1) of a plane; `scratch` holds a padded row and the columns' divisors. */
static void NAMED(plane_rows)(const fc_pool *p, int64_t plane, const T *x, T *out, int64_t y0, int64_t y1, T *scratch) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = p->reducer == FC_SUM;
    const int64_t *row_start = rows->start + (rows->per_plane ? plane * rows->count : 0);
    const int64_t *row_stop = rows->stop + (rows->per_plane ? plane * rows->count : 0);
    const int64_t *start = columns->start + (columns->per_plane ? plane * columns->count : 0);
    const int64_t *stop = columns->stop + (columns->per_plane ? plane * columns->count : 0);
    if (rows->count * columns->count == 1 && stop[0] - start[0] == p->width &&
        row_stop[0] - row_start[0] == p->height && rows->step == 1 && columns->step == 1) {
        out[0] = NAMED(whole_plane)(x, p->height * p->width, sum);
        if (sum) out[0] = (T)(out[0] / (T)(rows->divisor[0] * columns->divisor[0]));
        return;
    }
    int64_t before = columns->kernel ? max64(0, -columns->first) : 0;
    int64_t reach = columns->kernel ? columns->first + (columns->count - 1) * columns->stride +
                                          (columns->kernel - 1) * columns->step + 1
                                    : 0;
    T *row = scratch + before, *divisor = scratch + before + max64(reach, p->width);
    for (int64_t o = 0; sum && o < columns->count; o++) divisor[o] = (T)columns->divisor[o];
    for (int64_t i = -before; i < 0; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t i = p->width; i < reach; i++) row[i] = sum ? 0 : LOWEST;
    double each = window_size(rows) * (double)p->width + window_size(columns) * (double)columns->count;
    int64_t between = fc_steps_between(each / 8);
    for (int64_t y = y0; y < y1; y++) {
        if ((y - y0) % between == between - 1 && fc_called_off()) return;
        NAMED(down_columns)(row, x + row_start[y] * p->width, p->width, rows->step * p->width,
                            ceil_div(row_stop[y] - row_start[y], rows->step), sum);
        NAMED(along_row)(columns, row, out + y * columns->count, start, stop, sum);
        T *restrict line = out + y * columns->count, row_divisor = (T)rows->divisor[y];
        for (int64_t o = 0; sum && o < columns->count; o++) line[o] = (T)(line[o] / (row_divisor * divisor[o]));
    }
}

/* Does n channels of one output pixel, for maximum and sum. */
static void NAMED(pixel_channels)(const fc_pool *p, const T *x, T *out, int64_t y, int64_t ox, int64_t n) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = p->reducer == FC_SUM, first = 1;
    for (int64_t r = rows->start[y]; r < rows->stop[y]; r += rows->step)
        for (int64_t s = columns->start[ox]; s < columns->stop[ox]; s += columns->step) {
            const T *pixel = x + (r * p->width + s) * p->channels;
            if (first)
                memcpy(out, pixel, (size_t)n * sizeof(T));
            else
                NAMED(combine_row)(out, pixel, n, sum);
            first = 0;
        }
    if (sum) {
        T divisor = (T)(rows->divisor[y] * columns->divisor[ox]);
        for (int64_t c = 0; c < n; c++) out[c] /= divisor;
    }
}

/* ---- one window at a time: everything else ---- */

/* Does one window; `x` is the plane, whose pixels are `step` elements apart. */
static T NAMED(window)(const fc_pool *p, const T *x, int64_t step, int64_t r0, int64_t r1, int64_t s0, int64_t s1,
                       double divisor, int64_t *index, double uniform) {
    int64_t row_step = p->rows.step, column_step = p->columns.step, where = r0 * p->width + s0;
    double total = 0, squares = 0, running = 0;
    T best = x[where * step];
    for (int64_t r = r0; r < r1; r += row_step)
        for (int64_t s = s0; s < s1; s += column_step) {
            T value = x[(r * p->width + s) * step];
            switch (p->reducer) {
                case FC_MAX:
                    if (NAMED(wins)(value, best)) best = value, where = r * p->width + s;
                    break;
                case FC_POWER:
                    total += p->power == 2 ? (double)value * (double)value : pow(fabs((double)value), p->power);
                    break;
                default: total += (double)value, squares += (double)value * (double)value;
            }
        }
    if (p->reducer == FC_POWER) {
        total /= divisor;
        return (T)(p->power == 2 ? sqrt(total) : pow(total, 1 / p->power));
    }
    if (p->reducer == FC_WEIGHTED) return total == 0 ? 0 : (T)(squares / total);
    if (p->reducer == FC_SAMPLE) {
        best = 0;
        for (int64_t r = r0; r < r1; r += row_step)
            for (int64_t s = s0; s < s1; s += column_step) {
                T value = x[(r * p->width + s) * step];
                running += (double)value;
                /* The whole total is enough too, as the share may have been rounded up to it. */
                if (running > uniform * total || (running == total && total > 0)) {
                    *index = r * p->width + s;
                    return value;
                }
            }
    }
    *index = where;
    return best;
}

static int NAMED(windows_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int nhwc = p->layout == FC_NHWC;
    int64_t step = nhwc ? p->channels : 1, between = fc_steps_between(window_size(rows) * window_size(columns));
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / rows->count, y = task % rows->count, image = plane / p->channels,
                c = plane % p->channels;
        const T *x =
            (const T *)j->x + (nhwc ? image * p->channels * p->height * p->width + c : plane * p->height * p->width);
        int64_t of_row = rows->per_plane ? plane * rows->count : 0,
                of_column = columns->per_plane ? plane * columns->count : 0;
        for (int64_t ox = 0; ox < columns->count; ox++) {
            int status = ox % between == between - 1 ? fc_called_off() : 0;
            if (status) return status;
            int64_t at =
                nhwc ? ((image * rows->count + y) * columns->count + ox) * p->channels + c : task * columns->count + ox;
            int64_t index = 0;
            ((T *)j->out)[at] =
                NAMED(window)(p, x, step, rows->start[of_row + y], rows->stop[of_row + y],
                              columns->start[of_column + ox], columns->stop[of_column + ox],
                              rows->divisor[y] * columns->divisor[ox], &index, j->uniforms ? j->uniforms[at] : 0);
            if (j->indices) j->indices[at] = index;
        }
    }
    return 0;
}

static int NAMED(planes_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *c = &p->columns;
    int64_t beyond = c->kernel ? c->kernel * c->step + c->stride : 0;
    T *scratch = fc_workspace(FC_OWN, (size_t)(p->width + 2 * beyond + c->count) * sizeof(T));
    if (!scratch) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        NAMED(plane_rows)(p, plane, (const T *)j->x + plane * p->height * p->width,
                          (T *)j->out + plane * p->rows.count * c->count, p->rows.count * part / j->parts,
                          p->rows.count * (part + 1) / j->parts, scratch);
    }
    return 0;
}

static int NAMED(channels_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    int64_t rows = p->rows.count, columns = p->columns.count;
    int64_t between = fc_steps_between(window_size(&p->rows) * window_size(&p->columns) * 64);
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % j->parts, y = task / j->parts % rows, image = task / j->parts / rows;
        int64_t c = p->channels * part / j->parts, n = p->channels * (part + 1) / j->parts - c;
        const T *x = (const T *)j->x + image * p->height * p->width * p->channels + c;
        T *out = (T *)j->out + (image * rows + y) * columns * p->channels + c;
        for (int64_t ox = 0; ox < columns; ox++, out += p->channels) {
            int status = ox % between == between - 1 ? fc_called_off() : 0;
            if (status) return status;
            NAMED(pixel_channels)(p, x, out, y, ox, n);
        }
    }
    return 0;
}

#undef T
#undef NAMED
#undef LOWEST
#undef IS_NAN
