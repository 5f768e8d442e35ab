/* How Winograd's algorithm cuts a grid into tiles of M x M outputs, and its taps into segments that are transformed
 * together. Used by winograd.h; M is defined by the kernel that includes it.
 *
 * Strides, dilations and large kernels all become small filters of stride 1. With stride s, tap q + s * t sees the
 * pixels q, q + s, ...: s segments ("polyphase"). With dilation d, outputs p, p + d, ... form d interleaved images
 * ("subimages") in which the taps are neighbours. More than 5 taps in a row are cut up. Every pair of a vertical and a
 * horizontal segment adds its share to the sums: either with interpolation points of its own, added up after the
 * inverse transform, or all with the same points, added up before it like further channels ("merged"), which pays with
 * few channels. A merged segment may have fewer taps than the points could serve; pixels beyond its own then count as
 * 0. */
#ifndef FC_TILING_H
#define FC_TILING_H

#include <math.h>
#include <string.h>

#include "base/kernel_costs.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/grid.h"

enum { MOST_TAPS = 5, MOST_SEGMENTS = 6 };

/* Output o sees input first + unit * (o + t) with tap t, the kernel's element kernel_first + t * kernel_step. */
typedef struct {
    int64_t first, taps, kernel_first;
    int points; /* M where the only tap needs no transform */
} segment;

typedef struct {
    int64_t count, out_first, out_step; /* as in `axis` */
    int64_t subimages, tiles;           /* interleaved images that hold outputs; tiles of each */
    int64_t unit, kernel_step;
    int segments, most_points;
    segment segment[MOST_SEGMENTS];
    int64_t low, high; /* inputs that tile 0 of subimage 0 sees: [low, high) */
} tiled_axis;

static inline int points_for(int64_t taps) { return taps == 1 ? M : M + (int)taps - 1; }
static inline int taps_for(int points) { return points - M + 1; }

/* Tiles an axis; returns 0 where that cannot be done. */
static COLD int tile_axis(tiled_axis *w, const axis *a) {
    int64_t taps = a->taps, distance = a->tap_step, first = a->first, kernel_first = a->kernel_first;
    int64_t kernel_step = a->kernel_step;
    if (taps < 1) return 0;
    if (taps == 1) distance = 1;
    if (distance < 0) {
        first += (taps - 1) * distance, kernel_first += (taps - 1) * kernel_step;
        distance = -distance, kernel_step = -kernel_step;
    }
    if (a->step > 1 && distance > 1) return 0;
    int64_t residues = min64(a->step, taps);
    *w = (tiled_axis){.count = a->count,
                      .out_first = a->out_first,
                      .out_step = a->out_step,
                      .subimages = max64(1, min64(distance, a->count)),
                      .unit = a->step * distance,
                      .kernel_step = kernel_step * a->step};
    w->tiles = ceil_div(ceil_div(a->count, w->subimages), M);
    for (int64_t q = 0; q < residues; q++) {
        int64_t all = ceil_div(taps - q, a->step), parts = all > MOST_TAPS ? ceil_div(all, 4) : 1, from = 0;
        for (int64_t part = 0; part < parts; part++) {
            int64_t to = all * (part + 1) / parts;
            if (w->segments == MOST_SEGMENTS) return 0;
            w->segment[w->segments++] =
                (segment){.first = first + q + from * w->unit,
                          .taps = to - from,
                          .kernel_first = kernel_first + q * kernel_step + from * w->kernel_step};
            from = to;
        }
    }
    return 1;
}

/* Gives the segments their points, the same ones to all where they are merged. */
static void give_points(tiled_axis *w, int merged) {
    int64_t most = 1;
    for (int i = 0; i < w->segments; i++) most = max64(most, w->segment[i].taps);
    w->most_points = points_for(most);
    w->low = INT64_MAX, w->high = INT64_MIN;
    for (int i = 0; i < w->segments; i++) {
        segment *s = &w->segment[i];
        s->points = merged ? w->most_points : points_for(s->taps);
        w->low = min64(w->low, s->first);
        w->high = max64(w->high, s->first + w->unit * (s->points - 1) + 1);
    }
}

typedef struct {
    tiled_axis y, x;
    int merged, points;
    int64_t reduction;                             /* channels that each point sums over */
    int point[MOST_SEGMENTS][MOST_SEGMENTS];       /* first point of a pair of segments ... */
    int64_t channel[MOST_SEGMENTS][MOST_SEGMENTS]; /* ... and first channel in it */
    int64_t tiles;                                 /* of the batch */
    int64_t row_tiles, rows; /* tiles in a row, and rows of tiles in an image, over all subimages */
    int64_t row_step;        /* from tile to tile of transformed input */
} tiling;

static COLD void set_tiling(tiling *w, int64_t channels, int merged) {
    int pairs = w->y.segments * w->x.segments;
    give_points(&w->y, merged), give_points(&w->x, merged);
    w->merged = merged, w->points = 0;
    w->reduction = merged ? channels * pairs : channels;
    for (int i = 0; i < w->y.segments; i++)
        for (int j = 0; j < w->x.segments; j++) {
            w->point[i][j] = merged ? 0 : w->points;
            w->channel[i][j] = merged ? channels * (i * w->x.segments + j) : 0;
            w->points += merged && i + j ? 0 : w->y.segment[i].points * w->x.segment[j].points;
        }
    w->row_step = round_up(w->reduction, VL) + VL; /* an odd number of cache lines */
    if (w->row_step / VL % 2 == 0) w->row_step += VL;
}

/* Blocks of NR filters; the last may be half as wide. */
static double filter_blocks(const operands *o) {
    return (double)(o->filters / NR) + (o->filters % NR > VL ? 1 : o->filters % NR ? 0.55 : 0);
}

/* The cycles that a tile takes for products. */
static double product_cycles(const tiling *w, const operands *o) {
    return w->points * filter_blocks(o) *
           ((double)w->reduction * NV * PRODUCT_CYCLES * fc_these_costs->winograd + MOVING(1.6));
}

/* The cycles that a tile takes for products, and transforms of input and output. */
static double tile_cycles(const tiling *w, const operands *o) {
    double pairs = w->y.segments * w->x.segments;
    double inputs = pairs * (double)ceil_div(o->channels, VL), outputs = ceil((double)o->filters / VL);
    double points = w->points, sets = w->merged ? 1 : pairs;
    double input =
        inputs * ((w->merged ? points : points / pairs) * PRODUCT_CYCLES * 4.9 + MOVING(0.7)) * fc_these_costs->input;
    double output = outputs * (points * PRODUCT_CYCLES * 6.2 + sets * MOVING(2.2));
    return product_cycles(w, o) + input + output;
}

/* Tiles a grid; returns 0 where that cannot be done. */
static inline int tile_grid(tiling *w, const grid *g, const operands *o) {
    memset(w, 0, sizeof *w);
    if (!tile_axis(&w->y, &g->y) || !tile_axis(&w->x, &g->x)) return 0;
    w->row_tiles = w->x.subimages * w->x.tiles, w->rows = w->y.subimages * w->y.tiles;
    w->tiles = o->batch * w->rows * w->row_tiles;
    set_tiling(w, o->channels, 0);
    if (w->y.segments * w->x.segments > 1) {
        double apart = tile_cycles(w, o); /* whatever the image's size: prepared weights must fit any */
        set_tiling(w, o->channels, 1);
        if (tile_cycles(w, o) > apart) set_tiling(w, o->channels, 0);
    }
    return 1;
}

/* Tiles in a row of an image: `column` counts over all subimages. */
typedef struct {
    int64_t image, y_subimage, y_tile, column, count;
} tile_stretch;

static tile_stretch stretch_at(const tiling *w, int64_t tile, int64_t most) {
    int64_t row = tile / w->row_tiles, in_image = row % w->rows;
    tile_stretch r = {.image = row / w->rows,
                      .y_subimage = in_image / w->y.tiles,
                      .y_tile = in_image % w->y.tiles,
                      .column = tile % w->row_tiles};
    r.count = min64(most, w->row_tiles - r.column);
    return r;
}

/* The input positions along x that a stretch sees are [first, first + span). Subimages see nearly all of them
 * anyway. */
static void stretch_span(const tiling *w, int64_t column, int64_t count, int64_t *first, int64_t *span) {
    const tiled_axis *x = &w->x;
    int64_t from = x->subimages > 1 ? 0 : column, to = x->subimages > 1 ? x->tiles : column + count;
    *first = x->low + x->unit * M * from;
    *span = x->high + x->unit * M * (to - 1) + x->subimages - 1 - *first;
}

#endif
