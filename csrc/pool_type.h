/* Pooling of one element type T; included once for each by pool.c, which says whether T has NaN and what is lowest. */

INLINE int NAMED(wins)(T value, T best) { return value > best || IS_NAN(value); }

/* ---- whole rows: maximum and sum of windows, first down the columns, then along the row ---- */

static void NAMED(combine_row)(T *acc, const T *x, int64_t n, int sum) {
    if (sum)
        for (int64_t i = 0; i < n; i++) acc[i] += x[i];
    else
        for (int64_t i = 0; i < n; i++) acc[i] = NAMED(wins)(x[i], acc[i]) ? x[i] : acc[i];
}

static void NAMED(combine_stride2)(T *acc, const T *x, int64_t n, int sum) {
    if (sum)
        for (int64_t i = 0; i < n; i++) acc[i] += x[2 * i];
    else
        for (int64_t i = 0; i < n; i++) acc[i] = NAMED(wins)(x[2 * i], acc[i]) ? x[2 * i] : acc[i];
}

static void NAMED(combine_strided)(T *acc, const T *x, int64_t n, int64_t stride, int sum) {
    for (int64_t i = 0; i < n; i++) {
        T value = x[i * stride];
        acc[i] = sum ? (T)(acc[i] + value) : NAMED(wins)(value, acc[i]) ? value : acc[i];
    }
}

static void NAMED(along_row)(const fc_windows *w, const T *row, T *out, const int64_t *start, const int64_t *stop,
                             int sum) {
    if (w->kernel) {
        /* `row` is padded: every window of the grid is whole. */
        const T *first = row + w->first;
        for (int64_t o = 0; o < w->count; o++) out[o] = first[o * w->stride];
        for (int64_t i = 1; i < w->kernel; i++) {
            const T *tap = first + i * w->step;
            if (w->stride == 1)
                NAMED(combine_row)(out, tap, w->count, sum);
            else if (w->stride == 2)
                NAMED(combine_stride2)(out, tap, w->count, sum);
            else
                NAMED(combine_strided)(out, tap, w->count, w->stride, sum);
        }
        return;
    }
    for (int64_t o = 0; o < w->count; o++) {
        T best = row[start[o]];
        for (int64_t i = start[o] + w->step; i < stop[o]; i += w->step)
            best = sum ? (T)(best + row[i]) : NAMED(wins)(row[i], best) ? row[i] : best;
        out[o] = best;
    }
}

static T NAMED(whole_plane)(const T *x, int64_t n, int sum) {
    enum { LANES_OF_PLANE = 128 / sizeof(T) };
    T part[LANES_OF_PLANE];
    int64_t i = LANES_OF_PLANE;
    if (n < LANES_OF_PLANE) {
        T best = x[0];
        for (i = 1; i < n; i++) best = sum ? (T)(best + x[i]) : NAMED(wins)(x[i], best) ? x[i] : best;
        return best;
    }
    memcpy(part, x, sizeof part);
    for (; i + LANES_OF_PLANE <= n; i += LANES_OF_PLANE)
        for (int l = 0; l < LANES_OF_PLANE; l++)
            part[l] = sum ? (T)(part[l] + x[i + l]) : NAMED(wins)(x[i + l], part[l]) ? x[i + l] : part[l];
    for (int l = 0; i < n; i++, l++) part[l] = sum ? (T)(part[l] + x[i]) : NAMED(wins)(x[i], part[l]) ? x[i] : part[l];
    for (int width = LANES_OF_PLANE / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            part[l] = sum ? (T)(part[l] + part[l + width])
                          : NAMED(wins)(part[l + width], part[l]) ? part[l + width] : part[l];
    return part[0];
}

static void NAMED(divide)(T *out, const fc_windows *columns, double row_divisor, int64_t n) {
    for (int64_t o = 0; o < n; o++) out[o] = (T)(out[o] / (T)(row_divisor * columns->divisor[o]));
}

/* Output rows [y0, y1) of a plane; `scratch` holds a padded row. */
static void NAMED(plane_rows)(const fc_pool *p, int64_t plane, const T *x, T *out, int64_t y0, int64_t y1, T *scratch) {
    const fc_windows *rows = &p->rows, *columns = &p->columns;
    int sum = p->reducer == FC_SUM;
    const int64_t *row_start = rows->start + (rows->per_plane ? plane * rows->count : 0);
    const int64_t *row_stop = rows->stop + (rows->per_plane ? plane * rows->count : 0);
    const int64_t *start = columns->start + (columns->per_plane ? plane * columns->count : 0);
    const int64_t *stop = columns->stop + (columns->per_plane ? plane * columns->count : 0);
    if (rows->count * columns->count == 1 && stop[0] - start[0] == p->width && row_stop[0] - row_start[0] == p->height &&
        rows->step == 1 && columns->step == 1) {
        out[0] = NAMED(whole_plane)(x, p->height * p->width, sum);
        if (sum) NAMED(divide)(out, columns, rows->divisor[0], 1);
        return;
    }
    int64_t before = columns->kernel ? max64(0, -columns->first) : 0;
    int64_t reach = columns->kernel ? columns->first + (columns->count - 1) * columns->stride +
                                          (columns->kernel - 1) * columns->step + 1
                                    : 0;
    T *row = scratch + before;
    for (int64_t i = -before; i < 0; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t i = p->width; i < reach; i++) row[i] = sum ? 0 : LOWEST;
    for (int64_t y = y0; y < y1; y++) {
        memcpy(row, x + row_start[y] * p->width, (size_t)p->width * sizeof(T));
        for (int64_t r = row_start[y] + rows->step; r < row_stop[y]; r += rows->step)
            NAMED(combine_row)(row, x + r * p->width, p->width, sum);
        NAMED(along_row)(columns, row, out + y * columns->count, start, stop, sum);
        if (sum) NAMED(divide)(out + y * columns->count, columns, rows->divisor[y], columns->count);
    }
}

/* One output pixel's channels [c, c + n), for maximum and sum. */
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

/* `x` is the plane, its pixels `step` elements apart. */
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
                default:
                    total += (double)value, squares += (double)value * (double)value;
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
                if (running > uniform * total) {
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
    int64_t step = nhwc ? p->channels : 1;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / rows->count, y = task % rows->count, image = plane / p->channels,
                c = plane % p->channels;
        const T *x = (const T *)j->x + (nhwc ? image * p->channels * p->height * p->width + c
                                             : plane * p->height * p->width);
        int64_t of_row = rows->per_plane ? plane * rows->count : 0, of_column = columns->per_plane ? plane * columns->count : 0;
        for (int64_t ox = 0; ox < columns->count; ox++) {
            int64_t at = nhwc ? ((image * rows->count + y) * columns->count + ox) * p->channels + c
                              : task * columns->count + ox;
            int64_t index = 0;
            ((T *)j->out)[at] = NAMED(window)(p, x, step, rows->start[of_row + y], rows->stop[of_row + y],
                                              columns->start[of_column + ox], columns->stop[of_column + ox],
                                              rows->divisor[y] * columns->divisor[ox], &index,
                                              j->uniforms ? j->uniforms[at] : 0);
            if (j->indices) j->indices[at] = index;
        }
    }
    return 0;
}

static int NAMED(planes_work)(const void *context, int64_t begin, int64_t end) {
    const pool_job *j = context;
    const fc_pool *p = j->p;
    const fc_windows *c = &p->columns;
    T *scratch = fc_workspace((size_t)(p->width + 2 * (c->kernel ? c->kernel * c->step + c->stride : 0) + 64) * sizeof(T));
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
    for (int64_t task = begin; task < end; task++) {
        int64_t part = task % j->parts, y = task / j->parts % rows, image = task / j->parts / rows;
        int64_t c = p->channels * part / j->parts, n = p->channels * (part + 1) / j->parts - c;
        const T *x = (const T *)j->x + image * p->height * p->width * p->channels + c;
        T *out = (T *)j->out + (image * rows + y) * columns * p->channels + c;
        for (int64_t ox = 0; ox < columns; ox++, out += p->channels) NAMED(pixel_channels)(p, x, out, y, ox, n);
    }
    return 0;
}

#undef T
#undef NAMED
#undef LOWEST
#undef IS_NAN
