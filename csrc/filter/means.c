/* Means of boxes. Called through `operations.def`. Limit: the first-level cache.
 *
 * Windows of 1, 2, 4, ... pixels are put together from two of half their size, so that the time grows with the
 * logarithm of the window, and neither a rounding error nor what is not a number leaves the windows that hold it. Sums
 * of integers have no rounding errors: down the columns one row comes and one leaves. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "filter/rows.h"
#include "filter/small_boxes.h"

enum { TASK_BYTES = 192 << 10 };
enum { LEAST_ROWS = 32 };

typedef struct {
    const fc_filter *f;
    const char *x;
    char *out;
    bands b;
    int64_t room;
    int running; /* sums down the columns are kept from row to row */
    int late;    /* sums down the columns are not divided: the last ones are, by the pixels of the whole box */
} means_job;

static void add_shifted(real *restrict to, const real *a, const real *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = a[i] + b[i];
}

static void add_row(real *restrict sums, const real *come, int64_t n) {
    for (int64_t i = 0; i < n; i++) sums[i] += come[i];
}

static void take_row(real *restrict sums, const real *leave, int64_t n) {
    for (int64_t i = 0; i < n; i++) sums[i] -= leave[i];
}

static void divide(real *row, int64_t n, int64_t size) {
    real divisor = (real)size;
    for (int64_t i = 0; i < n; i++) row[i] /= divisor;
}

/* One of three buffers that is neither of these. */
static real *other_than(real *const *buffers, const real *a, const real *b) {
    while (*buffers == a || *buffers == b) buffers++;
    return *buffers;
}

/* Sums of `size` numbers `step` apart, for `count` * step places: one part for each binary digit of `size`. The first
 * of three buffers has them, with size - 1 places more; all are used up, and the result is in one of them. */
static real *sum_windows(real *const *buffers, int64_t count, int64_t size, int64_t step) {
    int64_t start = 0, places = count + size - 1;
    real *x = buffers[0], *total = NULL;
    for (int64_t power = 1;; power *= 2) {
        if (size & power) {
            if (total) {
                real *to = other_than(buffers, x, total);
                add_shifted(to, total, x + start * step, count * step);
                total = to;
            } else {
                total = x;
            }
            start += power;
        }
        if (2 * power > size) return total;
        places -= power;
        real *to = other_than(buffers, x, total);
        add_shifted(to, x, x + power * step, places * step);
        x = to;
    }
}

/* A row of sums down the columns becomes a row of means. */
static void finish_row(const means_job *j, const band *b, int64_t row, real *const *buffers) {
    const fc_filter *f = j->f;
    int64_t c = f->channels, pixels = b->pixel_end - b->pixel, wide = pixels + f->kernel_w - 1;
    real *line = buffers[0];
    if (f->kernel_h > 1 && !j->late) {
        divide(line, wide * c, f->kernel_h);
        FC_NAME(filter_narrow)(line, f, wide * c);
        if (j->f->kernel_w > 1 && has_constant(f)) FC_NAME(filter_renew_constant)(line, f, b->pixel, wide);
    }
    if (f->kernel_w > 1) line = sum_windows(buffers, pixels, f->kernel_w, c);
    int64_t size = (j->late ? f->kernel_h : 1) * f->kernel_w;
    if (size > 1) divide(line, pixels * c, size);
    FC_NAME(filter_write_row)(j->out, f, b, row, line);
}

/* The rows of a task, whose columns are summed all at once. */
static void sum_columns(const means_job *j, const band *b, real *memory) {
    const fc_filter *f = j->f;
    int64_t rows = b->row_end - b->row, all = j->b.rows + f->kernel_h - 1, room = j->room;
    int64_t wide = b->pixel_end - b->pixel + f->kernel_w - 1;
    real *const buffers[] = {memory, memory + all * room, memory + 2 * all * room};
    real *along = memory + 3 * all * room;
    for (int64_t row = 0; row < rows + f->kernel_h - 1; row++)
        FC_NAME(filter_read_row)(memory + row * room, f, j->x + b->image * f->x_image, b->row + row, b->pixel, wide);
    real *columns = sum_windows(buffers, rows, f->kernel_h, room);
    for (int64_t row = 0; row < rows; row++) {
        real *const line[] = {columns + row * room, along, along + room};
        finish_row(j, b, b->row + row, line);
    }
}

/* The same where sums have no rounding errors. */
static void run_columns(const means_job *j, const band *b, real *memory) {
    const fc_filter *f = j->f;
    int64_t ring = f->kernel_h, room = j->room, pixels = b->pixel_end - b->pixel + f->kernel_w - 1;
    int64_t n = pixels * f->channels;
    real *sums = memory + ring * room;
    real *const line[] = {sums + room, sums + 2 * room, sums + 3 * room};
    memset(sums, 0, (size_t)n * sizeof(real));
    for (int64_t row = b->row; row < b->row_end + f->kernel_h - 1; row++) {
        real *come = memory + row % ring * room;
        if (row >= b->row + ring) take_row(sums, come, n);
        FC_NAME(filter_read_row)(come, f, j->x + b->image * f->x_image, row, b->pixel, pixels);
        add_row(sums, come, n);
        if (row < b->row + ring - 1) continue;
        memcpy(line[0], sums, (size_t)n * sizeof(real));
        finish_row(j, b, row - ring + 1, line);
    }
}

static int means_work(const void *context, int64_t begin, int64_t end) {
    const means_job *j = context;
    const fc_filter *f = j->f;
    int64_t kept = j->running ? f->kernel_h + 4 : 3 * (j->b.rows + f->kernel_h - 1) + 2;
    real *memory = fc_workspace(FC_OWN, (size_t)(kept * j->room) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        band b = band_of(f, &j->b, task);
        if (j->running)
            run_columns(j, &b, memory);
        else
            sum_columns(j, &b, memory);
    }
    return 0;
}

int FC_NAME(filter_means)(const fc_filter *f, const void *x, void *out, int threads) {
    if (!tables_fit(f)) return FC_OUT_OF_RANGE;
    means_job j = {.f = f, .x = x, .out = out};
    double digits = FC_DOUBLE ? 0x1p53 : 0x1p24;
    int whole = f->constant == (double)(int32_t)f->constant; /* what columns of it sum to is exact, too */
    j.running =
        f->x_type < FC_P_F32 && whole && f->kernel_h > 1 && (fabs(f->constant) + 65536) * (double)f->kernel_h < digits;
    j.late = f->kernel_w > 1 && f->rounding == FC_SATURATE && f->between < 0 && (whole || !has_constant(f));
    int status = small_means(f, j.late, x, out, threads);
    if (status != FC_NOT_MINE) return status;
    int64_t least = max64(LEAST_ROWS, f->kernel_h);
    if (j.running)
        j.b = bands_of(f, f->kernel_h + 4, sizeof(real), TASK_BYTES, 2 * least);
    else
        j.b = bands_of(f, 3 * (least + f->kernel_h), sizeof(real), TASK_BYTES, least);
    j.room = round_up((j.b.pixels + f->kernel_w - 1) * f->channels, VL) + VL;
    double numbers = (double)f->images * (double)f->height * (double)f->width * (double)f->channels;
    return fc_parallel(band_count(f, &j.b), numbers * 40 / VL, threads, means_work, &j);
}
