/* Sums of values at given places of planes, the gradient of maximum pooling. Called through `operations.def`.
 *
 * NCHW adds one value after the other to a plane in cache. In NHWC, windows of 3 pixels at most at small distances, the
 * usual ones, are known from the sizes and the first places: then every pixel asks the few windows that hold it whether
 * they picked it, in vectors of channels, and is written once. The answers are counted: images where a value got none
 * have other windows, and are done again, one value at a time. All add in the order of the values. Limit: memory
 * bandwidth. */
#include <stdlib.h>
#include <string.h>

#include "base/compensated.h"
#include "base/parallel.h"
#include "base/simd.h"
#include "base/sink.h"

typedef struct {
    const real *values;
    const int64_t *indices;
    real *out;
    int64_t channels, rows, columns, height, width; /* of the values; of a plane */
    int64_t stride, late, parts;                    /* NHWC: of regular windows; parts of an image */
    int64_t *answers;                               /* of every part */
    const int64_t *images;                          /* to be done by value, or NULL for all */
    int past;                                       /* the caches */
    double cycles;                                  /* of all that is to be done */
} scatter_add_job;

/* The last of n places; one below 0 is after all others. */
static uint64_t last_of(const int64_t *at, int64_t n) {
    uint64_t last = 0;
    for (int64_t i = 0; i < n; i++) last = (uint64_t)at[i] > last ? (uint64_t)at[i] : last;
    return last;
}

/* ---- by value ---- */

/* Values whose places are checked before they are added. */
enum { CHUNK = 256, LINE = 64 / sizeof(real) };
enum { CHUNKS_BETWEEN = 64 }; /* two looks whether the call is called off */

/* A sum whose digits do not dwindle with the number of its values: wider, or, where nothing wide is fast, in two. */
#if FC_DOUBLE
typedef struct {
    double sum, rest;
} accumulator;
INLINE
void accumulate(accumulator *a, double value) { ADD_PART(double, a->sum, a->rest, value); }
INLINE
double take(accumulator *a) {
    double value = a->sum + a->rest;
    *a = (accumulator){0, 0};
    return value;
}
#else
typedef double accumulator;
INLINE
void accumulate(accumulator *a, float value) { *a += (double)value; }
/* The sum, which is 0 afterwards. */
INLINE
float take(accumulator *a) {
    float value = (float)*a;
    *a = 0;
    return value;
}
#endif

static int planes_by_value(const void *context, int64_t begin, int64_t end) {
    const scatter_add_job *j = context;
    int64_t count = j->rows * j->columns, size = j->height * j->width, room = sink_room(1);
    sink s = {.out = j->out + begin * size, .room = room, .past = j->past};
    if (j->past) {
        s.buffer = fc_workspace(FC_OWN, (size_t)(room + 2 * VL) * sizeof(real));
        if (!s.buffer) return FC_NO_MEMORY;
    }
    accumulator *sums = calloc((size_t)size, sizeof *sums);
    int status = sums ? 0 : FC_NO_MEMORY;
    for (int64_t plane = begin; plane < end && !status; plane++) {
        const real *values = j->values + plane * count;
        const int64_t *at = j->indices + plane * count;
        for (int64_t i = 0; i < count && !status; i += CHUNK) {
            if (i % (CHUNK * CHUNKS_BETWEEN) == 0) status = fc_called_off();
            if (status) break;
            int64_t n = min64(CHUNK, count - i);
            uint64_t last = last_of(at + i, n);
            if (last >= (uint64_t)size) status = FC_OUT_OF_RANGE;
            if (status) break;
            for (int64_t v = i; v < i + n; v++) accumulate(&sums[at[v]], values[v]);
        }
        if (status) break;
        for (int64_t i = 0; i < size; i += room) {
            int64_t n = min64(room, size - i);
            real *restrict to = next_row(&s, n);
            for (int64_t k = 0; k < n; k++) to[k] = take(&sums[i + k]);
        }
    }
    if (s.buffer) flush(&s);
    settle();
    free(sums);
    return status;
}

/* Tasks are (image, cache line of channels), which no other thread touches. */
static int images_by_value(const void *context, int64_t begin, int64_t end) {
    const scatter_add_job *j = context;
    int64_t count = j->rows * j->columns, size = j->height * j->width, lines = ceil_div(j->channels, LINE);
    int64_t together = min64(LINE, j->channels);
    accumulator *sums = calloc((size_t)(size * together), sizeof *sums);
    int status = sums ? 0 : FC_NO_MEMORY;
    for (int64_t task = begin; task < end && !status; task++) {
        int64_t image = j->images ? j->images[task / lines] : task / lines, first = task % lines * LINE;
        int64_t n = min64(LINE, j->channels - first);
        real *out = j->out + image * size * j->channels + first;
        const real *values = j->values + image * count * j->channels + first;
        const int64_t *at = j->indices + image * count * j->channels + first;
        for (int64_t i = 0; i < count; i++, values += j->channels, at += j->channels) {
            if (i % (CHUNK * CHUNKS_BETWEEN) == 0) status = fc_called_off();
            if (status) break;
            uint64_t last = last_of(at, n);
            if (last >= (uint64_t)size) status = FC_OUT_OF_RANGE;
            if (status) break;
            for (int64_t c = 0; c < n; c++) accumulate(&sums[at[c] * together + c], values[c]);
        }
        if (status) break;
        for (int64_t place = 0; place < size; place++, out += j->channels)
            for (int64_t c = 0; c < n; c++) out[c] = take(&sums[place * together + c]);
    }
    free(sums);
    return status;
}

/* ---- by pixel (NHWC) ---- */

/* Window o of an axis holds the pixels from o * stride - 1 to o * stride + 1, or, if they begin late, one more each:
 * the windows of pixel i below `count` are those from first to last. */
typedef struct {
    int64_t first, last;
} span;

static span windows_of(const scatter_add_job *j, int64_t i, int64_t count) {
    int64_t low = i - 1 - j->late, first = ceil_div(low + 2 * j->stride, j->stride) - 2; /* low is -2 at least */
    return (span){max64(first, 0), min64((low + 2) / j->stride, count - 1)};
}

/* The places that a window picked and its values, of all channels. */
typedef struct {
    const lane *picked;
    const real *values;
} picked_window;

enum { WINDOW_ROWS = 3, MOST_WINDOWS = WINDOW_ROWS * WINDOW_ROWS };

typedef struct {
    lane *picked;         /* row a of windows is at a % WINDOW_ROWS */
    span *columns;        /* windows of every column */
    int64_t room, filled; /* of a row; rows before this one have been read */
} windows;

INLINE
lanes picked_by(const picked_window *w, int64_t c) { return (lanes)load((const real *)(w->picked + c)); }

/* Sums one pixel from `count` windows; `answers` counts down. Whole vectors are written. */
INLINE
void ask(const int count, const picked_window *w, lane pixel, int64_t channels, real *to, lanes *answers) {
    lanes own = pixel - (lanes){0}, total = *answers;
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
        vec sum = zero();
#pragma GCC unroll 9
        for (int i = 0; i < count; i++) {
            lanes yes = picked_by(&w[i], c) == own;
            total += yes, sum += (vec)(yes & (lanes)load(w[i].values + c));
        }
        store(to + c, sum);
    }
    if (c < channels) {
        vec sum = zero();
        for (int i = 0; i < count; i++) {
            lanes yes = picked_by(&w[i], c) == own;
            total += yes, sum += (vec)(yes & (lanes)load_n(w[i].values + c, channels - c));
        }
        store(to + c, sum);
    }
    *answers = total;
}

static void fill_row(const scatter_add_job *j, const windows *all, int64_t image, span rows, int64_t y, real *to,
                     lanes *answers) {
    int64_t padded = round_up(j->channels, VL);
    for (int64_t x = 0; x < j->width; x++, to += j->channels) {
        picked_window w[MOST_WINDOWS];
        int n = 0;
        for (int64_t a = rows.first; a <= rows.last; a++)
            for (int64_t b = all->columns[x].first; b <= all->columns[x].last; b++)
                w[n++] = (picked_window){all->picked + a % WINDOW_ROWS * all->room + b * padded,
                                         j->values + ((image * j->rows + a) * j->columns + b) * j->channels};
        lane pixel = (lane)(y * j->width + x);
        switch (n) {
            case 1: ask(1, w, pixel, j->channels, to, answers); break;
            case 2: ask(2, w, pixel, j->channels, to, answers); break;
            case 4: ask(4, w, pixel, j->channels, to, answers); break;
            case 9: ask(9, w, pixel, j->channels, to, answers); break;
            default: ask(n, w, pixel, j->channels, to, answers); break;
        }
    }
}

/* Reads the next row of windows; is a place outside? */
static int read_windows(const scatter_add_job *j, windows *w, int64_t image) {
    int64_t n = j->columns * j->channels, padded = round_up(j->channels, VL);
    const int64_t *at = j->indices + (image * j->rows + w->filled) * n;
    lane *to = w->picked + w->filled++ % WINDOW_ROWS * w->room;
    for (int64_t b = 0; b < j->columns; b++)
        for (int64_t c = 0; c < j->channels; c++) to[b * padded + c] = (lane)at[b * j->channels + c];
    return last_of(at, n) >= (uint64_t)(j->height * j->width);
}

/* Do windows begin at 0 and not at -1? The first of them tell; where they do not, late ones hold what they picked as
 * well. Those of the first image tell for all, whichever thread has which: the sums of the two ways differ in bits. */
static int begin_late(const scatter_add_job *j) {
    for (int64_t y = 0; y < min64(j->rows, 3); y++)
        for (int64_t x = 0; x < min64(j->columns, 16); x++) {
            int64_t from = j->indices[(y * j->columns + x) * j->channels] - (y * j->width + x) * j->stride;
            if (from < 0 || (from == j->width - 1 && j->width > 3)) return 0;
        }
    return 1;
}

/* Tasks are parts of an image. */
static int by_pixel(const void *context, int64_t begin, int64_t end) {
    const scatter_add_job *j = context;
    int64_t row = j->width * j->channels, room = sink_room(row), padded = round_up(j->channels, VL);
    windows w = {.room = j->columns * padded};
    size_t reals = (size_t)(WINDOW_ROWS * w.room + room + 2 * VL);
    char *memory = fc_workspace(FC_OWN, reals * sizeof(real) + (size_t)j->width * sizeof(span));
    if (!memory) return FC_NO_MEMORY;
    w.picked = (lane *)memory, w.columns = (span *)(memory + reals * sizeof(real));
    for (int64_t i = 0; i < WINDOW_ROWS * w.room; i++) w.picked[i] = -1; /* which is no pixel */
    sink s = {.buffer = (real *)memory + WINDOW_ROWS * w.room, .room = room, .past = j->past};
    for (int64_t x = 0; x < j->width; x++) w.columns[x] = windows_of(j, x, j->columns);
    const real *own_end = j->out + (end / j->parts * j->height + j->height * (end % j->parts) / j->parts) * row;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->parts, part = task % j->parts;
        int64_t y = j->height * part / j->parts, y_end = j->height * (part + 1) / j->parts;
        lanes answers = {0};
        s.out = j->out + (image * j->height + y) * row;
        w.filled = windows_of(j, y, j->rows).first;
        for (; y < y_end; y++) {
            int status = fc_called_off();
            if (status) return status;
            span rows = windows_of(j, y, j->rows);
            while (w.filled <= rows.last)
                if (read_windows(j, &w, image)) return FC_OUT_OF_RANGE;
            /* A row is written in place where what is written beyond it is ours, and still to be written. */
            int direct = !j->past && !s.filled && own_end - s.out >= row + VL;
            fill_row(j, &w, image, rows, y, direct ? s.out : next_row(&s, row), &answers);
            if (direct) s.out += row;
        }
        flush(&s);
        int64_t total = 0;
        for (int l = 0; l < VL; l++) total -= answers[l];
        j->answers[task] = total;
    }
    settle();
    return 0;
}

/* ---- the way through ---- */

/* The stride of windows that would be so many in an image of that size, or 0. */
static int64_t distance(const scatter_add_job *j) {
    int64_t best = 0, least = 5;
    for (int64_t stride = 1; stride <= 3; stride++) {
        int64_t tall = llabs(j->height - stride * j->rows), wide = llabs(j->width - stride * j->columns);
        if (tall <= 2 && wide <= 2 && tall + wide < least) best = stride, least = tall + wide;
    }
    return j->height * j->width <= INT32_MAX ? best : 0;
}

/* Does by value what has answers missing. */
static int do_rest(scatter_add_job *j, int64_t batch, int threads) {
    int64_t *rest = j->answers, count = 0; /* in the same memory: no image's place is before its number */
    for (int64_t image = 0; image < batch; image++) {
        int64_t answers = 0;
        for (int64_t part = 0; part < j->parts; part++) answers += j->answers[image * j->parts + part];
        if (answers != j->rows * j->columns * j->channels) rest[count++] = image;
    }
    j->images = rest;
    return count ? fc_parallel(count * ceil_div(j->channels, LINE), j->cycles, threads, images_by_value, j) : 0;
}

int FC_NAME(scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                         int64_t rows, int64_t columns, int64_t height, int64_t width, int layout, int threads) {
    scatter_add_job j = {.values = values,
                         .indices = indices,
                         .out = out,
                         .channels = channels,
                         .rows = rows,
                         .columns = columns,
                         .height = height,
                         .width = width,
                         .parts = 1};
    double planes = (double)(batch * channels);
    j.cycles = planes * (double)(2 * rows * columns + height * width) / 2;
    threads = fc_worth(j.cycles, threads);
    j.past = goes_past(planes * (double)(height * width));
    if (layout == FC_NCHW || channels == 1)
        return fc_parallel(batch * channels, j.cycles, threads, planes_by_value, &j);
    j.stride = distance(&j);
    if (!j.stride) return fc_parallel(batch * ceil_div(channels, LINE), j.cycles, threads, images_by_value, &j);
    j.late = batch && begin_late(&j);
    if (batch < 4 * threads) j.parts = min64(height, ceil_div(4 * threads, batch));
    j.answers = calloc((size_t)(batch * j.parts), sizeof *j.answers);
    if (!j.answers) return FC_NO_MEMORY;
    int status = fc_parallel(batch * j.parts, j.cycles, threads, by_pixel, &j);
    if (!status) status = do_rest(&j, batch, threads);
    free(j.answers);
    return status;
}
