/* Grouped convolution of NHWC images with few channels in a group. Called through `kernels.def`.
 *
 * A vector holds the output channels of several groups, whose input channels fit a vector as well: for each of a
 * group's channels, a permutation of the pixel brings to every lane what it multiplies. Limit: FMA throughput with 3, 5
 * and 7 columns of taps; with others one permutation for each FMA. */
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/grid.h"
#include "conv/kernel.h"
#include "conv/pixels_nhwc.h"

/* How many groups a vector holds. */
static int64_t groups_together(const operands *o) { return VL / max64(o->channels, o->filters); }

static int64_t blocks(const operands *o) { return ceil_div(o->groups, groups_together(o)); }

static COLD int accepts(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    fc_conv plain;
    return p->layout == FC_NHWC && as_plain(p, &plain) && p->groups > 1 && groups_together(&o) > 0 && ring_fits(&plain);
}

/* Channels come before a row's columns, and tap after tap as the plain convolution has them. */
static COLD int in_turn(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    return (!p->transposed || o.elements == 1) && (o.channels == 1 || p->kernel_w == 1);
}

static COLD double cost(const fc_conv *given) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = FC_NAME(operands_of)(p);
    double tiles = (double)(p->batch * p->out_height * ceil_div(p->out_width, PIXELS) * blocks(&o));
    double taps = (double)(p->kernel_h * p->kernel_w), permutation = VECTOR_BYTES >= 32 ? 1 : 16, permutations = PIXELS;
    if (unrolled_nhwc(p))
        permutations = (double)((PIXELS - 1) * p->stride_w + p->kernel_w) / (double)p->kernel_w; /* for each tap */
    double sums = taps * (double)o.channels * PRODUCT_CYCLES * (PIXELS * 0.9 + permutation * permutations * 0.98);
    return tiles * (sums + MOVING(23) * PIXELS) / 2 + beside_cycles(p, blocks(&o)) + image_cycles(&o, 1, 1) +
           STEPPING(400);
}

static COLD size_t weight_bytes(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    return (size_t)(blocks(&o) * p->kernel_h * p->kernel_w * o.channels * VL) * sizeof(real);
}

static job_nhwc job_of(const fc_conv *p, const operands *o) {
    int64_t together = groups_together(o);
    return (job_nhwc){.p = p,
                      .in_lanes = together * o->channels,
                      .out_lanes = together * o->filters,
                      .grouped = 1,
                      .channels_each = o->channels,
                      .blocks = blocks(o)};
}

static COLD size_t workspace_bytes(const fc_conv *given, int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    (void)threads;
    operands o = FC_NAME(operands_of)(p);
    job_nhwc j = job_of(p, &o);
    set_ring(&j);
    return ring_bytes(&j);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    (void)threads;
    operands o = FC_NAME(operands_of)(p);
    real *to = packed;
    int64_t together = groups_together(&o);
    for (int64_t block = 0; block < blocks(&o); block++)
        for (int64_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++)
            for (int64_t c = 0; c < o.channels; c++, to += VL) {
                int64_t element = element_of_tap(p, tap);
                const real *from =
                    (const real *)weight + element / p->kernel_w * o.w_row + element % p->kernel_w * o.w_column;
                for (int64_t l = 0; l < VL; l++) {
                    int64_t in_block = l / o.filters, group = block * together + in_block;
                    int used = in_block < together && group < o.groups;
                    to[l] = used ? from[group * o.w_group + l % o.filters * o.w_filter + c * o.w_channel] : 0;
                }
            }
    return 0;
}

static int run_all(const fc_conv *given, const void *x, const void *packed, const fc_epilogue *e, void *out,
                   int threads) {
    const fc_conv plain = plain_of(given), *p = &plain;
    operands o = FC_NAME(operands_of)(p);
    lanes places[VL];
    for (int64_t c = 0; c < o.channels; c++)
        for (int64_t l = 0; l < VL; l++) places[c][l] = (lane)min64(l / o.filters * o.channels + c, VL - 1);
    job_nhwc j = job_of(p, &o);
    j.e = e, j.x = x, j.weights = packed, j.out = out, j.places = places;
    double cycles = all_cycles(p, cost);
    return run_nhwc(&j, cycles, fc_worth(cycles, threads));
}

const fc_conv_kernel FC_NAME(grouped) = {
    .accepts = accepts,
    .cost = cost,
    .in_turn = in_turn,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
};
