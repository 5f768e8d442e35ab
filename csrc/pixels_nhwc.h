/* Convolutions of NHWC images whose channels see few others: vectors over channels, a tile of PIXELS outputs of a row at a
 * time. Used by depthwise.c and grouped.c, which differ in the sum of a tile.
 *
 * Tiles are read in place; those at an edge, or with less than a vector of channels, from a copy with zeros around. */
#ifndef FC_PIXELS_NHWC_H
#define FC_PIXELS_NHWC_H

#include "epilogue.h"
#include "grid.h"

enum { PIXELS = 8 };

/* A tile: PIXELS outputs of a row, a block of channels; what it reads may be the image itself or a copy. */
typedef struct {
    const real *pixels, *weights;
    int64_t row_step, pixel_step; /* of input that neighbouring taps see */
    int64_t stride, rows, columns;
    int64_t tap_step; /* of weights */
    int64_t n;        /* input channels that count */
    int64_t channels_each;
    const lanes *places;
} tile_nhwc;

typedef void sum_nhwc_function(const tile_nhwc *t, vec *sum);

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
    sum_nhwc_function *sum;
    int64_t in_lanes, out_lanes; /* channels of a block */
    int64_t tap_step, block_step; /* of weights */
    int64_t channels_each;        /* of a group, and for each the lane that every output lane takes from the input */
    const lanes *places;
} job_nhwc;

static int64_t tile_span(const fc_conv *p) { return (PIXELS - 1) * p->stride_w + (p->kernel_w - 1) * p->dilation_w + 1; }

static size_t tile_room(const fc_conv *p) { return (size_t)(p->kernel_h * tile_span(p) * VL) * sizeof(real); }

/* Rows of outputs [begin, end), over the batch. */
static int work_nhwc(const void *context, int64_t begin, int64_t end) {
    const job_nhwc *j = context;
    const fc_conv *p = j->p;
    const int64_t span = tile_span(p), image_row = p->width * p->channels;
    axis ay = plain_axis(p->out_height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h);
    real *copy = fc_workspace(FC_OWN, tile_room(p));
    if (!copy) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / p->out_height, y = task % p->out_height, r0, rows;
        taps_inside(&ay, y, p->height, &r0, &rows);
        const real *top = j->x + image * p->height * image_row + (y * p->stride_h - p->pad_top + r0 * p->dilation_h) * image_row;
        int64_t row = (image * p->out_height + y) * p->out_width * p->filters;
        const real *residual = j->e->residual ? (const real *)j->e->residual + row : NULL;
        for (int64_t x = 0; x < p->out_width; x += PIXELS) {
            int64_t first = x * p->stride_w - p->pad_left, count = min64(PIXELS, p->out_width - x);
            int64_t low = min64(max64(-first, 0), span), high = max64(low, min64(span, p->width - first));
            int64_t block = 0;
            for (int64_t k = 0; k < p->filters; k += j->out_lanes, block++) {
                int64_t c = block * j->in_lanes, n = min64(j->out_lanes, p->filters - k);
                tile_nhwc t = {.pixels = top + first * p->channels + c, .weights = j->weights + block * j->block_step,
                               .row_step = p->dilation_h * image_row, .pixel_step = p->dilation_w * p->channels,
                               .stride = p->stride_w * p->channels, .rows = rows, .columns = p->kernel_w,
                               .tap_step = j->tap_step, .n = min64(j->in_lanes, p->channels - c),
                               .channels_each = j->channels_each, .places = j->places};
                t.weights += r0 * p->kernel_w * j->tap_step;
                if (low > 0 || high < span || c + VL > p->channels) {
                    for (int64_t r = 0; r < rows; r++) {
                        const real *from = t.pixels + r * t.row_step;
                        real *to = copy + r * span * VL;
                        clear_reals(to, low * VL);
                        for (int64_t i = low; i < high; i++) store(to + i * VL, load_up_to(from + i * p->channels, t.n));
                        clear_reals(to + high * VL, (span - high) * VL);
                    }
                    t.pixels = copy, t.row_step = span * VL, t.pixel_step = p->dilation_w * VL, t.stride = p->stride_w * VL;
                }
                vec sum[PIXELS];
                for (int m = 0; m < PIXELS; m++) sum[m] = zero();
                j->sum(&t, sum);
                vec bias = j->e->bias ? load_up_to((const real *)j->e->bias + k, n) : zero();
                for (int64_t m = 0; m < count; m++) {
                    int64_t at = (x + m) * p->filters + k;
                    finish(j->out + row + at, sum[m], bias, residual ? residual + at : NULL, n, j->e);
                }
            }
        }
    }
    return 0;
}

#endif
