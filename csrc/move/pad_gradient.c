/* Padding read backwards: every pixel is the sum of its copies. Called through `operations.def`.
 *
 * Tasks are rows of the image. Its copies, whole rows of the padded image, are added up; then each pixel adds up its
 * columns of that sum, neighbours together where their copies are neighbours too. Limit: memory bandwidth. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/sum_rows.h"

/* The copies of each row, or column, of the image in the padded one: those of i are list[begin[i]], ...,
 * list[begin[i + 1] - 1]. */
typedef struct {
    int64_t *begin, *list;
    int64_t most; /* copies of one */
} copies;

/* Neighbouring columns of the padded image that are neighbours in the image too. */
typedef struct {
    int64_t from, to, count;
} column_stretch;

typedef struct {
    const real *gradient;
    real *out;
    int64_t height, width, inner, row_count, column_count; /* a pixel is `inner` reals */
    copies rows, columns;
    const column_stretch *stretches; /* the longest first */
    int64_t stretch_count;
} pad_gradient_job;

/* A few columns for each pixel. */
static void add_stretches(const pad_gradient_job *j, const real *line, real *out) {
    for (const column_stretch *s = j->stretches + 1; s < j->stretches + j->stretch_count; s++) {
        if (s->count * j->inner > 1)
            add_reals(out + s->to * j->inner, line + s->from * j->inner, s->count * j->inner);
        else
            out[s->to] += line[s->from];
    }
}

/* Many: totals, for all pixels but those whose only column has been copied. */
static void sum_columns(const pad_gradient_job *j, const real *line, real *out, const real **terms) {
    const column_stretch *copied = j->stretches;
    for (int64_t x = 0; x < j->width; x++) {
        const int64_t *list = j->columns.list + j->columns.begin[x];
        int64_t count = j->columns.begin[x + 1] - j->columns.begin[x];
        if (count == 1 && x >= copied->to && x < copied->to + copied->count) continue;
        for (int64_t i = 0; i < count; i++) terms[i] = line + list[i] * j->inner;
        sum_rows(out + x * j->inner, terms, count, j->inner);
    }
}

static int pad_work(const void *context, int64_t begin, int64_t end) {
    const pad_gradient_job *j = context;
    int64_t inner = j->inner, row = j->width * inner, padded = j->column_count * inner;
    size_t reals = (size_t)round_up(padded, VL) * sizeof(real);
    char *memory = fc_workspace(FC_OWN, reals + (size_t)max64(j->rows.most, j->columns.most) * sizeof(real *));
    if (!memory) return FC_NO_MEMORY;
    const real **terms = (const real **)(memory + reals);
    column_stretch most = j->stretch_count ? j->stretches[0] : (column_stretch){0, 0, 0};
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->height, y = task % j->height, own = j->rows.begin[y + 1] - j->rows.begin[y];
        const int64_t *list = j->rows.list + j->rows.begin[y];
        real *out = j->out + task * row;
        int64_t filled = own ? most.to + most.count : 0;
        clear_reals(out + filled * inner, row - filled * inner);
        if (!own) continue;
        for (int64_t i = 0; i < own; i++) terms[i] = j->gradient + (plane * j->row_count + list[i]) * padded;
        const real *line = own > 1 ? (real *)memory : terms[0];
        if (own > 1) sum_rows((real *)memory, terms, own, padded);
        clear_reals(out, most.to * inner);
        copy_reals(out + most.to * inner, line + most.from * inner, most.count * inner);
        if (j->columns.most > PART_TERMS)
            sum_columns(j, line, out, terms);
        else
            add_stretches(j, line, out);
    }
    return 0;
}

/* `places` are `count` places in the image, or negative. */
static int find_copies(copies *c, const int64_t *places, int64_t count, int64_t size) {
    *c = (copies){.begin = calloc((size_t)(size + 2 + count), sizeof *c->begin)};
    if (!c->begin) return FC_NO_MEMORY;
    c->list = c->begin + size + 2;
    int64_t *next = c->begin + 1; /* while lists grow, next[i] is where that of i ends */
    for (int64_t i = 0; i < count; i++)
        if (places[i] >= 0) c->most = max64(c->most, ++next[places[i] + 1]);
    for (int64_t i = 0; i < size; i++) next[i + 1] += next[i];
    for (int64_t i = 0; i < count; i++)
        if (places[i] >= 0) c->list[next[places[i]]++] = i;
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
    double reals = (double)planes * (double)(row_count * column_count) * (double)inner;
    int status = find_copies(&j.rows, rows, row_count, height);
    if (!status) status = find_copies(&j.columns, columns, column_count, width);
    if (!status) status = find_column_stretches(&j, columns);
    if (!status) status = fc_parallel(planes * height, reals / 4, threads, pad_work, &j);
    free(j.rows.begin), free(j.columns.begin), free((void *)j.stretches);
    return status;
}
