/* Deformable convolution: sampled pixels as the channels of a 1x1 convolution. Called through `operations.def`.
 *
 * Tasks are strips of an image's output pixels. Every (channel, tap) pair is a row of a panel, with a sampled pixel for
 * each of the strip's output pixels: the panel [channel][tap][pixel] is an NCHW image of one row, which the kernel
 * `direct_pixels` convolves. A panel takes about 256 KiB. Limit: the gathers of the samples, or the convolution. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "base/types.h"
#include "conv/kernel.h"

extern const fc_conv_kernel FC_NAME(direct_pixels);

typedef struct {
    const fc_conv *p;
    const real *x, *offset, *mask, *bias;
    const void *weights;
    int64_t offset_groups, strip; /* output pixels in a strip */
    real *out;
} deform_job;

/* For the output pixels [at, at + n): the four corners of the place where a tap reads, their shares, and the mask. A
 * corner outside the image has share 0 and stands for one inside. One of share 0 does not count, whatever is there. At
 * an offset of NaN the sample is NaN. */
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
        int unknown = y != y || x != x;
        real nowhere = unknown ? y + x : 0;
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
        if (unknown) to->share[0][i] = nowhere;
    }
}

/* Samples of a channel; where `checked`, a corner of share 0 does not count, else only if it is finite. Returns whether
 * a sample is not. */
INLINE
int sample_row(const real *restrict x, const samples *s, real *restrict row, int64_t n, int checked) {
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        real sum = 0;
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) sum += !checked || s->share[k][i] != 0 ? s->share[k][i] * x[s->corner[k][i]] : 0;
        row[i] = sum * s->mask[i];
        bad |= !(sum - sum == 0);
    }
    return bad;
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
                    if (sample_row(x, &s, row, n, 0)) sample_row(x, &s, row, n, 1);
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

int FC_NAME(deform_conv)(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
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
    if (!status) status = fc_parallel(p->batch * ceil_div(pixels, j.strip), cycles, threads, deform_work, &j);
    free(weights);
    return status;
}
