/* Fold (col2im), the transpose of unfold: every pixel is the sum of its copies in the columns. Called through
 * `operations.def`.
 *
 * Columns are [image][channel][tap][window], images NCHW. Tasks are planes (image, channel), and a tap's windows are
 * added row by row, so that a plane's sums always have the same order. Many taps are added in parts, to totals beside
 * the plane, in bands of rows for which L1 has room. Limit: memory bandwidth. */
#include "base/parallel.h"
#include "base/total.h"

enum { PART_TAPS = 2 * PART_TERMS, BAND_BYTES = 8 << 10 };

typedef struct {
    const fc_conv *p;
    const real *columns;
    real *out;
} fold_job;

/* The places start + i * step within [low, high) are those of i in [*first, *end), at most [0, count). */
static void places_within(int64_t start, int64_t step, int64_t count, int64_t low, int64_t high, int64_t *first,
                          int64_t *end) {
    *first = start < low ? min64(ceil_div(low - start, step), count) : 0;
    *end = start < high ? max64(min64(ceil_div(high - start, step), count), *first) : *first;
}

/* Adds what the windows of a tap give to rows [low, high) of a plane. */
static void add_tap(const fc_conv *p, int64_t tap, const real *from, real *plane, int64_t low, int64_t high) {
    int64_t row = tap / p->kernel_w * p->dilation_h - p->pad_top, y, y_end;
    int64_t column = tap % p->kernel_w * p->dilation_w - p->pad_left, x_first, x_end;
    places_within(row, p->stride_h, p->out_height, low, high, &y, &y_end);
    places_within(column, p->stride_w, p->out_width, 0, p->width, &x_first, &x_end);
    for (; y < y_end; y++) {
        const real *line = from + y * p->out_width;
        real *to = plane + (y * p->stride_h + row) * p->width + column;
        if (p->stride_w == 1)
            for (int64_t x = x_first; x < x_end; x++) to[x] += line[x];
        else
            for (int64_t x = x_first; x < x_end; x++) to[x * p->stride_w] += line[x];
    }
}

static int fold_work(const void *context, int64_t begin, int64_t end) {
    const fold_job *j = context;
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, windows = p->out_height * p->out_width;
    int64_t band = p->height, room = 0;
    if (taps > PART_TAPS) {
        band = max64(1, min64(p->height, BAND_BYTES / (p->width * (int64_t)sizeof(real))));
        room = round_up(band * p->width, VL);
    }
    real *sums = fc_workspace(FC_OWN, (size_t)(2 * room + 1) * sizeof(real));
    if (!sums) return FC_NO_MEMORY;
    int64_t between = fc_steps_between((double)windows);
    for (int64_t plane = begin; plane < end; plane++) {
        real *out = j->out + plane * p->height * p->width;
        const real *from = j->columns + plane * taps * windows;
        for (int64_t low = 0; low < p->height; low += band) {
            int64_t high = min64(low + band, p->height), n = (high - low) * p->width;
            real *rows = out + low * p->width;
            clear_reals(rows, n);
            clear_reals(sums, 2 * room);
            for (int64_t t = 0; t < taps; t++) {
                int status = t % between == 0 ? fc_called_off() : 0;
                if (status) return status;
                if (t && t % PART_TAPS == 0) add_parts(sums, sums + room, rows, n), clear_reals(rows, n);
                add_tap(p, t, from + t * windows, out, low, high);
            }
            if (taps > PART_TAPS) add_parts(sums, sums + room, rows, n), copy_totals(rows, sums, sums + room, n);
        }
    }
    return 0;
}

int FC_NAME(fold)(const fc_conv *p, const void *columns, void *out, int threads) {
    fold_job j = {p, columns, out};
    double elements =
        (double)(p->batch * p->channels * p->kernel_h * p->kernel_w) * (double)(p->out_height * p->out_width);
    return fc_parallel(p->batch * p->channels, elements, threads, fold_work, &j);
}
