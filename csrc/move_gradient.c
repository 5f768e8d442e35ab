/* The gradients of what only moves data: sums at given places (maximum pooling, by its indices), and padding read backwards.
 * Called by `fc_scatter_add` and `fc_pad_gradient`. Limit: memory bandwidth. */
#include "readers.h"
#include "simd.h"

/* ---- sums at given places ---- */

typedef struct {
    const real *values;
    const int64_t *indices;
    real *out;
    int64_t channels, count, plane, parts; /* parts of the channels (NHWC) */
} scatter_job;

/* So many values are added before more of the plane is cleared: up to the last place that they go to. Windows go to places
 * near to those of their neighbours, so that these are still in L1. */
enum { SCATTER_VALUES = 256 };

static int64_t highest(const int64_t *at, int64_t n) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most = at[i] > most ? at[i] : most;
    return most;
}

static int scatter_planes(const void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    for (int64_t plane = begin; plane < end; plane++) {
        real *out = j->out + plane * j->plane;
        const real *values = j->values + plane * j->count;
        const int64_t *at = j->indices + plane * j->count;
        int64_t clear = 0;
        for (int64_t i = 0; i < j->count; i += SCATTER_VALUES) {
            int64_t n = min64(SCATTER_VALUES, j->count - i), most = highest(at + i, n) + 1;
            if (most > clear) clear_reals(out + clear, most - clear), clear = most;
            for (int64_t v = i; v < i + n; v++) out[at[v]] += values[v];
        }
        clear_reals(out + clear, j->plane - clear);
    }
    return 0;
}

/* Tasks are (image, cache line of channels): no other thread touches it. */
enum { LINE = 64 / sizeof(real) };

static int scatter_channels(const void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->parts, first = task % j->parts * LINE, n = min64(LINE, j->channels - first), clear = 0;
        real *out = j->out + image * j->plane * j->channels + first;
        const real *values = j->values + image * j->count * j->channels + first;
        const int64_t *at = j->indices + image * j->count * j->channels + first;
        for (int64_t i = 0; i < j->count; i++, values += j->channels, at += j->channels) {
            int64_t most = highest(at, n) + 1;
            for (; clear < most; clear++) clear_reals(out + clear * j->channels, n);
            for (int64_t c = 0; c < n; c++) out[at[c] * j->channels + c] += values[c];
        }
        for (; clear < j->plane; clear++) clear_reals(out + clear * j->channels, n);
    }
    return 0;
}

int FC_NAME(scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
                         int64_t plane, int layout, int threads) {
    scatter_job j = {values, indices, out, channels, count, plane, ceil_div(channels, LINE)};
    double elements = (double)(batch * channels) * (double)(2 * count + plane);
    threads = fc_worth(elements / 2, threads);
    if (layout == FC_NCHW) return fc_parallel(batch * channels, threads, scatter_planes, &j);
    return fc_parallel(batch * j.parts, threads, scatter_channels, &j);
}

/* ---- padding read backwards ---- */

/* Neighbouring columns of the padded image that are neighbours in the image too. */
typedef struct {
    int64_t from, to, count;
} stretch;

typedef struct {
    const real *gradient;
    real *out;
    int64_t height, width, inner, row_count, column_count; /* a pixel is `inner` reals */
    readers rows;
    const stretch *stretches; /* the longest first */
    int64_t stretch_count;
} pad_job;

static void add_reals(real *to, const real *from, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) store(to + i, load(to + i) + load(from + i));
    if (i < n) store_n(to + i, load_n(to + i, n - i) + load_n(from + i, n - i), n - i);
}

static int pad_work(const void *context, int64_t begin, int64_t end) {
    const pad_job *j = context;
    int64_t inner = j->inner, row = j->width * inner;
    stretch most = j->stretch_count ? j->stretches[0] : (stretch){0, 0, 0};
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->height, y = task % j->height, own = j->rows.begin[y + 1] - j->rows.begin[y];
        const int64_t *list = j->rows.list + j->rows.begin[y];
        real *out = j->out + task * row;
        int64_t filled = own ? most.to + most.count : 0;
        clear_reals(out + filled * inner, row - filled * inner);
        for (int64_t i = 0; i < own; i++) {
            const real *from = j->gradient + (plane * j->row_count + list[i]) * j->column_count * inner;
            if (i) {
                add_reals(out + most.to * inner, from + most.from * inner, most.count * inner);
            } else {
                clear_reals(out, most.to * inner);
                copy_reals(out + most.to * inner, from + most.from * inner, most.count * inner);
            }
            for (const stretch *s = j->stretches + 1; s < j->stretches + j->stretch_count; s++) {
                if (s->count * inner > 1)
                    add_reals(out + s->to * inner, from + s->from * inner, s->count * inner);
                else
                    out[s->to] += from[s->from];
            }
        }
    }
    return 0;
}

static int find_stretches(pad_job *j, const int64_t *columns) {
    stretch *to = malloc((size_t)(j->column_count + 1) * sizeof *to);
    if (!to) return FC_NO_MEMORY;
    int64_t count = 0, longest = 0;
    for (int64_t i = 0; i < j->column_count;) {
        int64_t n = 1;
        while (i + n < j->column_count && columns[i] >= 0 && columns[i + n] == columns[i] + n) n++;
        if (columns[i] >= 0) {
            to[count] = (stretch){i, columns[i], n};
            if (n > to[longest].count) longest = count;
            count++;
        }
        i += n;
    }
    if (count) {
        stretch first = to[longest];
        to[longest] = to[0], to[0] = first;
    }
    j->stretches = to, j->stretch_count = count;
    return 0;
}

int FC_NAME(pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner,
                          const int64_t *rows, int64_t row_count, const int64_t *columns, int64_t column_count, int threads) {
    pad_job j = {.gradient = gradient, .out = out, .height = height, .width = width, .inner = inner,
                 .row_count = row_count, .column_count = column_count};
    reading read = {rows, NULL, 1, row_count};
    double reals = (double)planes * (double)(row_count * column_count) * (double)inner;
    int status = find_readers(&j.rows, height, &read);
    if (!status) status = find_stretches(&j, columns);
    if (!status) status = fc_parallel(planes * height, fc_worth(reals / 4, threads), pad_work, &j);
    free_readers(&j.rows), free((void *)j.stretches);
    return status;
}
