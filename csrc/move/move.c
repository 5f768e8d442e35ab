/* Operations that only move data, for any element of 1, 2, 4 or 8 bytes: pad, unfold, scatter, gather. They are entry
 * points of fastconv.h, compiled once for all instruction sets, since memory limits them and not arithmetic.
 *
 * Tasks are rows of the result, or planes where places are not known in advance. An element is copied as an unsigned
 * integer of its size; neighbours that stay neighbours are copied together. Limit: memory bandwidth. */
#include <string.h>

#include "fastconv.h"
#include "base/parallel.h"

/* Copies `count` elements, which lie `from_step` and `to_step` elements apart. */
static void copy_strided(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t count, int item) {
    if (to_step == 1 && from_step == 1) {
        memcpy(to, from, (size_t)(count * item));
        return;
    }
#define COPY(type)                                                                                                     \
    for (int64_t i = 0; i < count; i++) ((type *)to)[i * to_step] = ((const type *)from)[i * from_step]
    switch (item) {
        case 1: COPY(uint8_t); break;
        case 2: COPY(uint16_t); break;
        case 4: COPY(uint32_t); break;
        default: COPY(uint64_t); break;
    }
#undef COPY
}

/* ---- pad ---- */

enum { NEIGHBOURS = 8 }; /* of fewer pixels a call of memcpy takes longer than copying them one by one */

typedef struct {
    const char *x;
    char *out;
    int64_t height, width, inner;
    const int64_t *rows, *columns;
    int64_t row_count, column_count;
    const char *value;
    int item;
} pad_job;

static void fill(char *to, const char *value, int64_t count, int item) {
    for (int64_t i = 0; i < count; i++) memcpy(to + i * item, value, (size_t)item);
}

/* Copies columns [i, count) of a row of the result one by one, up to one from outside or a stretch of neighbours, and
 * returns where that begins. */
static int64_t copy_single(const pad_job *j, char *to, const char *row, int64_t i) {
    const int64_t *from = j->columns, count = j->column_count;
#define COPY(type)                                                                                                     \
    for (; i < count && from[i] >= 0 &&                                                                                \
           !(i + NEIGHBOURS <= count && from[i + NEIGHBOURS - 1] - from[i] == NEIGHBOURS - 1);                         \
         i++)                                                                                                          \
    ((type *)to)[i] = ((const type *)row)[from[i]]
    switch (j->inner == 1 ? j->item : 0) {
        case 1: COPY(uint8_t); break;
        case 2: COPY(uint16_t); break;
        case 4: COPY(uint32_t); break;
        case 8: COPY(uint64_t); break;
        default: break;
    }
#undef COPY
    return i;
}

/* Tasks are rows of the output; a pixel is `inner` elements. */
static int pad_work(const void *context, int64_t begin, int64_t end) {
    const pad_job *j = context;
    int64_t pixel = j->inner * j->item;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->row_count, source = j->rows[task % j->row_count];
        char *to = j->out + task * j->column_count * pixel;
        if (source < 0) {
            fill(to, j->value, j->column_count * j->inner, j->item);
            continue;
        }
        if (task > begin && task % j->row_count && source == j->rows[task % j->row_count - 1]) {
            memcpy(to, to - j->column_count * pixel, (size_t)(j->column_count * pixel));
            continue;
        }
        const char *row = j->x + (plane * j->height + source) * j->width * pixel;
        for (int64_t i = 0; (i = copy_single(j, to, row, i)) < j->column_count;) {
            /* Neighbouring columns are one copy. */
            int64_t first = j->columns[i], n = 1;
            if (first < 0) {
                fill(to + i * pixel, j->value, j->inner, j->item);
            } else {
                while (i + n < j->column_count && j->columns[i + n] == first + n) n++;
                memcpy(to + i * pixel, row + first * pixel, (size_t)(n * pixel));
            }
            i += n;
        }
    }
    return 0;
}

int fc_pad(const void *x, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner, const int64_t *rows,
           int64_t row_count, const int64_t *columns, int64_t column_count, const void *value, int item, int threads) {
    pad_job j = {x, out, height, width, inner, rows, columns, row_count, column_count, value, item};
    double bytes = (double)planes * (double)row_count * (double)(column_count * inner * item);
    return fc_parallel(planes * row_count, bytes / 16, threads, pad_work, &j);
}

/* ---- unfold (im2col) ---- */

typedef struct {
    const fc_conv *p;
    const char *x;
    char *out;
    int item;
} unfold_job;

/* Tasks are rows of the result: (image, channel, tap). */
static int unfold_work(const void *context, int64_t begin, int64_t end) {
    const unfold_job *j = context;
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, item = j->item;
    for (int64_t task = begin; task < end; task++) {
        int64_t tap = task % taps;
        int64_t row = tap / p->kernel_w * p->dilation_h - p->pad_top;
        int64_t column = tap % p->kernel_w * p->dilation_w - p->pad_left;
        const char *plane = j->x + task / taps * p->height * p->width * item;
        int64_t low = column < 0 ? (-column + p->stride_w - 1) / p->stride_w : 0;
        int64_t high = p->width > column ? (p->width - column + p->stride_w - 1) / p->stride_w : 0;
        if (high > p->out_width) high = p->out_width;
        if (low > high) low = high;
        for (int64_t y = 0; y < p->out_height; y++) {
            char *to = j->out + (task * p->out_height + y) * p->out_width * item;
            int64_t from = y * p->stride_h + row;
            int exists = from >= 0 && from < p->height;
            int64_t start = exists ? low : p->out_width, stop = exists ? high : p->out_width;
            memset(to, 0, (size_t)(start * item));
            if (stop > start)
                copy_strided(to + start * item, 1, plane + (from * p->width + column + start * p->stride_w) * item,
                             p->stride_w, stop - start, j->item);
            memset(to + stop * item, 0, (size_t)((p->out_width - stop) * item));
        }
    }
    return 0;
}

int fc_unfold(const fc_conv *p, const void *x, void *out, int item, int threads) {
    unfold_job j = {p, x, out, item};
    int64_t rows = p->batch * p->channels * p->kernel_h * p->kernel_w;
    double elements = (double)rows * (double)(p->out_height * p->out_width);
    return fc_parallel(rows, elements / 4, threads, unfold_work, &j);
}

/* ---- scatter (max_unpool2d) ---- */

typedef struct {
    const char *values;
    const int64_t *indices;
    char *out;
    int64_t channels, count, plane;
    int nhwc, item;
} scatter_job;

enum { SCATTER_STEP = 1 << 14 }; /* values, or pixels of them, between two looks whether the call is called off */

/* Tasks are planes (image, channel) for NCHW, images for NHWC, so that no two threads write the same element. */
static int scatter_work(const void *context, int64_t begin, int64_t end) {
    const scatter_job *j = context;
    int64_t inner = j->nhwc ? j->channels : 1, size = j->plane * inner, count = j->count * inner;
    memset(j->out + begin * size * j->item, 0, (size_t)((end - begin) * size * j->item));
    for (int64_t task = begin; task < end; task++) {
        char *to = j->out + task * size * j->item;
        const char *from = j->values + task * count * j->item;
        const int64_t *at = j->indices + task * count;
        for (int64_t first = 0, stop; first < j->count; first = stop) {
            int status = fc_called_off();
            if (status) return status;
            stop = first + SCATTER_STEP < j->count ? first + SCATTER_STEP : j->count;
#define SCATTER(type)                                                                                                  \
    for (int64_t i = first; i < stop; i++)                                                                             \
        for (int64_t c = 0; c < inner; c++)                                                                            \
    ((type *)to)[at[i * inner + c] * inner + c] = ((const type *)from)[i * inner + c]
            switch (j->item) {
                case 1: SCATTER(uint8_t); break;
                case 2: SCATTER(uint16_t); break;
                case 4: SCATTER(uint32_t); break;
                default: SCATTER(uint64_t); break;
            }
#undef SCATTER
        }
    }
    return 0;
}

int fc_scatter(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
               int64_t plane, int layout, int item, int threads) {
    scatter_job j = {values, indices, out, channels, count, plane, layout == FC_NHWC, item};
    double elements = (double)(batch * channels) * (double)(count + plane);
    return fc_parallel(j.nhwc ? batch : batch * channels, elements / 2, threads, scatter_work, &j);
}

/* ---- gather (the gradient of max_unpool2d) ---- */

typedef struct {
    const char *x;
    const int64_t *indices;
    char *out;
    int64_t channels, count, plane, parts;
    int nhwc, item;
} gather_job;

enum { GATHER_PART = 4096 }; /* elements */

/* Tasks are parts of a plane's values (NCHW), or of an image's (NHWC). */
static int gather_work(const void *context, int64_t begin, int64_t end) {
    const gather_job *j = context;
    int64_t inner = j->nhwc ? j->channels : 1;
    for (int64_t task = begin; task < end; task++) {
        int64_t of = task / j->parts, part = task % j->parts;
        int64_t i = j->count * part / j->parts, stop = j->count * (part + 1) / j->parts;
        const char *from = j->x + of * j->plane * inner * j->item;
        const int64_t *at = j->indices + of * j->count * inner;
        char *to = j->out + of * j->count * inner * j->item;
        for (int64_t v = i * inner; v < stop * inner; v++)
            if (at[v] < 0 || at[v] >= j->plane) return FC_OUT_OF_RANGE;
#define GATHER(type)                                                                                                   \
    if (inner == 1)                                                                                                    \
        for (; i < stop; i++) ((type *)to)[i] = ((const type *)from)[at[i]];                                           \
    else                                                                                                               \
        for (; i < stop; i++)                                                                                          \
            for (int64_t c = 0; c < inner; c++)                                                                        \
        ((type *)to)[i * inner + c] = ((const type *)from)[at[i * inner + c] * inner + c]
        switch (j->item) {
            case 1: GATHER(uint8_t); break;
            case 2: GATHER(uint16_t); break;
            case 4: GATHER(uint32_t); break;
            default: GATHER(uint64_t); break;
        }
#undef GATHER
    }
    return 0;
}

int fc_gather(const void *x, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
              int64_t plane, int layout, int item, int threads) {
    gather_job j = {x, indices, out, channels, count, plane, 1, layout == FC_NHWC, item};
    int64_t inner = j.nhwc ? channels : 1, parts = count * inner / GATHER_PART;
    j.parts = parts < 1 ? 1 : parts > count ? count : parts;
    double elements = (double)(batch * channels) * (double)count;
    return fc_parallel(batch * channels / inner * j.parts, elements, threads, gather_work, &j);
}
