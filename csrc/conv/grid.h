/* A convolution, transposed or not, as one or more plain ones ("grids") over operands in either layout. Included by
 * every convolution kernel and by the gradients of weights; it computes a few numbers for a call and touches no array.
 *
 * The outputs of a transposed convolution of stride s lie in s * s interleaved "phases"; those of a phase see the same
 * share of the kernel's taps, as in an ordinary convolution of stride 1 (sub-pixel convolution): a phase with taps is a
 * grid. Of a small output many phases hold no pixel, and of a small kernel many see no tap, so that neither the grids
 * nor the phases are counted by the stride. An ordinary convolution is one grid. Kernels work on grids only.
 *
 * `operands` has the strides of both layouts, so that a kernel finds pixel (y, x) of channel c of image n in either at
 *   n * x_image + c * x_channel + (y * width + x) * x_pixel. */
#ifndef FC_GRID_H
#define FC_GRID_H

#include <math.h>

#include "base/processor.h"
#include "base/types.h"

enum { PAGE_BYTES = 4096 }; /* what an entry of the TLB serves */

/* Do places that are so many reals apart compete for a few sets of every cache? */
static inline int is_crowded(int64_t reals) {
    int64_t apart = reals * (int64_t)sizeof(real), near = 128;
    return apart > PAGE_BYTES / 2 && (apart + near) % PAGE_BYTES <= 2 * near;
}

/* The operands, with the roles of a plain convolution: `x` is what is read, `out` what is written. */
typedef struct {
    int64_t batch, groups;
    int64_t channels, filters; /* of one group */
    int64_t elements;          /* of a kernel */
    int64_t height, width, out_height, out_width;
    int64_t x_pixel, x_channel, x_image;                   /* strides of x */
    int64_t out_pixel, out_channel, out_image;             /* strides of out */
    int64_t w_filter, w_channel, w_row, w_column, w_group; /* strides of the user's weights */
    int64_t grid_rows, grid_columns;                       /* grids along each axis, by the kernel alone */
    int64_t phase_rows, phase_columns;                     /* phases along each axis that hold outputs */
    int nhwc, w_nhwc;                                      /* of the images; of the user's weights */
    int rescaled;                                          /* as fc_conv's */
} operands;

/* Along one axis: output o lies at o * out_step + out_first and sees input o * step + tap_at(t) with tap number t of
 * `taps`, which is the kernel's element kernel_first + t * kernel_step. */
typedef struct {
    int64_t count, out_first, out_step;
    int64_t taps, step, first, tap_step, divisor, kernel_first, kernel_step;
} axis;

static inline int64_t tap_at(const axis *a, int64_t t) { return floor_div(a->first + t * a->tap_step, a->divisor); }

typedef struct {
    axis y, x;
} grid;

/* In grid.c. */
operands FC_NAME(operands_of)(const fc_conv *p);

static inline axis plain_axis(int64_t count, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
    axis a = {.count = count,
              .out_first = 0,
              .out_step = 1,
              .taps = taps,
              .step = stride,
              .first = -pad,
              .tap_step = taps > 1 ? dilation : 1,
              .divisor = 1,
              .kernel_first = 0,
              .kernel_step = 1};
    return a;
}

/* Output y takes the kernel's element r from input (y + pad - r * dilation) / stride, where that is whole. So does its
 * phase with every `period_of(stride, dilation)`-th element from the lowest on; here that is element `lowest`, and the
 * phase the one that it meets. */
static inline axis phase_axis(int64_t size, int64_t taps, int64_t stride, int64_t pad, int64_t dilation,
                              int64_t lowest) {
    int64_t period = period_of(stride, dilation), at = lowest * dilation - pad;
    int64_t phase = at - floor_div(at, stride) * stride;
    axis a = {.count = phase < size ? ceil_div(size - phase, stride) : 0,
              .out_first = phase,
              .out_step = stride,
              .taps = ceil_div(taps - lowest, period),
              .step = 1,
              .first = (phase - at) / stride,
              .divisor = 1,
              .kernel_first = lowest,
              .kernel_step = period};
    a.tap_step = a.taps > 1 ? -(dilation * period / stride) : 1;
    return a;
}

/* All phases together: output o stands for `stride` outputs, and the taps are those of every phase, some of them at one
 * place. */
static inline axis all_phases(int64_t size, int64_t taps, int64_t stride, int64_t pad, int64_t dilation) {
    axis a = {.count = ceil_div(size, stride),
              .out_first = 0,
              .out_step = stride,
              .taps = taps,
              .step = 1,
              .first = pad + stride - 1,
              .tap_step = taps > 1 ? -dilation : 1,
              .divisor = stride,
              .kernel_first = 0,
              .kernel_step = 1};
    return a;
}

/* The convolution as one grid. */
static inline grid whole_grid(const fc_conv *p) {
    grid g;
    if (p->transposed) {
        g.y = all_phases(p->height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h);
        g.x = all_phases(p->width, p->kernel_w, p->stride_w, p->pad_left, p->dilation_w);
    } else {
        g.y = plain_axis(p->out_height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h);
        g.x = plain_axis(p->out_width, p->kernel_w, p->stride_w, p->pad_left, p->dilation_w);
    }
    return g;
}

/* A transposed convolution of stride 1 is a plain one whose kernel is reversed; `plain` becomes that one, or `p` itself
 * where it is plain. Returns 0 where `p` has another stride, or where the plain one would have negative padding. */
static inline int as_plain(const fc_conv *p, fc_conv *plain) {
    *plain = *p;
    if (!p->transposed) return 1;
    plain->pad_top = (p->kernel_h - 1) * p->dilation_h - p->pad_top;
    plain->pad_left = (p->kernel_w - 1) * p->dilation_w - p->pad_left;
    if (p->stride_h > 1 || p->stride_w > 1 || plain->pad_top < 0 || plain->pad_left < 0) return 0;
    plain->transposed = 0, plain->channels = p->filters, plain->filters = p->channels;
    plain->height = p->out_height, plain->width = p->out_width, plain->out_height = p->height,
    plain->out_width = p->width;
    return 1;
}

static inline fc_conv plain_of(const fc_conv *p) {
    fc_conv plain;
    as_plain(p, &plain);
    return plain;
}

/* The element of the kernel of `p` that is tap `tap` of the plain one. */
static inline int64_t element_of_tap(const fc_conv *p, int64_t tap) {
    return p->transposed ? p->kernel_h * p->kernel_w - 1 - tap : tap;
}

/* The weights of an element for `count` channels from `first` on, of a convolution with one channel in each group. */
static inline void element_weights(const fc_conv *p, const real *weight, int64_t element, int64_t first, int64_t count,
                                   real *to) {
    int64_t step = p->planar_weights ? p->kernel_h * p->kernel_w : 1;
    const real *from = weight + (p->planar_weights ? element : element * p->channels) + first * step;
    for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
}

/* The grid number `index`: a phase, or a plain convolution. */
static inline grid grid_of(const fc_conv *p, const operands *o, int64_t index) {
    if (!p->transposed) return whole_grid(p);
    int64_t row = index / o->grid_columns, column = index % o->grid_columns;
    return (grid){phase_axis(p->height, p->kernel_h, p->stride_h, p->pad_top, p->dilation_h, row),
                  phase_axis(p->width, p->kernel_w, p->stride_w, p->pad_left, p->dilation_w, column)};
}

/* Is every output one of a grid? */
static inline int grids_cover(const fc_conv *p, const operands *o) {
    return !p->transposed || (o->grid_rows == p->stride_h && o->grid_columns == p->stride_w);
}

/* Is the stretch of an axis from the first place that outputs see to the last hardly longer than what they see of it,
 * or than the image? Kernels that keep it whole need it so. */
static inline int is_compact(int64_t size, int64_t outputs, int64_t taps, int64_t stride, int64_t dilation) {
    return (outputs - 1) * stride + (taps - 1) * dilation < 8 * (size + outputs * taps);
}

/* Different places of an axis' taps, and how far apart they are. */
static inline int64_t tap_places(const axis *a) {
    int64_t span = tap_at(a, a->taps - 1) - tap_at(a, 0);
    return min64(a->taps, (span < 0 ? -span : span) + 1);
}

static inline double tap_distance(const axis *a) {
    double distance = (double)a->tap_step / (double)a->divisor;
    distance = distance < 0 ? -distance : distance;
    return distance < 1 ? 1 : distance;
}

/* The taps [first, first + count) that output `at` of a grid's axis sees inside an image of that size. */
static inline void taps_inside(const axis *a, int64_t at, int64_t size, int64_t *first, int64_t *count) {
    int64_t low = 0, high = a->taps, position = at * a->step + a->first;
    while (low < high && (position + low * a->tap_step < 0 || position + low * a->tap_step >= size)) low++;
    while (high > low && (position + (high - 1) * a->tap_step < 0 || position + (high - 1) * a->tap_step >= size))
        high--;
    *first = low, *count = high - low;
}

/* The share of all (output, tap) pairs of an axis that lie inside an image of that size. */
static inline double share_inside(const axis *a, int64_t size) {
    double inside = 0;
    for (int64_t t = 0; t < a->taps; t++) {
        int64_t at = tap_at(a, t), low = at < 0 ? ceil_div(-at, a->step) : 0;
        int64_t high = size > at ? ceil_div(size - at, a->step) : 0;
        inside += (double)max64(0, min64(high, a->count) - low);
    }
    return inside / (double)max64(1, a->count * a->taps);
}

static inline int64_t grid_taps(const grid *g) { return g->y.taps * g->x.taps; }

/* The cycles that all threads take together, where a kernel's cost is that of two which share the work. */
static inline double all_cycles(const fc_conv *p, double (*cost)(const fc_conv *)) {
    return 2 * (p->cycles > 0 ? p->cycles : cost(p));
}

/* What the busier of two threads does of so many equal tasks, against half of them. */
static inline double uneven(double tasks) { return tasks > 0 ? 2 * ceil(tasks / 2) / tasks : 1; }

/* Cycles in which two threads get the images, read so many times, and the results from beyond their L2. */
static inline double image_cycles(const operands *o, double read, double written) {
    double bytes = (double)o->batch * ((double)o->x_image * read + (double)o->out_image * written) * sizeof(real);
    return fc_stream_cycles(fmax(0, bytes / 2 - (double)fc_l2_bytes() / 2), bytes);
}

/* How often a cache line of NHWC pixels comes from there where groups are done one after the other: each moves the
 * lines that hold the first to the last of so many channels. */
static inline double lines_again(const operands *o, int64_t pixel, int64_t channels) {
    double bytes = (double)channels * sizeof(real);
    return pixel > channels ? fmin((double)o->groups, (bytes + 64 - sizeof(real)) / bytes) : 1;
}

/* The same as image_cycles, for kernels that do one group after the other. */
static inline double grouped_image_cycles(const operands *o, double read, double written) {
    double in = (double)o->x_image * read, out = (double)o->out_image * written;
    double lines = in * lines_again(o, o->x_pixel, o->channels) + out * lines_again(o, o->out_pixel, o->filters);
    return in + out > 0 ? image_cycles(o, read, written) * lines / (in + out) : 0;
}

#endif
