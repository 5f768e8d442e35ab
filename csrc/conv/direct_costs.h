/* What direct kernels cost beside their tiles' steps: how two threads cut the work, and what they pack and fetch.
 * Included by direct_channels.c and direct_pixels.c. */
#ifndef FC_DIRECT_COSTS_H
#define FC_DIRECT_COSTS_H

#include <math.h>
#include <stdlib.h>

#include "base/processor.h"
#include "conv/direct.h"

/* Of all images and groups, for one block of filters. */
typedef struct {
    int64_t parts;               /* of the filters */
    double strips, spans, tiles; /* a span is what tiles are cut from: a row, or a whole strip; */
    double whole;                /* tiles that have all pixels they could */
    double pixels;               /* what a tile has of them on average */
    double uneven;               /* what the busier of two threads does, against half of all */
    double packing;              /* cycles, of both threads */
} cut;

/* Cycles of packing `count` strips of so many rows and columns of outputs. */
static double packing_cycles(const strips *s, const operands *o, double count, double rows, double columns) {
    if (s->in_place) return 0;
    double inside = s->outside ? 1 : share_inside(&s->g.y, o->height), channels = (double)o->channels;
    double lines = count * ((double)s->y.sheets * rows + (double)s->y.shifts) * inside, sheets = (double)s->x.sheets;
    double width = columns + (double)s->x.shifts / sheets;
    int64_t step = s->g.x.step;
    if (step == 1 && s->g.y.step == 1 && s->g.x.taps == 1 && s->g.x.count == s->width)
        width *= lines / count, lines = count; /* rows that follow on each other */
    lines *= sheets;
    if (o->nhwc && s->pixel_step == o->channels && o->channels == o->x_pixel && step == 1)
        return lines * (ceil(width * channels / VL) * MOVING(6.8) + STEPPING(78));
    if (o->nhwc && o->channels <= 4) return lines * (width * MOVING(2.4) + STEPPING(32));
    if (o->nhwc)
        return lines * (width * ((double)ceil_div(o->channels, VL) * MOVING(5.8) + STEPPING(5)) + STEPPING(35));
    if (step > 1) return lines * (STEPPING(18) + channels * (STEPPING(17) + width * MOVING(0.83)));
    double vectors = ceil(width / VL);
    return lines * (STEPPING(14) + channels * (vectors > 1 ? STEPPING(5) + vectors * MOVING(6.8) : MOVING(5.3)));
}

/* Where there is no memory to plan it, there is none to run it either. */
static cut cut_of(const family *f, const operands *o, const grid *g) {
    cut c = {.pixels = 1, .uneven = 1};
    double images = (double)(o->batch * o->groups), outputs = images * (double)(g->y.count * g->x.count);
    strips s;
    int64_t tile = f->tile_pixels(o);
    if (outputs == 0 || plan_family(f, o, g, 2, &s, &c.parts)) return c;
    double each = (double)(s.strips_y * s.strips_x), lines = images * (double)s.g.y.count;
    double rows = (double)s.g.y.count / (double)s.strips_y, columns = (double)s.g.x.count / (double)s.strips_x;
    c.strips = images * each;
    if (s.flat) {
        c.spans = c.strips, c.tiles = c.spans * ceil(rows * columns / (double)tile);
        c.whole = c.spans * floor(rows * columns / (double)tile);
    }
    for (int64_t i = 0; i < s.strips_x && !s.flat; i++) {
        int64_t y0, height, x0, width;
        place_strip(&s, i, &y0, &height, &x0, &width);
        for (int64_t k = 0; k < s.zones; k++) {
            int64_t span = min64(s.edges[k + 1], x0 + width) - max64(s.edges[k], x0);
            if (span <= 0) continue;
            c.spans += lines, c.tiles += lines * (double)ceil_div(span, tile), c.whole += lines * (double)(span / tile);
        }
    }
    c.pixels = outputs / c.tiles;
    c.packing = (double)c.parts * packing_cycles(&s, o, c.strips, rows, columns);
    double tasks = c.strips * (double)c.parts;
    if (c.parts == 1 && o->batch * o->groups % 2 && each > 1) /* an image is cut for the threads */
        tasks = images * (s.strips_x > 1 ? (double)ceil_div(s.g.x.count, s.unit_x) : (double)s.g.y.count);
    c.uneven = uneven(tasks);
    free(s.memory);
    return c;
}

/* Bytes of weights and images that each of two threads moves through the outer caches, beyond reading the image
 * once. */
static double family_traffic(const family *f, const operands *o, const grid *g) {
    double weights = (double)(o->filters * o->channels * o->elements) * sizeof(real);
    double image = (double)(o->channels * o->height * o->width) * sizeof(real);
    double tasks = (double)(o->batch * o->groups);
    if (weights <= (double)fc_l2_bytes() / 2) return 0;
    if (filter_parts(f, o, g, 2) > 1) return tasks * weights / 2;
    return ceil(tasks * ceil(image / STRIP_BYTES) / 2) * weights;
}

/* The share of the products that are not skipped, as rows outside the image are. */
static double family_share(const family *f, const operands *o, const grid *g) {
    return f->spans_rows(o, g) || reads_in_place(g, o) ? 1 : share_inside(&g->y, o->height);
}

/* Some of the images' way from memory is hidden behind the tiles, or these behind it. */
static double with_images(const operands *o, double cycles) {
    double images = grouped_image_cycles(o, 1, 1);
    return fmax(cycles, images) + 0.5 * fmin(cycles, images);
}

/* Cycles of packing all weights for one call: where `run_job` has each thread pack what it uses, and where one thread
 * writes what another reads. */
static double once_cycles(const family *f, const operands *o, const cut *c, double weights, double each) {
    double blocks = (double)(o->groups * f->blocks(o).count);
    double cycles = weights * PACKING(each) * uneven(blocks) + STEPPING(480);
    int own = blocks == 1 && weights <= OWN_BLOCK_BYTES && c->strips <= 8;
    return own || (c->parts > 1 && c->strips == 1) ? cycles : cycles + fc_stream_cycles(weights, weights);
}

#endif
