/* Sums of values at given places of planes, the gradient of maximum pooling. Called by `fc_scatter_add`.
 *
 * Windows at a distance of 2 that reach over 3 pixels at most, the usual ones, are known from the sizes and the first places:
 * then every pixel asks the 1, 2 or 4 windows that hold it whether they picked it, in vectors, and is written once. The answers
 * are counted: planes where a value got none have other windows, and are done again, one value at a time. Both add in the order of
 * the values. Limit: memory bandwidth; for other windows, additions through memory. */
#include <stdlib.h>

#include "sink.h"

typedef struct {
    const real *values;
    const int64_t *indices;
    real *out;
    int64_t channels, rows, columns, height, width; /* of the values; of a plane */
    int64_t inner, parts;                           /* reals of a pixel; parts of a plane, or of the channels */
    int64_t *answers;                               /* of every part */
    const int64_t *planes;                          /* to be done by value */
    int past;
} job;

/* Is one of n places outside of the plane? */
static int any_outside(const int64_t *at, int64_t n, int64_t plane) {
    uint64_t signs = 0, last = (uint64_t)plane - 1;
    for (int64_t i = 0; i < n; i++) signs |= (uint64_t)at[i] | (last - (uint64_t)at[i]);
    return signs >> 63 != 0;
}

/* ---- by value ---- */

/* So many values are added before more of the plane is cleared, up to the last place that they go to: neighbours go to places near
 * to each other, which are then still in L1. */
enum { CHUNK = 256, LINE = 64 / sizeof(real) };

static int64_t highest(const int64_t *at, int64_t n) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) most = at[i] > most ? at[i] : most;
    return most;
}

static int by_value_nchw(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    int64_t count = j->rows * j->columns, size = j->height * j->width;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = j->planes ? j->planes[task] : task, clear = 0;
        real *out = j->out + plane * size;
        const real *values = j->values + plane * count;
        const int64_t *at = j->indices + plane * count;
        for (int64_t i = 0; i < count; i += CHUNK) {
            int64_t n = min64(CHUNK, count - i);
            if (any_outside(at + i, n, size)) return FC_OUT_OF_RANGE;
            int64_t most = highest(at + i, n) + 1;
            if (most > clear) clear_reals(out + clear, most - clear), clear = most;
            for (int64_t v = i; v < i + n; v++) out[at[v]] += values[v];
        }
        clear_reals(out + clear, size - clear);
    }
    return 0;
}

/* Tasks are (image, cache line of channels), which no other thread touches. */
static int by_value_nhwc(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    int64_t count = j->rows * j->columns, size = j->height * j->width, lines = ceil_div(j->channels, LINE);
    for (int64_t task = begin; task < end; task++) {
        int64_t image = j->planes ? j->planes[task / lines] : task / lines, first = task % lines * LINE;
        int64_t n = min64(LINE, j->channels - first), clear = 0;
        real *out = j->out + image * size * j->channels + first;
        const real *values = j->values + image * count * j->channels + first;
        const int64_t *at = j->indices + image * count * j->channels + first;
        for (int64_t i = 0; i < count; i++, values += j->channels, at += j->channels) {
            if (any_outside(at, n, size)) return FC_OUT_OF_RANGE;
            int64_t most = highest(at, n) + 1;
            for (; clear < most; clear++) clear_reals(out + clear * j->channels, n);
            for (int64_t c = 0; c < n; c++) out[at[c] * j->channels + c] += values[c];
        }
        for (; clear < size; clear++) clear_reals(out + clear * j->channels, n);
    }
    return 0;
}

/* ---- by pixel ---- */

/* Pixel y of an axis lies in the window y / 2; and in the next one where y is odd, or, with `late`, in the one before where y is
 * even: windows of 3 that begin at -1, or at 0. */
static int64_t windows_of(int late, int64_t y, int64_t *first) {
    *first = y / 2 - (late && y % 2 == 0);
    return 1 + (late ? y % 2 == 0 : y % 2);
}

/* Two rows of windows, as the pixels that they picked and their values; (NCHW) with windows around that picked none. */
typedef struct {
    lane *picked[2], *nothing;
    real *values[2];
    int64_t filled; /* rows before this one have been read */
} windows;

typedef struct {
    const lane *picked;
    const real *values;
} window_row;

INLINE lanes load_lanes(const lane *p) { return (lanes)load((const real *)p); }

/* What a vector of windows has for these pixels; `answers` counts down. */
INLINE vec ask(const lane *picked, const real *values, lanes pixels, lanes *answers) {
    lanes yes = load_lanes(picked) == pixels;
    *answers += yes;
    return (vec)(yes & (lanes)load(values));
}

/* A row of an NCHW plane from `count` rows of windows. Whole vectors are written. */
INLINE void row_nchw(const int late, const int count, const window_row *w, lane pixel, int64_t width, real *to, lanes *answers) {
    lanes even = 2 * lane_numbers() + pixel, odd = even + 1, total = *answers;
    for (int64_t b = 0; 2 * b < width; b += VL) {
        vec left = zero(), right = zero();
        if (2 * (b + VL) > width) { /* what is beyond the row is no window's pixel: -1 stands for none, -2 for nobody's */
            lanes column = 2 * (lane_numbers() + (lane)b), beyond = column >= (lane)width;
            even = (even & ~beyond) | (beyond & -2), beyond = column + 1 >= (lane)width;
            odd = (odd & ~beyond) | (beyond & -2);
        }
#pragma GCC unroll 2
        for (int i = 0; i < count; i++) {
            if (late) left += ask(w[i].picked + b - 1, w[i].values + b - 1, even, &total);
            left += ask(w[i].picked + b, w[i].values + b, even, &total);
            right += ask(w[i].picked + b, w[i].values + b, odd, &total);
            if (!late) right += ask(w[i].picked + b + 1, w[i].values + b + 1, odd, &total);
        }
        store(to + 2 * b, __builtin_shufflevector(left, right, LANES(ZIP_LOW, 0, 0)));
        store(to + 2 * b + VL, __builtin_shufflevector(left, right, LANES(ZIP_HIGH, 0, 0)));
        even += 2 * VL, odd += 2 * VL;
    }
    *answers = total;
}

/* One pixel of an NHWC image, from `count` windows; whole vectors are written. */
INLINE void pixel_nhwc(const int count, const window_row *w, lane pixel, int64_t channels, real *to, lanes *answers) {
    lanes own = pixel - (lanes){0}, total = *answers;
    int64_t c = 0;
    for (; c + VL <= channels; c += VL) {
        vec sum = zero();
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) sum += ask(w[i].picked + c, w[i].values + c, own, &total);
        store(to + c, sum);
    }
    if (c < channels) {
        vec sum = zero();
        for (int i = 0; i < count; i++) {
            lanes yes = load_lanes(w[i].picked + c) == own;
            total += yes, sum += (vec)(yes & (lanes)load_n(w[i].values + c, channels - c));
        }
        store(to + c, sum);
    }
    *answers = total;
}

static void row_nhwc(const job *j, int late, int count, const window_row *rows, int64_t y, real *to, lanes *answers) {
    int64_t padded = round_up(j->channels, VL);
    for (int64_t x = 0; x < j->width; x++, to += j->channels) {
        window_row w[4];
        int64_t first, n = 0, own = windows_of(late, x, &first);
        for (int i = 0; i < count; i++)
            for (int64_t b = first; b < first + own; b++)
                if (b >= 0 && b < j->columns)
                    w[n++] = (window_row){rows[i].picked + b * padded, rows[i].values + b * j->channels};
        lane pixel = (lane)(y * j->width + x);
        switch (n) {
            case 0: pixel_nhwc(0, w, pixel, j->channels, to, answers); break;
            case 1: pixel_nhwc(1, w, pixel, j->channels, to, answers); break;
            case 2: pixel_nhwc(2, w, pixel, j->channels, to, answers); break;
            default: pixel_nhwc(4, w, pixel, j->channels, to, answers); break;
        }
    }
}

/* Reads row y of a plane's windows; is a place outside? */
static int read_windows(const job *j, windows *w, int64_t plane, int64_t y) {
    int64_t n = j->columns * j->inner, padded = round_up(j->inner, VL);
    const int64_t *at = j->indices + (plane * j->rows + y) * n;
    lane *to = w->picked[y % 2];
    if (j->inner == 1) {
        for (int64_t i = 0; i < n; i++) to[i] = (lane)at[i];
        copy_reals(w->values[y % 2], j->values + (plane * j->rows + y) * n, n);
    } else {
        for (int64_t b = 0; b < j->columns; b++)
            for (int64_t c = 0; c < j->inner; c++) to[b * padded + c] = (lane)at[b * j->inner + c];
    }
    return any_outside(at, n, j->height * j->width);
}

/* Do windows begin at 0 and not at -1? The first of them tell. */
static int begin_late(const job *j, int64_t plane) {
    const int64_t *at = j->indices + plane * j->rows * j->columns * j->inner;
    for (int64_t i = 0; i < min64(64, j->rows * j->columns); i++) {
        int64_t y = at[i * j->inner] / j->width - i / j->columns * 2, x = at[i * j->inner] % j->width - i % j->columns * 2;
        if (y < 0 || x < 0) return 0;
        if (y > 1 || x > 1) return 1;
    }
    return 0;
}

/* Tasks are parts of a plane, or of an image of NHWC. */
static int by_pixel(const void *context, int64_t begin, int64_t end) {
    const job *j = context;
    int64_t row = j->width * j->inner, room = sink_room(row);
    /* NCHW: pixels without a window ask one that is not there. */
    int64_t around = j->inner == 1 ? VL : 0;
    int64_t windows_room = around + round_up(max64(j->columns, ceil_div(j->width, 2)), VL) + VL;
    if (j->inner > 1) windows_room = j->columns * round_up(j->inner, VL);
    size_t lanes_count = (size_t)(3 * windows_room), reals = (size_t)(2 * windows_room + room + 2 * VL);
    real *memory = fc_workspace(FC_OWN, (lanes_count + reals) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    sink s = {.buffer = memory, .room = room, .past = j->past};
    windows w;
    for (int i = 0; i < 2; i++) {
        w.values[i] = memory + room + 2 * VL + i * windows_room + around;
        w.picked[i] = (lane *)(memory + room + 2 * VL + (2 + i) * windows_room) + around;
    }
    w.nothing = w.picked[1] + windows_room;
    for (size_t i = 0; i < lanes_count; i++) (w.picked[0] - around)[i] = -1;
    for (int64_t i = 0; i < 2 * windows_room; i++) (w.values[0] - around)[i] = 0;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts;
        int64_t y = j->height * part / j->parts, y_end = j->height * (part + 1) / j->parts;
        int late = begin_late(j, plane);
        lanes answers = {0};
        s.out = j->out + (plane * j->height + y) * row;
        windows_of(late, y, &w.filled);
        w.filled = max64(0, w.filled);
        for (; y < y_end; y++) {
            window_row rows[2];
            int64_t first, own = windows_of(late, y, &first);
            int count = 0;
            for (int64_t a = max64(first, 0); a < min64(first + own, j->rows); a++) {
                if (a >= w.filled && read_windows(j, &w, plane, a)) return FC_OUT_OF_RANGE;
                w.filled = max64(w.filled, a + 1);
                const real *values = j->inner == 1 ? w.values[a % 2] : j->values + (plane * j->rows + a) * j->columns * j->inner;
                rows[count++] = (window_row){w.picked[a % 2], values};
            }
            if (!count) rows[count++] = (window_row){w.nothing, w.values[0]};
            real *to = next_row(&s, row);
            lane pixel = (lane)(y * j->width);
            if (j->inner > 1) row_nhwc(j, late, rows[0].picked == w.nothing ? 0 : count, rows, y, to, &answers);
            else if (late && count == 1) row_nchw(1, 1, rows, pixel, row, to, &answers);
            else if (late) row_nchw(1, 2, rows, pixel, row, to, &answers);
            else if (count == 1) row_nchw(0, 1, rows, pixel, row, to, &answers);
            else row_nchw(0, 2, rows, pixel, row, to, &answers);
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

static int at_distance_2(int64_t count, int64_t size) { return llabs(size - 2 * count) <= 2; }

/* Does by value what has answers missing. */
static int do_rest(job *j, int64_t planes, int threads) {
    int64_t *rest = j->answers, count = 0; /* in the same memory: no plane's place is before its number */
    for (int64_t plane = 0; plane < planes; plane++) {
        int64_t answers = 0;
        for (int64_t part = 0; part < j->parts; part++) answers += j->answers[plane * j->parts + part];
        if (answers != j->rows * j->columns * j->inner) rest[count++] = plane;
    }
    j->planes = rest;
    if (!count) return 0;
    if (j->inner == 1) return fc_parallel(count, threads, by_value_nchw, j);
    return fc_parallel(count * ceil_div(j->channels, LINE), threads, by_value_nhwc, j);
}

int FC_NAME(scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t rows,
                         int64_t columns, int64_t height, int64_t width, int layout, int threads) {
    job j = {.values = values, .indices = indices, .out = out, .channels = channels, .rows = rows, .columns = columns,
             .height = height, .width = width, .inner = layout == FC_NHWC ? channels : 1, .parts = 1};
    int64_t planes = layout == FC_NHWC ? batch : batch * channels;
    double pixels = (double)(batch * channels) * (double)(height * width);
    threads = fc_worth((double)(batch * channels) * (double)(2 * rows * columns + height * width) / 4, threads);
    if (!at_distance_2(rows, height) || !at_distance_2(columns, width) || height * width > INT32_MAX) {
        if (j.inner == 1) return fc_parallel(planes, threads, by_value_nchw, &j);
        return fc_parallel(planes * ceil_div(channels, LINE), threads, by_value_nhwc, &j);
    }
    if (planes < 4 * threads) j.parts = min64(height, ceil_div(4 * threads, planes));
    j.past = goes_past(pixels);
    j.answers = calloc((size_t)(planes * j.parts), sizeof *j.answers);
    if (!j.answers) return FC_NO_MEMORY;
    int status = fc_parallel(planes * j.parts, threads, by_pixel, &j);
    if (!status) status = do_rest(&j, planes, threads);
    free(j.answers);
    return status;
}
