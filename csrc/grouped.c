/* Grouped convolution of NHWC images with few channels in a group. Called through `kernels.def`.
 *
 * A vector holds the output channels of several groups, whose input channels fit a vector as well: for each of a group's
 * channels, a permutation of the pixel brings to every lane what it multiplies. Weights are packed [block of groups][tap]
 * [channel of the group][VL]. Limit: one permutation for each FMA. */
#include "pixels_nhwc.h"

/* Groups in a vector. */
static int64_t groups_together(const operands *o) { return VL / max64(o->channels, o->filters); }

static int64_t blocks(const operands *o) { return ceil_div(o->groups, groups_together(o)); }

static void sum_groups(const tile_nhwc *t, vec *sum) {
    const real *row = t->pixels, *weights = t->weights;
    for (int64_t r = t->rows; r > 0; r--, row += t->row_step)
        for (int64_t s = 0; s < t->columns; s++) {
            vec pixel[PIXELS];
#pragma GCC unroll 8
            for (int m = 0; m < PIXELS; m++) pixel[m] = load(row + m * t->stride + s * t->pixel_step);
            for (int64_t c = 0; c < t->channels_each; c++, weights += VL) {
                vec weight = load(weights);
                lanes place = t->places[c];
#pragma GCC unroll 8
                for (int m = 0; m < PIXELS; m++) sum[m] += weight * permute(pixel[m], place);
            }
        }
}

static int accepts(const fc_conv *p) {
    operands o = operands_of(p);
    return p->layout == FC_NHWC && !p->transposed && p->groups > 1 && groups_together(&o) > 0;
}

static double cost(const fc_conv *p) {
    operands o = operands_of(p);
    double tiles = (double)(p->batch * p->out_height * ceil_div(p->out_width, PIXELS) * blocks(&o));
    double taps = (double)(p->kernel_h * p->kernel_w), permutation = VECTOR_BYTES >= 32 ? 1.2 : 8;
    return tiles * (taps * (10 + PIXELS * permutation * (double)o.channels) + 60) / 2 + 400;
}

static size_t weight_bytes(const fc_conv *p) {
    operands o = operands_of(p);
    return (size_t)(blocks(&o) * p->kernel_h * p->kernel_w * o.channels * VL) * sizeof(real);
}

static size_t workspace_bytes(const fc_conv *p, int threads) {
    (void)threads;
    return tile_room(p);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    (void)threads;
    operands o = operands_of(p);
    real *to = packed;
    int64_t together = groups_together(&o);
    for (int64_t block = 0; block < blocks(&o); block++)
        for (int64_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++)
            for (int64_t c = 0; c < o.channels; c++, to += VL) {
                const real *from = (const real *)weight + tap / p->kernel_w * o.w_row + tap % p->kernel_w * o.w_column;
                for (int64_t l = 0; l < VL; l++) {
                    int64_t in_block = l / o.filters, group = block * together + in_block;
                    int used = in_block < together && group < o.groups;
                    to[l] = used ? from[group * o.w_group + l % o.filters * o.w_filter + c * o.w_channel] : 0;
                }
            }
    return 0;
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = operands_of(p);
    lanes places[VL];
    for (int64_t c = 0; c < o.channels; c++)
        for (int64_t l = 0; l < VL; l++) places[c][l] = (lane)min64(l / o.filters * o.channels + c, VL - 1);
    int64_t taps = p->kernel_h * p->kernel_w, together = groups_together(&o);
    job_nhwc rows = {.p = p, .e = e, .x = x, .weights = packed, .out = out, .sum = sum_groups,
                     .in_lanes = together * o.channels, .out_lanes = together * o.filters, .tap_step = o.channels * VL,
                     .block_step = taps * o.channels * VL, .channels_each = o.channels, .places = places};
    return fc_parallel(p->batch * p->out_height, fc_worth(2 * cost(p), threads), work_nhwc, &rows);
}

const fc_conv_kernel FC_NAME(grouped) = {accepts, cost, weight_bytes, workspace_bytes, prepare, run_all, NULL, NULL};
