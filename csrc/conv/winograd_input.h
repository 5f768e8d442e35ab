/* The input of Winograd's algorithm: staged with channels in lanes, cut into tiles, transformed to points. M is defined
 * by the kernel that includes it. Used by winograd.h and gradient_winograd.h. */
#ifndef FC_WINOGRAD_INPUT_H
#define FC_WINOGRAD_INPUT_H

#include <string.h>

#include "base/simd.h"
#include "conv/grid.h"
#include "conv/points.h"
#include "conv/tiling.h"

enum {
    STRETCH = 16, /* tiles that are transformed together, to stay in L1 */
    STAGE_BYTES = 1 << 20,
};

typedef struct {
    const tiling *w;
    const operands *o;
    const real *x; /* of the group */
    const transform *transforms;
} winograd_input;

static void set_transforms(transform *transforms) {
    for (int t = 3; t <= MOST_POINTS; t++) transforms[t] = transform_of(t);
}

/* ---- passes along one axis, for every number of points ---- */

/* Transforms along y, in place: `t` rows, `step` apart. */
INLINE
void input_rows(const int t, const transform *f, real *rows, int64_t step, int64_t columns) {
    for (int64_t i = 0; i < columns * VL; i += VL) {
        vec d[MOST_POINTS], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) d[j] = load(rows + j * step + i);
        transform_input(t, f, d, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store(rows + j * step + i, v[j]);
    }
}

/* Transforms along x: `tiles` neighbouring tiles from pixels `unit` apart, `seen` of which count, to points
 * `point_step` apart; n lanes count. */
INLINE
void input_columns(const int t, const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles, real *to,
                   int64_t point_step, int64_t tile_step, int64_t n) {
    for (int64_t i = 0; i < tiles; i++, pixels += M * unit * VL, to += tile_step) {
        vec d[MOST_POINTS], v[MOST_POINTS];
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) d[j] = j < M || j < seen ? load(pixels + j * unit * VL) : zero();
        if (t == M)
            for (int j = 0; j < t; j++) v[j] = d[j];
        else
            transform_input(t, f, d, v);
#pragma GCC unroll 8
        for (int j = 0; j < t; j++) store_up_to(to + j * point_step, v[j], n);
    }
}

typedef void input_rows_function(const transform *f, real *rows, int64_t step, int64_t columns);
typedef void input_columns_function(const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles,
                                    real *to, int64_t point_step, int64_t tile_step, int64_t n);

/* One set of functions for each number of points, M to M + 4. */
#define FUNCTIONS(k)                                                                                                   \
    static void input_rows_##k(const transform *f, real *rows, int64_t step, int64_t columns) {                        \
        input_rows(M + k, f, rows, step, columns);                                                                     \
    }                                                                                                                  \
    static void input_columns_##k(const transform *f, const real *pixels, int64_t unit, int seen, int64_t tiles,       \
                                  real *to, int64_t point_step, int64_t tile_step, int64_t n) {                        \
        if (n >= VL)                                                                                                   \
            input_columns(M + k, f, pixels, unit, seen, tiles, to, point_step, tile_step, VL);                         \
        else                                                                                                           \
            input_columns(M + k, f, pixels, unit, seen, tiles, to, point_step, tile_step, n);                          \
    }
FUNCTIONS(0)
FUNCTIONS(1)
FUNCTIONS(2)
FUNCTIONS(3)
FUNCTIONS(4)
#undef FUNCTIONS
static const struct {
    input_rows_function *rows;
    input_columns_function *columns;
} input_functions[] = {
#define ENTRY(k) {input_rows_##k, input_columns_##k}
    ENTRY(0), ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4),
#undef ENTRY
};

/* ---- staging ---- */

/* Stages rows of n channels, which become lanes: `span` pixels from position `first` on, zeros outside the image. */
static void stage_row(real *to, const real *row, const operands *o, int64_t n, int64_t first, int64_t span) {
    if (o->nhwc) {
        for (int64_t i = 0; i < span; i++, to += VL) {
            int64_t at = first + i;
            store(to, at >= 0 && at < o->width ? load_up_to(row + at * o->x_pixel, n) : zero());
        }
        return;
    }
    int64_t offset[VL];
    for (int l = 0; l < VL; l++) offset[l] = l * o->x_channel;
    for (int64_t i = 0; i < span; i += VL, to += VL * VL) {
        int64_t at = first + i, low = max64(-at, 0), high = min64(o->width - at, VL);
        vec lanes[VL];
        if (high <= low) {
            for (int l = 0; l < VL; l++) store(to + l * VL, zero());
            continue;
        }
        if (low == 0 && high == VL && n >= VL) {
            load_transposed(row + at, offset, lanes);
        } else if (n >= VL) {
            /* The next channels are fetched: masked loads that miss L1 wait for each other on some processors. */
            const lane_mask inside = mask_between(low, high);
#pragma GCC unroll 16
            for (int l = 0; l < VL; l++) {
                __builtin_prefetch(row + offset[l] + at + low + VL * o->x_channel);
                lanes[l] = load_masked(row + offset[l] + at, inside);
            }
            transpose(lanes);
        } else {
            for (int l = 0; l < VL; l++) lanes[l] = l < n ? load_between(row + offset[l] + at, low, high) : zero();
            transpose(lanes);
        }
#pragma GCC unroll 16
        for (int l = 0; l < VL; l++) store(to + l * VL, lanes[l]);
    }
}

static int64_t stage_reals(const tiling *w) {
    int64_t first, span;
    stretch_span(w, 0, min64(STRETCH, w->row_tiles), &first, &span);
    return w->y.most_points * round_up(span, VL) * VL;
}

/* Makes V of tiles [first, first + count), for the vectors [low, high) of channels. */
static void transform_tiles(const winograd_input *j, int64_t first, int64_t count, int64_t low, int64_t high, real *v,
                            int64_t point_step, real *stage) {
    const tiling *w = j->w;
    const operands *o = j->o;
    for (int64_t done = 0; done < count;) {
        tile_stretch r = stretch_at(w, first + done, min64(count - done, w->x.subimages > 1 ? count : STRETCH));
        int64_t at, span;
        stretch_span(w, r.column, r.count, &at, &span);
        int64_t row_step = round_up(span, VL) * VL;
        const real *image = j->x + r.image * o->x_image;
        for (int64_t block = low; block < high; block++) {
            int64_t c = block * VL, n = min64(VL, o->channels - c);
            for (int i = 0; i < w->y.segments; i++) {
                const segment *sy = &w->y.segment[i];
                int64_t top = sy->first + r.y_subimage + w->y.unit * M * r.y_tile;
                for (int k = 0; k < sy->points; k++) {
                    int64_t y = top + k * w->y.unit;
                    if (y >= 0 && y < o->height && k < M + (int)sy->taps - 1)
                        stage_row(stage + k * row_step, image + c * o->x_channel + y * o->width * o->x_pixel, o, n, at,
                                  span);
                    else
                        memset(stage + k * row_step, 0, (size_t)(span * VL) * sizeof(real));
                }
                if (sy->points > M)
                    input_functions[sy->points - M].rows(&j->transforms[sy->points], stage, row_step, span);
                for (int l = 0; l < w->x.segments; l++) {
                    const segment *sx = &w->x.segment[l];
                    real *to = v + w->point[i][l] * point_step + w->channel[i][l] + c;
                    for (int64_t tile = 0; tile < r.count;) {
                        int64_t column = r.column + tile, subimage = column / w->x.tiles,
                                in_subimage = column % w->x.tiles;
                        int64_t tiles = min64(r.count - tile, w->x.tiles - in_subimage);
                        const real *pixels = stage + (sx->first - at + subimage + w->x.unit * M * in_subimage) * VL;
                        for (int k = 0; k < sy->points; k++)
                            input_functions[sx->points - M].columns(
                                &j->transforms[sx->points], pixels + k * row_step, w->x.unit, M + (int)sx->taps - 1,
                                tiles, to + k * sx->points * point_step + (done + tile) * w->row_step, point_step,
                                w->row_step, n);
                        tile += tiles;
                    }
                }
            }
        }
        done += r.count;
    }
}

/* The reals from point to point of V: an odd number of vectors, so that points spread over all sets of a cache. */
static int64_t v_per_point(const tiling *w, int64_t tiles) { return (tiles * w->row_step / VL | 1) * VL; }

#endif
