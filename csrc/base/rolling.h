/* Sliding windows over the rows of a plane: what depthwise convolution and pooling of NCHW share. Included by
 * depthwise.c and pool_planes.c.
 *
 * Tiling: a register tile is ROWS rows of outputs, some vectors wide, and sees its input rows through pointers. A row
 * outside the image is one row of neutral values for all. A row inside is either copied, with neutral values around it
 * (`rows_copied`), or read in place (`rows_of`), but for the few whose surroundings lie outside the array, which are
 * copied too; tiles at the left and right edge then read beyond a row and mask what does not count.
 *
 * Layout of the workspace: the row of neutral values, then a ring of MOST_ROWS copies, each with `beyond` neutral
 * values on both sides. */
#ifndef FC_ROLLING_H
#define FC_ROLLING_H

#include <string.h>

#include "base/simd.h"

enum { ROWS = 4, MOST_ROWS = 2 * (ROWS - 1) + 7 };

typedef struct {
    const real *array, *end; /* all planes */
    int64_t height, width;   /* of one */
    int64_t beyond;          /* how far a tile may read to the left and right of a row */
    const real *outside;     /* a row of neutral values */
    real *copies;            /* MOST_ROWS rows, with neutral values around those of `rows_copied` ... */
    const real *plane;       /* ... which hold the rows [begun, filled) of this plane, or the last of them */
    int64_t begun, filled;
} row_source;

static inline int64_t row_room(int64_t width, int64_t beyond) { return width + 2 * beyond; }

/* How many elements of workspace `open_rows` needs. */
static inline int64_t rows_room(int64_t width, int64_t beyond) { return (MOST_ROWS + 1) * row_room(width, beyond); }

/* The source of an array's rows; `copied` says that `rows_copied` will be asked for them, and not `rows_of`. */
static inline row_source open_rows(const real *array, int64_t planes, int64_t height, int64_t width, int64_t beyond,
                                   real neutral, int copied, real *memory) {
    row_source s = {array, array + planes * height * width, height, width, beyond, memory + beyond, NULL, NULL, 0, 0};
    int64_t neutral_room = copied ? rows_room(width, beyond) : row_room(width, beyond);
    for (int64_t i = 0; i < neutral_room; i++) memory[i] = neutral;
    s.copies = memory + row_room(width, beyond);
    return s;
}

/* Gives pointers to rows first, first + 1, ... of a plane. */
static inline void rows_of(row_source *s, const real *plane, int64_t first, int count, const real **rows) {
    for (int i = 0; i < count; i++) {
        const real *row = plane + (first + i) * s->width;
        if (first + i < 0 || first + i >= s->height) {
            row = s->outside;
        } else if (row - s->array < s->beyond || s->end - row < s->width + s->beyond) {
            real *copy = s->copies + i * row_room(s->width, s->beyond) + s->beyond;
            memcpy(copy, row, (size_t)s->width * sizeof(real));
            row = copy;
        }
        rows[i] = row;
    }
}

/* Gives pointers to copies of the same rows, with neutral values left and right. */
static inline void rows_copied(row_source *s, const real *plane, int64_t first, int count, const real **rows) {
    int64_t from = max64(first, 0);
    if (plane != s->plane || from > s->filled || from < max64(s->begun, s->filled - MOST_ROWS))
        s->plane = plane, s->begun = s->filled = from;
    for (int i = 0; i < count; i++) {
        int64_t row = first + i;
        rows[i] = s->outside;
        if (row < 0 || row >= s->height) continue;
        real *copy = s->copies + row % MOST_ROWS * row_room(s->width, s->beyond) + s->beyond;
        if (row >= s->filled) copy_reals(copy, plane + row * s->width, s->width), s->filled = row + 1;
        rows[i] = copy;
    }
}

/* Says which lanes of taps s = 0, 1, ... lie inside the row, for the outputs whose tap 0 reads the columns from `at`
 * on. */
INLINE
void edge_masks(const int kernel, const int stride, int64_t at, int64_t width, lanes *inside) {
#pragma GCC unroll 8
    for (int s = 0; s < kernel; s++) {
        lanes column = lane_numbers() * stride + (lane)(at + s);
        inside[s] = (column >= 0) & (column < (lane)width);
    }
}

/* Loads what taps at `row` and at `row + 1` see: every stride-th pixel from there. */
INLINE
void load_taps(const int stride, const real *row, vec *even, vec *odd) {
    if (stride == 1) {
        *even = load(row), *odd = load(row + 1);
        return;
    }
    vec a = load(row), b = load(row + VL);
    *even = __builtin_shufflevector(a, b, LANES(EVERY_SECOND, 0, 0));
    *odd = __builtin_shufflevector(a, b, LANES(EVERY_SECOND, 1, 0));
}

#endif
