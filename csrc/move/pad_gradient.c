/* Padding read backwards: every pixel is the sum of its copies. Called through `operations.def`. Limit: memory
 * bandwidth. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/readers.h"
#include "base/simd.h"

/* Neighbouring columns of the padded image that are neighbours in the image too. */
typedef struct {
    int64_t from, to, count;
} column_stretch;

typedef struct {
    const real *gradient;
    real *out;
    int64_t height, width, inner, row_count, column_count; /* a pixel is `inner` reals */
    readers rows;
    const column_stretch *stretches; /* the longest first */
    int64_t stretch_count;
} pad_gradient_job;

static void add_reals(real *to, const real *from, int64_t n) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) store(to + i, load(to + i) + load(from + i));
    if (i < n) store_n(to + i, load_n(to + i, n - i) + load_n(from + i, n - i), n - i);
}

static int pad_work(const void *context, int64_t begin, int64_t end) {
    const pad_gradient_job *j = context;
    int64_t inner = j->inner, row = j->width * inner;
    column_stretch most = j->stretch_count ? j->stretches[0] : (column_stretch){0, 0, 0};
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->height, y = task % j->height, own = j->rows.begin[y + 1] - j->rows.begin[y];
        const int64_t *list = j->rows.list + j->rows.begin[y];
        real *out = j->out + task * row;
        int64_t filled = own ? most.to + most.count : 0;
        clear_reals(out + filled * inner, row - filled * inner);
        for (int64_t i = 0; i < own; i++) {
            int status = i % 64 == 63 ? fc_called_off() : 0; /* padding may be far larger than the image */
            if (status) return status;
            const real *from = j->gradient + (plane * j->row_count + list[i]) * j->column_count * inner;
            if (i) {
                add_reals(out + most.to * inner, from + most.from * inner, most.count * inner);
            } else {
                clear_reals(out, most.to * inner);
                copy_reals(out + most.to * inner, from + most.from * inner, most.count * inner);
            }
            for (const column_stretch *s = j->stretches + 1; s < j->stretches + j->stretch_count; s++) {
                if (s->count * inner > 1)
                    add_reals(out + s->to * inner, from + s->from * inner, s->count * inner);
                else
                    out[s->to] += from[s->from];
            }
        }
    }
    return 0;
}

static int find_column_stretches(pad_gradient_job *j, const int64_t *columns) {
    column_stretch *to = malloc((size_t)(j->column_count + 1) * sizeof *to);
    if (!to) return FC_NO_MEMORY;
    int64_t count = 0, longest = 0;
    for (int64_t i = 0; i < j->column_count;) {
        int64_t n = 1;
        while (i + n < j->column_count && columns[i] >= 0 && columns[i + n] == columns[i] + n) n++;
        if (columns[i] >= 0) {
            to[count] = (column_stretch){i, columns[i], n};
            if (n > to[longest].count) longest = count;
            count++;
        }
        i += n;
    }
    if (count) {
        column_stretch first = to[longest];
        to[longest] = to[0], to[0] = first;
    }
    j->stretches = to, j->stretch_count = count;
    return 0;
}

int FC_NAME(pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner,
                          const int64_t *rows, int64_t row_count, const int64_t *columns, int64_t column_count,
                          int threads) {
    pad_gradient_job j = {.gradient = gradient,
                          .out = out,
                          .height = height,
                          .width = width,
                          .inner = inner,
                          .row_count = row_count,
                          .column_count = column_count};
    reading read = {rows, NULL, 1, row_count};
    double reals = (double)planes * (double)(row_count * column_count) * (double)inner;
    int status = find_readers(&j.rows, height, &read);
    if (!status) status = find_column_stretches(&j, columns);
    if (!status) status = fc_parallel(planes * height, reals / 4, threads, pad_work, &j);
    free_readers(&j.rows), free((void *)j.stretches);
    return status;
}
