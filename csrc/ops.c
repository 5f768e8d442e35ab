/* The remaining operations on floating-point arrays: deformable convolution, fold, local response normalisation; and the
 * table of everything that one instruction set offers for one type. */
#include <math.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "conv/grid.h"

#define FC_KERNEL(name, textbook) extern const fc_conv_kernel FC_NAME(name);
#include "conv/kernels.def"
#undef FC_KERNEL
#define FC_GRADIENT(name, textbook) extern const fc_gradient_kernel FC_NAME(name);
#include "weight_gradient/gradients.def"
#undef FC_GRADIENT

extern int FC_NAME(pool_planes)(const fc_pool *p, const void *x, void *out, int threads);
extern int FC_NAME(channel_sums)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int layout,
                                 int threads);
extern int FC_NAME(activation_gradient)(int activation, double a, double b, const void *gradient, const void *value,
                                        int from_output, void *out, int64_t count, int threads);
extern int FC_NAME(pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads);
extern int FC_NAME(scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                                int64_t rows, int64_t columns, int64_t height, int64_t width, int layout, int threads);
extern int FC_NAME(pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width,
                                 int64_t inner, const int64_t *rows, int64_t row_count, const int64_t *columns,
                                 int64_t column_count, int threads);
extern int FC_NAME(norm_gradient)(const void *x, const void *gradient, void *out, int64_t batch, int64_t channels,
                                  int64_t pixels, int64_t size, double alpha, double beta, double k, int layout,
                                  int threads);
extern double FC_NAME(probe)(int probe, void *memory, int64_t bytes, int64_t repeats);
extern int FC_NAME(deform_gradient)(const fc_conv *p, const void *x, const void *offset, const void *mask,
                                    int64_t offset_groups, const void *weight, const void *gradient, void *grad_x,
                                    void *grad_offset, void *grad_weight, void *grad_mask, int threads);

/* ---- deformable convolution: sampled pixels as the channels of a 1x1 convolution ---- */

typedef struct {
    const fc_conv *p;
    const real *x, *offset, *mask, *bias;
    const void *weights;
    int64_t offset_groups, strip; /* output pixels in a strip */
    real *out;
} deform_job;

/* For the output pixels [at, at + n): the four corners of the place where a tap reads, their shares, and the mask. A corner
 * outside the image has share 0 and stands for one inside. One of share 0 does not count, whatever is there. */
typedef struct {
    int32_t *corner[4];
    real *share[4], *mask;
} samples;

static void locate(const deform_job *j, int64_t image, int64_t group, int64_t tap, int64_t at, int64_t n, samples *to) {
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, pixels = p->out_height * p->out_width;
    int64_t field = (image * j->offset_groups + group) * taps + tap;
    const real *down = j->offset + 2 * field * pixels, *right = down + pixels;
    const real *mask = j->mask ? j->mask + field * pixels : NULL;
    for (int64_t i = 0; i < n; i++) {
        int64_t pixel = at + i;
        real y =
            (real)(pixel / p->out_width * p->stride_h - p->pad_top + tap / p->kernel_w * p->dilation_h) + down[pixel];
        real x =
            (real)(pixel % p->out_width * p->stride_w - p->pad_left + tap % p->kernel_w * p->dilation_w) + right[pixel];
        int inside = y > -1 && y < (real)p->height && x > -1 && x < (real)p->width;
        if (!inside) y = x = 0;
        int64_t top = (int64_t)floor((double)y), left = (int64_t)floor((double)x);
        real dy = y - (real)top, dx = x - (real)left;
        to->mask[i] = mask ? mask[pixel] : 1;
        for (int c = 0; c < 4; c++) {
            int64_t row = top + c / 2, column = left + c % 2;
            real share = (c / 2 ? dy : 1 - dy) * (c % 2 ? dx : 1 - dx);
            int exists = inside && row >= 0 && row < p->height && column >= 0 && column < p->width;
            row = max64(0, min64(row, p->height - 1)), column = max64(0, min64(column, p->width - 1));
            to->corner[c][i] = (int32_t)(row * p->width + column);
            to->share[c][i] = exists ? share : 0;
        }
    }
}

static int deform_work(const void *context, int64_t begin, int64_t end) {
    const deform_job *j = context;
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, pixels = p->out_height * p->out_width, strip = j->strip;
    int64_t depth = p->channels * taps, strips = ceil_div(pixels, strip);
    size_t panel_bytes = (size_t)(depth * strip) * sizeof(real),
           result_bytes = (size_t)(p->filters * strip) * sizeof(real);
    size_t sample_bytes = (size_t)strip * (5 * sizeof(real) + 4 * sizeof(int32_t));
    char *memory = malloc(panel_bytes + result_bytes + sample_bytes);
    if (!memory) return FC_NO_MEMORY;
    real *panel = (real *)memory, *result = (real *)(memory + panel_bytes);
    samples s;
    char *next = memory + panel_bytes + result_bytes;
    for (int c = 0; c < 4; c++, next += (size_t)strip * sizeof(real)) s.share[c] = (real *)next;
    s.mask = (real *)next, next += (size_t)strip * sizeof(real);
    for (int c = 0; c < 4; c++, next += (size_t)strip * sizeof(int32_t)) s.corner[c] = (int32_t *)next;
    int status = 0;
    for (int64_t task = begin; task < end && !status; task++) {
        int64_t image = task / strips, at = task % strips * strip, n = min64(strip, pixels - at);
        int64_t per_group = p->channels / j->offset_groups;
        for (int64_t group = 0; group < j->offset_groups; group++)
            for (int64_t tap = 0; tap < taps; tap++) {
                locate(j, image, group, tap, at, n, &s);
                for (int64_t c = group * per_group; c < (group + 1) * per_group; c++) {
                    const real *x = j->x + (image * p->channels + c) * p->height * p->width;
                    real *row = panel + (c * taps + tap) * n;
                    for (int64_t i = 0; i < n; i++) {
                        real sum = 0;
#pragma GCC unroll 4
                        for (int k = 0; k < 4; k++) sum += s.share[k][i] != 0 ? s.share[k][i] * x[s.corner[k][i]] : 0;
                        row[i] = sum * s.mask[i];
                    }
                }
            }
        fc_conv inner = {.batch = 1,
                         .channels = depth,
                         .height = 1,
                         .width = n,
                         .filters = p->filters,
                         .kernel_h = 1,
                         .kernel_w = 1,
                         .stride_h = 1,
                         .stride_w = 1,
                         .dilation_h = 1,
                         .dilation_w = 1,
                         .groups = p->groups,
                         .out_height = 1,
                         .out_width = n,
                         .layout = FC_NCHW,
                         .dtype = p->dtype};
        fc_epilogue e = {.bias = j->bias, .activation = FC_LINEAR};
        status = FC_NAME(direct_pixels).run(&inner, panel, j->weights, &e, result, 1);
        for (int64_t k = 0; k < p->filters; k++)
            memcpy(j->out + (image * p->filters + k) * pixels + at, result + k * n, (size_t)n * sizeof(real));
    }
    free(memory);
    return status;
}

static int deform(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
                  const void *weight, const void *bias, void *out, int threads) {
    int64_t depth = p->channels * p->kernel_h * p->kernel_w, pixels = p->out_height * p->out_width;
    fc_conv inner = {.batch = 1,
                     .channels = depth,
                     .height = 1,
                     .width = 1,
                     .filters = p->filters,
                     .kernel_h = 1,
                     .kernel_w = 1,
                     .stride_h = 1,
                     .stride_w = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = p->groups,
                     .out_height = 1,
                     .out_width = 1,
                     .layout = FC_NCHW,
                     .dtype = p->dtype};
    const fc_conv_kernel *kernel = &FC_NAME(direct_pixels);
    void *weights = malloc(kernel->weight_bytes(&inner));
    if (!weights) return FC_NO_MEMORY;
    int status = kernel->prepare(&inner, weight, weights, threads);
    deform_job j = {.p = p,
                    .x = x,
                    .offset = offset,
                    .mask = mask,
                    .bias = bias,
                    .weights = weights,
                    .offset_groups = offset_groups,
                    .out = out};
    int64_t fitting = (256 << 10) / (depth * (int64_t)sizeof(real));
    j.strip = min64(pixels, max64(4 * VL, fitting / (4 * VL) * (4 * VL)));
    double cycles = (double)(p->batch * pixels * depth) * (2 + (double)p->filters / (double)(p->groups * NR));
    if (!status) status = fc_parallel(p->batch * ceil_div(pixels, j.strip), fc_worth(cycles, threads), deform_work, &j);
    free(weights);
    return status;
}

/* ---- fold (col2im) ---- */

typedef struct {
    const fc_conv *p;
    const real *columns;
    real *out;
} fold_job;

static int fold_work(const void *context, int64_t begin, int64_t end) {
    const fold_job *j = context;
    const fc_conv *p = j->p;
    int64_t taps = p->kernel_h * p->kernel_w, windows = p->out_height * p->out_width;
    for (int64_t plane = begin; plane < end; plane++) {
        real *out = j->out + plane * p->height * p->width;
        memset(out, 0, (size_t)(p->height * p->width) * sizeof(real));
        for (int64_t t = 0; t < taps; t++) {
            const real *from = j->columns + (plane * taps + t) * windows;
            int64_t row = t / p->kernel_w * p->dilation_h - p->pad_top;
            int64_t column = t % p->kernel_w * p->dilation_w - p->pad_left;
            int64_t low = column < 0 ? ceil_div(-column, p->stride_w) : 0;
            int64_t high = p->width > column ? min64(p->out_width, ceil_div(p->width - column, p->stride_w)) : 0;
            for (int64_t y = 0; y < p->out_height; y++) {
                int64_t to = y * p->stride_h + row;
                if (to < 0 || to >= p->height) continue;
                real *line = out + to * p->width + column;
                if (p->stride_w == 1)
                    for (int64_t x = low; x < high; x++) line[x] += from[y * p->out_width + x];
                else
                    for (int64_t x = low; x < high; x++) line[x * p->stride_w] += from[y * p->out_width + x];
            }
        }
    }
    return 0;
}

static int fold(const fc_conv *p, const void *columns, void *out, int threads) {
    fold_job j = {p, columns, out};
    double elements =
        (double)(p->batch * p->channels * p->kernel_h * p->kernel_w) * (double)(p->out_height * p->out_width);
    return fc_parallel(p->batch * p->channels, fc_worth(elements, threads), fold_work, &j);
}

/* ---- local response normalisation ---- */

typedef struct {
    const real *x;
    real *out;
    int64_t channels, pixels, size, strips;
    real scale, k;
    double beta;
    int nhwc;
} norm_job;

enum { NORM_PIXELS = 256 };

static real power(real energy, double beta) {
    if (beta == 0.75) { /* the usual exponent */
        double root = sqrt((double)energy);
        return (real)(root * sqrt(root));
    }
    return (real)pow((double)energy, beta);
}

/* Tasks are (image, strip of pixels): the neighbours of a channel lie `channel` elements apart. */
static int norm_work(const void *context, int64_t begin, int64_t end) {
    const norm_job *j = context;
    int64_t channel = j->nhwc ? 1 : j->pixels, pixel = j->nhwc ? j->channels : 1;
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task % j->strips * NORM_PIXELS, n = min64(NORM_PIXELS, j->pixels - first);
        int64_t base = task / j->strips * j->channels * j->pixels + first * pixel;
        for (int64_t c = 0; c < j->channels; c++) {
            int64_t low = max64(0, c - j->size / 2), high = min64(j->channels, c + (j->size - 1) / 2 + 1);
            for (int64_t i = 0; i < n; i++) {
                const real *x = j->x + base + i * pixel;
                real energy = 0;
                for (int64_t near = low; near < high; near++) energy += x[near * channel] * x[near * channel];
                j->out[base + i * pixel + c * channel] = x[c * channel] / power(j->k + j->scale * energy, j->beta);
            }
        }
    }
    return 0;
}

static int norm(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int64_t size, double alpha,
                double beta, double k, int layout, int threads) {
    norm_job j = {.x = x,
                  .out = out,
                  .channels = channels,
                  .pixels = pixels,
                  .size = size,
                  .strips = ceil_div(pixels, NORM_PIXELS),
                  .scale = (real)(alpha / (double)size),
                  .k = (real)k,
                  .beta = beta,
                  .nhwc = layout == FC_NHWC};
    double elements = (double)(batch * channels) * (double)pixels;
    return fc_parallel(batch * j.strips, fc_worth(elements * 10, threads), norm_work, &j);
}

/* ---- the table ---- */

#define FC_KERNEL(name, textbook) &FC_NAME(name),
static const fc_conv_kernel *const conv[] = {
#include "conv/kernels.def"
};
#undef FC_KERNEL

#define FC_GRADIENT(name, textbook) &FC_NAME(name),
static const fc_gradient_kernel *const gradients[] = {
#include "weight_gradient/gradients.def"
};
#undef FC_GRADIENT

const fc_ops FC_NAME(ops) = {
    .conv = conv,
    .gradients = gradients,
    .deform = deform,
    .fold = fold,
    .norm = norm,
    .pool_planes = FC_NAME(pool_planes),
    .channel_sums = FC_NAME(channel_sums),
    .activation_gradient = FC_NAME(activation_gradient),
    .pool_gradient = FC_NAME(pool_gradient),
    .scatter_add = FC_NAME(scatter_add),
    .pad_gradient = FC_NAME(pad_gradient),
    .norm_gradient = FC_NAME(norm_gradient),
    .deform_gradient = FC_NAME(deform_gradient),
    .probe = FC_NAME(probe),
};
