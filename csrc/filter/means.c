/* Means of boxes. Called through `operations.def`. Limit: the first-level cache.
 *
 * Windows of 1, 2, 4, ... pixels are put together from two of half their size, so that the time grows with the
 * logarithm of the window, and neither a rounding error nor what is not a number leaves the windows that hold it. Sums
 * of integers have no rounding errors: down the columns one row comes and one leaves. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "filter/rows.h"
#include "filter/small_boxes.h"

enum { TASK_BYTES = 192 << 10 };
enum { LEAST_ROWS = 32 };
enum { ABREAST = 4 };      /* vectors that are halved at once */
enum { MOST_LEVELS = 63 }; /* of halves */
#define EACH(v, count) _Pragma("GCC unroll 4") for (int v = 0; v < count; v++)

typedef struct {
    const fc_filter *f;
    const char *x;
    char *out;
    bands b;
    int64_t room;
    int running; /* sums down the columns are kept from row to row */
    int late;    /* sums down the columns are not divided: the last ones are, by the pixels of the whole box */
} means_job;

/* Whole vectors, for which every row has room. */
static void add_shifted(real *to, const real *a, const real *b, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) store(to + i, load(a + i) + load(b + i));
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

/* Are the pixels from `first` up to `end`, which lie beyond the row, the constant or pixels of `inside`? */
static int copies(const fc_filter *f, const band *inside, int64_t first, int64_t end) {
    for (int64_t v = first; v < end; v++) {
        int64_t from = f->before + f->columns[v];
        if (f->columns[v] >= 0 && (from < inside->pixel || from >= inside->pixel_end)) return 0;
    }
    return 1;
}

/* The pixels, as the windows number them, whose columns a task sums up: those within the row, if others have no sums of
 * their own. */
static band summed_pixels(const fc_filter *f, const band *b) {
    int64_t first = b->pixel, end = b->pixel_end + f->kernel_w - 1;
    band inside = inside_row(f, first, end);
    int enough = copies(f, &inside, first, inside.pixel) && copies(f, &inside, inside.pixel_end, end);
    return enough ? inside : (band){.pixel = first, .pixel_end = end};
}

/* Of `c` channels each. */
INLINE
void copy_pixels(real *line, const fc_filter *f, int64_t origin, int64_t first, int64_t end, real constant,
                 const int64_t c) {
    for (int64_t v = first; v < end; v++)
        for (int64_t k = 0, from = f->columns[v]; k < c; k++)
            line[(v - origin) * c + k] = from < 0 ? constant : line[(f->before + from - origin) * c + k];
}

/* Pixels beyond the row are the constant or copies of summed ones; `line` begins with pixel `origin`. */
static void fill_outside(real *line, const fc_filter *f, int64_t origin, int64_t first, int64_t end, real constant) {
    if (f->channels == 1)
        copy_pixels(line, f, origin, first, end, constant, 1);
    else
        copy_pixels(line, f, origin, first, end, constant, f->channels);
}

/* A row of sums down the columns becomes a row of means. */
static void finish_row(const means_job *j, const band *b, const band *summed, int64_t row, real *const *buffers) {
    const fc_filter *f = j->f;
    int64_t c = f->channels, first = b->pixel, pixels = b->pixel_end - first;
    real *line = buffers[0], constant = (real)(f->constant * (j->late ? (double)f->kernel_h : 1));
    if (f->kernel_h > 1 && !j->late) {
        real *sums = line + (summed->pixel - first) * c;
        int64_t n = (summed->pixel_end - summed->pixel) * c;
        divide(sums, n, f->kernel_h);
        FC_NAME(filter_narrow)(sums, f, n);
    }
    fill_outside(line, f, first, first, summed->pixel, constant);
    fill_outside(line, f, first, summed->pixel_end, b->pixel_end + f->kernel_w - 1, constant);
    if (f->kernel_w > 1) line = sum_windows(buffers, pixels, f->kernel_w, c);
    int64_t size = (j->late ? f->kernel_h : 1) * f->kernel_w;
    if (size > 1) divide(line, pixels * c, size);
    FC_NAME(filter_write_row)(j->out, f, b, row, line);
}

/* How many rows of sums of 2^level rows are kept: as far back as longer sums and whole windows need them. */
static int64_t kept_rows(int64_t size, int level) {
    int64_t power = (int64_t)1 << level;
    return (2 * power <= size ? power : size & (power - 1)) + 1;
}

static int64_t kept_in_all(int64_t size) {
    int64_t rows = 0;
    for (int level = 0; (int64_t)1 << level <= size; level++) rows += kept_rows(size, level);
    return rows;
}

/* Of a row: sums of twice as many rows, from those that end here and those that end `power` rows ago; and what the
 * whole window takes of them, or NULL. */
typedef struct {
    const real *before, *part;
    real *to;
} halving;

/* The newest row `x` becomes the newest of all kept ones; `whole` is the sum of what whole windows take. */
static void halve_row(const halving *levels, int count, const real *x, int takes, real *whole, int64_t n) {
    for (int64_t i = 0; i < n; i += ABREAST * VL) {
        vec last[ABREAST], sum[ABREAST];
        EACH(v, ABREAST) last[v] = load(x + i + v * VL), sum[v] = takes ? last[v] : splat(-(real)0);
        for (const halving *l = levels; l < levels + count; l++) {
            EACH(v, ABREAST) store(l->to + i + v * VL, last[v] += load(l->before + i + v * VL));
            if (l->part) EACH(v, ABREAST) sum[v] += load(l->part + i + v * VL);
        }
        EACH(v, ABREAST) store(whole + i + v * VL, sum[v]);
    }
}

/* The rows of a task: with each, sums of the last 2, 4, ... rows are made from those of half as many. */
static void halve_columns(const means_job *j, const band *b, real *memory) {
    const fc_filter *f = j->f;
    int64_t size = f->kernel_h, room = j->room;
    band summed = summed_pixels(f, b);
    int64_t pixels = summed.pixel_end - summed.pixel, n = pixels * f->channels;
    int64_t at = (summed.pixel - b->pixel) * f->channels;
    real *const line[] = {memory, memory + room, memory + 2 * room};
    for (int64_t row = 0; row < b->row_end - b->row + size - 1; row++) {
        real *kept = memory + 3 * room, *x = kept + row % kept_rows(size, 0) * room;
        FC_NAME(filter_read_row)(x, f, j->x + b->image * f->x_image, b->row + row, summed.pixel, pixels);
        halving levels[MOST_LEVELS];
        int count = 0;
        for (int64_t power = 1, taken = size & 1; 2 * power <= size; power *= 2, count++) {
            int64_t rows = kept_rows(size, count), next = kept_rows(size, count + 1);
            const real *before = kept + (row + 1) % rows * room; /* the oldest that is kept */
            kept += rows * room;
            levels[count] = (halving){before, NULL, kept + row % next * room};
            if (size & 2 * power) levels[count].part = kept + (row + next - taken) % next * room, taken += 2 * power;
        }
        /* Sums of too few rows, too: nobody reads those. The last vectors may reach into the next line. */
        halve_row(levels, count, x, size & 1, line[0] + at, n);
        if (row >= size - 1) finish_row(j, b, &summed, b->row + row - size + 1, line);
    }
}

/* The same where sums have no rounding errors. */
static void run_columns(const means_job *j, const band *b, real *memory) {
    const fc_filter *f = j->f;
    int64_t ring = f->kernel_h, room = j->room;
    band summed = summed_pixels(f, b);
    int64_t pixels = summed.pixel_end - summed.pixel, n = pixels * f->channels;
    int64_t at = (summed.pixel - b->pixel) * f->channels;
    real *sums = memory + ring * room;
    real *const line[] = {sums + room, sums + 2 * room, sums + 3 * room};
    memset(sums, 0, (size_t)n * sizeof(real));
    for (int64_t row = b->row; row < b->row_end + f->kernel_h - 1; row++) {
        real *come = memory + row % ring * room;
        if (row >= b->row + ring) take_row(sums, come, n);
        FC_NAME(filter_read_row)(come, f, j->x + b->image * f->x_image, row, summed.pixel, pixels);
        add_row(sums, come, n);
        if (row < b->row + ring - 1) continue;
        memcpy(line[0] + at, sums, (size_t)n * sizeof(real));
        finish_row(j, b, &summed, row - ring + 1, line);
    }
}

static int means_work(const void *context, int64_t begin, int64_t end) {
    const means_job *j = context;
    const fc_filter *f = j->f;
    int64_t kept = j->running ? f->kernel_h + 4 : kept_in_all(f->kernel_h) + 3;
    real *memory = fc_workspace(FC_OWN, (size_t)(kept * j->room) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        band b = band_of(f, &j->b, task);
        if (j->running)
            run_columns(j, &b, memory);
        else
            halve_columns(j, &b, memory);
    }
    return 0;
}

int FC_NAME(filter_means)(const fc_filter *f, const void *x, void *out, int threads) {
    if (!tables_fit(f)) return FC_OUT_OF_RANGE;
    means_job j = {.f = f, .x = x, .out = out};
    double digits = FC_DOUBLE ? 0x1p53 : 0x1p24;
    int exact = f->constant == (double)(int32_t)f->constant; /* what columns of it sum to is exact, too */
    double largest = ldexp(1, (int)(8 * item_of(f->x_type)) - !(f->x_type & 1)); /* unsigned types are odd numbers */
    j.running = f->x_type < FC_P_F32 && exact && f->kernel_h > 1 &&
                (fabs(f->constant) + largest) * (double)f->kernel_h < digits;
    /* Floats are divided along each axis, as by one filter after the other. */
    j.late = f->kernel_w > 1 && f->rounding == FC_SATURATE && f->between < 0 && (exact || !has_constant(f));
    int status = small_means(f, j.late, x, out, threads);
    if (status != FC_NOT_MINE) return status;
    int64_t kept = j.running ? f->kernel_h + 4 : kept_in_all(f->kernel_h) + 3;
    j.b = bands_of(f, kept, sizeof(real), max64(TASK_BYTES, fc_l2_bytes() / 2), LEAST_ROWS);
    lengthen(f, &j.b, j.running ? f->kernel_h / 4 : f->kernel_h); /* sums that run begin soon */
    j.room = round_up((j.b.pixels + f->kernel_w - 1) * f->channels, ABREAST * VL) + VL;
    double numbers = (double)f->images * (double)f->height * (double)f->width * (double)f->channels;
    return fc_parallel(band_count(f, &j.b), numbers * 40 / VL, threads, means_work, &j);
}
