/* How filters cut pictures into tasks, and the check of their tables. Included by all files of this room.
 *
 * Tasks follow from the problem alone, so that results do not depend on the number of threads. */
#ifndef FC_FILTER_BANDS_H
#define FC_FILTER_BANDS_H

#include "base/types.h"
#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef struct {
    int64_t rows, pixels;   /* of a task */
    int64_t parts, columns; /* tasks down a picture and across it */
} bands;

/* One task's rows and pixels. */
typedef struct {
    int64_t image, row, row_end, pixel, pixel_end;
} band;

/* Bytes of a number of a picture. */
static inline int64_t item_of(int type) { return type == FC_P_F64 ? 8 : type == FC_P_F32 ? 4 : (int64_t)1 << type / 2; }

/* Every task keeps `kept` rows (and the windows' reach) of `item` bytes in `bytes`; it has an even number of rows,
 * `least` or so many that they are some work. */
static inline bands bands_of(const fc_filter *f, int64_t kept, int64_t item, int64_t bytes, int64_t least) {
    int64_t pixel = f->channels * item, fit = bytes / (kept * pixel) - (f->kernel_w - 1);
    int64_t pixels = min64(f->width, max64(fit, max64(2 * f->kernel_w, ceil_div(2048, pixel))));
    int64_t columns = ceil_div(f->width, pixels);
    pixels = ceil_div(f->width, columns);
    int64_t rows = round_up(max64(least, ceil_div(4096, pixels * f->channels)), 2);
    return (bands){rows, pixels, ceil_div(f->height, rows), ceil_div(f->width, pixels)};
}

/* Rows of which windows reach into those of the next task are read twice: tasks get several times as many as that, as
 * long as a picture is eight of them. Where these had fewer than `worth` rows, a picture is four tasks or two. */
static inline void lengthen(const fc_filter *f, bands *b, int64_t worth) {
    int64_t tasks = 8, rows = f->height * b->columns;
    while (tasks > 2 && rows < tasks * worth) tasks /= 2;
    b->rows = max64(b->rows, round_up(min64(4 * f->kernel_h, ceil_div(rows, tasks)), 2));
    b->parts = ceil_div(f->height, b->rows);
}

static inline band band_of(const fc_filter *f, const bands *b, int64_t task) {
    int64_t column = task % b->columns * b->pixels, row = task / b->columns % b->parts * b->rows;
    return (band){task / b->columns / b->parts, row, min64(row + b->rows, f->height), column,
                  min64(column + b->pixels, f->width)};
}

static inline int64_t band_count(const fc_filter *f, const bands *b) { return f->images * b->parts * b->columns; }

/* Which of the pixels from `first` up to `end`, as the windows number them, lie within a row: one run. */
static inline band inside_row(const fc_filter *f, int64_t first, int64_t end) {
    int64_t low = min64(max64(f->before, first), end);
    return (band){.pixel = low, .pixel_end = max64(min64(f->before + f->width, end), low)};
}

/* The least or the largest entry of the table of columns among those outside of a row; 0 or -1 if there is none. */
static inline int64_t outermost(const fc_filter *f, int largest) {
    int64_t found = largest ? -1 : 0;
    for (int64_t i = 0; i < f->kernel_w - 1; i++) {
        int64_t entry = f->columns[i < f->before ? i : i + f->width];
        found = largest ? max64(found, entry) : min64(found, entry);
    }
    return found;
}

/* Do the tables stay within the picture? */
static inline int tables_fit(const fc_filter *f) {
    for (int64_t i = 0; i < f->height + f->kernel_h - 1; i++)
        if (f->rows[i] >= f->height) return 0;
    return f->before >= 0 && f->before < f->kernel_w && outermost(f, 1) < f->width;
}

/* Makes the ends of a row, which lie before and behind its own numbers, from these or the constant: for what is the
 * same whether columns are put together before or after. */
#define FILL_ENDS(line, f, value)                                                                                      \
    for (int64_t v = 0; v < (f)->kernel_w - 1; v++) {                                                                  \
        int64_t at = v < (f)->before ? v : v + (f)->width, from = (f)->columns[at];                                    \
        for (int64_t c = 0; c < (f)->channels; c++)                                                                    \
            (line)[at * (f)->channels + c] = from < 0 ? (value) : (line)[((f)->before + from) * (f)->channels + c];    \
    }

/* Is there a constant beyond the ends of a row? */
static inline int has_constant(const fc_filter *f) { return outermost(f, 0) < 0; }

#endif
