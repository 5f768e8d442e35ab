/* The register tile of the gradient of depthwise weights from packed lines: a rectangle of the kernel's taps, one sum
 * each; every vector of the gradient is loaded once and multiplied with the pixels of all taps of the tile. Included by
 * gradient_depthwise.c. */
#ifndef FC_GRADIENT_TAPS_H
#define FC_GRADIENT_TAPS_H

#include "base/simd.h"
#include "base/total.h"

enum {
    TILE_COLUMNS = 7, /* taps of a row in a tile */
    TILE_ROWS = 5,
    TILE_TAPS = MR > 6 ? 28 : 12,
    TILE_STEPS = 64, /* vectors of the gradient, whose products are summed in registers */
};

typedef struct {
    const real *const *lines;    /* what the tile's first row sees for the first row of outputs ... */
    int64_t line_step, tap_step; /* ... and how many lines further the next outputs and the next row of the tile are */
    const int64_t *offsets;      /* of the tile's columns in a line */
    const real *gradient;
    int64_t rows, gradient_row;    /* rows of outputs, and from one to the next */
    int64_t count, tail, lanes;    /* vectors of a row of outputs; lanes of the last, and of the others */
    int64_t x_step, gradient_step; /* from vector to vector */
    real *sums;                    /* [row][row_sums] */
    int64_t row_sums;
} tap_tile;

INLINE
void multiply_tile(const int rows, const int columns, const tap_tile *t) {
    vec sum[TILE_ROWS][TILE_COLUMNS]; /* of TILE_STEPS steps */
    total all[TILE_ROWS][TILE_COLUMNS];
    const real *gradient_row = t->gradient, *g = gradient_row, *x[TILE_ROWS];
    const real *const *lines = t->lines;
    int64_t offset[TILE_COLUMNS], y = t->rows, left = t->count; /* rows, and vectors of the row */
#pragma GCC unroll 8
    for (int s = 0; s < columns; s++) offset[s] = t->offsets[s];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int s = 0; s < columns; s++) all[r][s] = no_total();
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) x[r] = lines[r * t->tap_step];
    do {
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int s = 0; s < columns; s++) sum[r][s] = zero();
        for (int64_t room = TILE_STEPS; room > 0 && y > 0;) {
            int64_t steps = min64(room, left - 1);
            room -= steps, left -= steps;
            for (; steps > 0; steps--, g += t->gradient_step) {
                vec gradient = load_up_to(g, t->lanes);
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
                    for (int s = 0; s < columns; s++) sum[r][s] += gradient * load(x[r] + offset[s]);
                    x[r] += t->x_step;
                }
            }
            if (room == 0) break;
            /* Pixels beside the last may be another tap's: infinity is not to meet 0. */
            vec gradient = load_up_to(g, t->tail);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
                for (int s = 0; s < columns; s++) sum[r][s] += gradient * load_up_to(x[r] + offset[s], t->tail);
            room--, y--, left = t->count;
            if (y == 0) break;
            lines += t->line_step, gradient_row += t->gradient_row, g = gradient_row;
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) x[r] = lines[r * t->tap_step];
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int s = 0; s < columns; s++) add_part(&all[r][s], sum[r][s]);
    } while (y > 0);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int s = 0; s < columns; s++) store(t->sums + r * t->row_sums + s * VL, total_of(&all[r][s]));
}

#define TILE(rows, columns)                                                                                            \
    static void tile_##rows##_##columns(const tap_tile *t) {                                                           \
        if (rows * columns <= TILE_TAPS) multiply_tile(rows, columns, t);                                              \
    }
#define COLUMN_TILES(rows)                                                                                             \
    TILE(rows, 1)                                                                                                      \
    TILE(rows, 2)                                                                                                      \
    TILE(rows, 3)                                                                                                      \
    TILE(rows, 4)                                                                                                      \
    TILE(rows, 5)                                                                                                      \
    TILE(rows, 6)                                                                                                      \
    TILE(rows, 7)
#define ROW(r) {tile_##r##_1, tile_##r##_2, tile_##r##_3, tile_##r##_4, tile_##r##_5, tile_##r##_6, tile_##r##_7}
COLUMN_TILES(1)
COLUMN_TILES(2)
COLUMN_TILES(3)
COLUMN_TILES(4)
COLUMN_TILES(5)

static void (*const tiles[TILE_ROWS][TILE_COLUMNS])(const tap_tile *) = {ROW(1), ROW(2), ROW(3), ROW(4), ROW(5)};

#endif
