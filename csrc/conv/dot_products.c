/* Convolution whose kernel is as large as the image: a product of matrices, as in a fully connected layer. Called
 * through `kernels.def`.
 *
 * In NCHW all that an output multiplies is one stretch of its image, and one of the user's weights: vectors lie along
 * it, and nothing is packed. Register tile: EDGE images x EDGE filters, whose lanes are added up at the end. Limit: few
 * images, the bandwidth of the weights' memory; else FMA throughput, and the loads beside it. */
#include <string.h>

#include "base/parallel.h"
#include "base/total.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"

/* EDGE * EDGE sums and EDGE + 1 factors must fit the registers. */
#if MR > 6
enum { EDGE = 4 };
#define EACH_WIDTH(f, rows) f(rows, 1) f(rows, 2) f(rows, 3) f(rows, 4)
#define EACH_EDGE(f) f(1) f(2) f(3) f(4)
#else
enum { EDGE = 3 };
#define EACH_WIDTH(f, rows) f(rows, 1) f(rows, 2) f(rows, 3)
#define EACH_EDGE(f) f(1) f(2) f(3)
#endif

/* Images that a task reads again and again. And factors at a time: sums of so many have the digits that those of other
 * convolutions have, and the totals of such sums cost nothing beside them. */
enum { PANEL_BYTES = 256 << 10, STRETCH = 256 * VL };

typedef struct {
    const operands *o;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
    int64_t length, images, blocks; /* of a group: images of a panel, blocks of EDGE filters */
} dots_job;

typedef void dots_function(const real *x, int64_t image, const real *weights, int64_t filter, int64_t length,
                           real *sums);

/* sums[image][filter], of `length` factors; images and filters lie `image` and `filter` apart. */
INLINE
void multiply(const int images, const int filters, const real *x, int64_t image, const real *weights, int64_t filter,
              int64_t length, real *sums) {
    vec sum[EDGE * EDGE];
#pragma GCC unroll 16
    for (int i = 0; i < images * filters; i++) sum[i] = zero();
    int64_t at = 0;
    for (; at + VL <= length; at += VL) {
        vec pixels[EDGE];
#pragma GCC unroll 4
        for (int m = 0; m < images; m++) pixels[m] = load(x + m * image + at);
#pragma GCC unroll 4
        for (int k = 0; k < filters; k++) {
            vec weight = load(weights + k * filter + at);
#pragma GCC unroll 4
            for (int m = 0; m < images; m++) sum[m * filters + k] += pixels[m] * weight;
        }
    }
    if (at < length) {
        vec pixels[EDGE];
#pragma GCC unroll 4
        for (int m = 0; m < images; m++) pixels[m] = load_n(x + m * image + at, length - at);
#pragma GCC unroll 4
        for (int k = 0; k < filters; k++) {
            vec weight = load_n(weights + k * filter + at, length - at);
#pragma GCC unroll 4
            for (int m = 0; m < images; m++) sum[m * filters + k] += pixels[m] * weight;
        }
    }
    sum_lanes_of(0, (const real *)sum, images * filters, sums);
}

#define DOTS(images, filters)                                                                                          \
    static void dots_##images##_##filters(const real *x, int64_t image, const real *weights, int64_t filter,           \
                                          int64_t length, real *sums) {                                                \
        multiply(images, filters, x, image, weights, filter, length, sums);                                            \
    }
#define DOTS_OF(images) EACH_WIDTH(DOTS, images)
EACH_EDGE(DOTS_OF)
#define NAME(images, filters) dots_##images##_##filters,
#define NAMES(images) {EACH_WIDTH(NAME, images)},
static dots_function *const dots[EDGE][EDGE] = {EACH_EDGE(NAMES)};

static void sum_stretches(dots_function *dot, const real *x, int64_t image, const real *weights, int64_t length,
                          int64_t n, real *sums) {
    if (length <= STRETCH) {
        dot(x, image, weights, length, length, sums);
        return;
    }
    real totals[EDGE * EDGE] = {0}, rests[EDGE * EDGE] = {0};
    for (int64_t at = 0; at < length; at += STRETCH) {
        dot(x + at, image, weights + at, length, min64(STRETCH, length - at), sums);
        add_parts(totals, rests, sums, n);
    }
    copy_totals(sums, totals, rests, n);
}

/* Bias, residual and activation of several images' sums, [image][filter]: all in one or two vectors, where the rows
 * would fill a quarter of one each. `values` are those of the sums; the first result is element `at`. */
static void finish_sums(const dots_job *j, int64_t at, int64_t images, int64_t filters, channel_values values,
                        real *sums) {
    const real *residual = j->e->residual;
    int64_t step = j->o->out_image, n = images * filters;
    real *out = j->out + at, added[EDGE * EDGE];
    if (residual)
        for (int64_t m = 0, i = 0; m < images; m++)
            for (int64_t k = 0; k < filters; k++, i++) added[i] = residual[at + m * step + k];
    for (int64_t i = 0; i < n; i += VL) {
        channel_lanes channels = neighbours(values, i, n - i);
        if (residual) channels.bias += load_up_to(added + i, n - i);
        store(sums + i, finished(load(sums + i), channels, n - i, j->e));
    }
    for (int64_t m = 0; m < images; m++, out += step, sums += filters)
        if (filters == EDGE)
            memcpy(out, sums, EDGE * sizeof(real));
        else
            for (int64_t k = 0; k < filters; k++) out[k] = sums[k];
}

/* A panel of images with one block of filters. */
static void do_block(const dots_job *j, int64_t group, int64_t first, int64_t last, int64_t block) {
    const operands *o = j->o;
    int64_t filter = block * EDGE, filters = min64(EDGE, o->filters - filter), column = group * o->filters + filter;
    const real *weights = j->weights + column * j->length;
    real room[2 * EDGE * EDGE];
    const channel_values own = values_from(j->e, column);
    const channel_values each = repeated(own, filters, last - first > 1 ? EDGE * filters : 0, room);
    for (int64_t image = first; image < last; image += EDGE) {
        int64_t images = min64(EDGE, last - image), at = image * o->out_image + column;
        real sums[EDGE * EDGE + 2 * VL];
        sum_stretches(dots[images - 1][filters - 1], j->x + image * o->x_image + group * j->length, o->x_image, weights,
                      j->length, images * filters, sums);
        if (images > 1)
            finish_sums(j, at, images, filters, each, sums);
        else
            for (int64_t k = 0; k < filters; k += VL) {
                int64_t n = min64(VL, filters - k);
                const real *residual = j->e->residual ? (const real *)j->e->residual + at + k : NULL;
                finish(j->out + at + k, load(sums + k), neighbours(own, k, n), residual, n, j->e);
            }
    }
}

/* Tasks are (panel of images, group, block of filters). */
static int do_blocks(const void *context, int64_t begin, int64_t end) {
    const dots_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int64_t panel = task / (j->blocks * j->o->groups), first = panel * j->images;
        do_block(j, task / j->blocks % j->o->groups, first, min64(first + j->images, j->o->batch), task % j->blocks);
        int status = fc_called_off();
        if (status) return status;
    }
    return 0;
}

static COLD int accepts(const fc_conv *p) {
    return p->layout == FC_NCHW && !p->transposed && p->kernel_h == p->height && p->kernel_w == p->width &&
           p->out_height == 1 && p->out_width == 1 && p->pad_top == 0 && p->pad_left == 0 &&
           (p->dilation_h == 1 || p->kernel_h == 1) && (p->dilation_w == 1 || p->kernel_w == 1);
}

/* Lanes have sums of their own. */
static COLD int in_turn(const fc_conv *p) {
    (void)p;
    return 0;
}

static COLD size_t weight_bytes(const fc_conv *p) {
    return (size_t)(p->filters * (p->channels / p->groups) * p->kernel_h * p->kernel_w) * sizeof(real);
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    (void)p, (void)threads;
    return 0;
}

static int64_t panel_images(const operands *o) {
    int64_t fitting = max64(1, PANEL_BYTES / (o->channels * o->elements * (int64_t)sizeof(real)) / EDGE) * EDGE;
    return max64(1, ceil_div(o->batch, max64(1, ceil_div(o->batch, fitting)))); /* there may be no image */
}

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    double length = (double)(o.channels * o.elements), panels = (double)ceil_div(o.batch, panel_images(&o));
    double tiles = (double)(o.groups * ceil_div(o.batch, EDGE) * ceil_div(o.filters, EDGE));
    double step = (double)(min64(o.batch, EDGE) * EDGE) * PRODUCT_CYCLES + STEPPING(2);
    double weights = (double)weight_bytes(p);
    double cycles = tiles * (length / VL * step + MOVING(90)) / 2;
    if (weights > (double)fc_l2_bytes() / 2) cycles += fc_stream_cycles(weights * panels / 2, weights);
    return cycles + STEPPING(400);
}

static int run(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    operands o = FC_NAME(operands_of)(p);
    dots_job j = {.o = &o, .e = e, .x = x, .weights = packed, .out = out, .length = o.channels * o.elements};
    j.images = panel_images(&o), j.blocks = ceil_div(o.filters, EDGE);
    return fc_parallel(ceil_div(o.batch, j.images) * o.groups * j.blocks, all_cycles(p, cost), threads, do_blocks, &j);
}

const fc_conv_kernel FC_NAME(dot_products) = {
    .accepts = accepts,
    .cost = cost,
    .in_turn = in_turn,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .run = run,
};
