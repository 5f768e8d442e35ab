/* Depthwise convolution of small NCHW planes, whose rows are shorter than vectors, by the kernels of depthwise_tile.h.
 * Included by depthwise.c.
 *
 * A vector's worth of planes is transposed to an image whose pixels are vectors of channels. It stays in L1, as do its
 * outputs until they are transposed back. All such images lie at one place, so that the tiles' pixels are found once.
 */
#ifndef FC_DEPTHWISE_PLANES_H
#define FC_DEPTHWISE_PLANES_H

#include "base/parallel.h"
#include "base/simd.h"
#include "conv/depthwise_tile.h"
#include "conv/epilogue.h"
#include "conv/grid.h"

enum { MOST_PIXELS = 256, EASY_PIXELS = 64 }; /* of a plane */

/* How a thread does its planes: the image and its outputs, [pixel][VL], and the tiles in between. */
typedef struct {
    int64_t pixels, outputs, tiles;
    real *image, *results;
    depthwise_tile *tile;
} planes;

static int64_t tiles_of(const fc_conv *p) {
    return ceil_div(p->out_height, TILE_ROWS) * ceil_div(p->out_width, TILE_PIXELS);
}

static planes planes_of(const fc_conv *p) {
    return (planes){.pixels = p->height * p->width, .outputs = p->out_height * p->out_width, .tiles = tiles_of(p)};
}

/* With a vector of zeros behind the outputs. */
static size_t planes_bytes(const fc_conv *p) {
    planes s = planes_of(p);
    return (size_t)(round_up(s.pixels, VL) + round_up(s.outputs, VL) + 1) * VL * sizeof(real) +
           (size_t)s.tiles * sizeof(depthwise_tile);
}

static void set_planes(planes *s, const fc_conv *p, void *memory) {
    fc_conv image = *p;
    image.channels = VL;
    s->image = memory;
    s->results = s->image + round_up(s->pixels, VL) * VL;
    real *zeros = s->results + round_up(s->outputs, VL) * VL;
    store(zeros, zero());
    s->tile = (depthwise_tile *)(zeros + VL);
    for (int64_t i = 0, in_row = ceil_div(p->out_width, TILE_PIXELS); i < s->tiles; i++) {
        int64_t y = i / in_row * TILE_ROWS, x = i % in_row * TILE_PIXELS;
        s->tile[i] = (depthwise_tile){.channels = VL,
                                      .out = s->results + (y * p->out_width + x) * VL,
                                      .out_row = p->out_width * VL,
                                      .rows = min64(TILE_ROWS, p->out_height - y),
                                      .columns = min64(TILE_PIXELS, p->out_width - x),
                                      .kind = FINISH_NOTHING};
        find_pixels(&s->tile[i], &image, s->image, y, x, zeros);
    }
}

/* VL planes, one after the other from `x` on, to s->image; those behind them are fetched meanwhile, which the hardware
 * does not foresee. The last pixels are read with those before them. */
static void gather_planes(const planes *s, const real *x) {
    int64_t offset[VL];
    for (int i = 0; i < VL; i++) offset[i] = i * s->pixels;
    if (s->pixels < VL) {
        vec rows[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) rows[i] = load_n(x + offset[i], s->pixels);
        transpose(rows);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) store(s->image + i * VL, rows[i]);
        return;
    }
    for (int64_t done = 0; done < s->pixels; done += VL) {
        int64_t first = min64(done, s->pixels - VL);
        vec rows[VL];
        load_transposed(x + first, offset, rows);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) __builtin_prefetch(x + first + offset[i] + VL * s->pixels);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) store(s->image + (first + i) * VL, rows[i]);
    }
}

/* From s->results to the VL planes from channel `c` on, finished; those before number `lane` are left out. */
static void scatter_planes(const planes *s, int64_t c, int64_t lane, real *out, const real *residual,
                           const fc_epilogue *e) {
    const channel_values values = values_from(e, c);
    for (int64_t first = 0; first < s->outputs; first += VL) {
        int64_t n = min64(VL, s->outputs - first);
        vec rows[VL];
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) rows[i] = load(s->results + (first + i) * VL);
        transpose(rows);
        for (int64_t i = lane; i < VL; i++) {
            int64_t at = i * s->outputs + first;
            finish(out + at, rows[i], without_bias(one_channel(values, i)), residual ? residual + at : NULL, n, e);
            __builtin_prefetch(out + at + VL * s->outputs, 1);
        }
    }
}

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
} small_planes_job;

/* Tasks are (image, vector of planes). The last vector begins within the one before, which stores what both have. */
static int work_planes(const void *context, int64_t begin, int64_t end) {
    const small_planes_job *j = context;
    const fc_conv *p = j->p;
    int64_t vectors = ceil_div(p->channels, VL), taps = p->kernel_h * p->kernel_w;
    planes s = planes_of(p);
    void *memory = fc_workspace(FC_OWN, planes_bytes(p));
    if (!memory) return FC_NO_MEMORY;
    set_planes(&s, p, memory);
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t vector = task % vectors, c = vector_start(p->channels, vector);
        int64_t plane = task / vectors * p->channels + c;
        const fc_epilogue biased = {.bias = j->e->bias ? (const real *)j->e->bias + c : NULL};
        gather_planes(&s, j->x + plane * s.pixels);
        for (int64_t i = 0; i < s.tiles; i++) {
            s.tile[i].weights = j->weights + vector * taps * VL, s.tile[i].e = &biased;
            pixel_sums[p->kernel_h / 2 - 1][p->stride_h - 1](&s.tile[i]);
        }
        const real *residual = j->e->residual ? (const real *)j->e->residual + plane * s.outputs : NULL;
        scatter_planes(&s, c, vector * VL - c, j->out + plane * s.outputs, residual, j->e);
    }
    return 0;
}

/* [vector of planes][tap][VL] */
static void pack_planes(const fc_conv *p, const real *weight, real *to) {
    int64_t taps = p->kernel_h * p->kernel_w;
    for (int64_t v = 0; v * VL < p->channels; v++)
        for (int64_t t = 0; t < taps; t++)
            for (int l = 0; l < VL; l++)
                *to++ = weight[(vector_start(p->channels, v) + l) * taps + element_of_tap(p, t)];
}

/* Cycles of VL planes. */
static double planes_cycles(const fc_conv *p) {
    double moved = (double)(ceil_div(p->height * p->width, VL) + ceil_div(p->out_height * p->out_width, VL));
    double tile = TILE_ROWS * TILE_PIXELS * (double)(p->kernel_h * p->kernel_w);
    return moved * MOVING(5.5) * VL + (double)tiles_of(p) * (MOVING(0.72) * tile + MOVING(26));
}

#endif
