/* Transposed depthwise convolution, which is the gradient of a depthwise convolution's input: at a stride of 2 by
 * square kernels of 2 to 5, and of NHWC images at any stride by any kernel (depthwise_places.h). Called through
 * `kernels.def`.
 *
 * Tiling of the former: the input is walked down row by row, as in depthwise_walk.h: down the plane with lanes over
 * pixels of a row (NCHW), along a row with lanes over channels (NHWC). Rows that are still seen stay in registers. Each
 * row finishes two rows of outputs; across the walk, even and odd outputs have a sum each, and where lanes are pixels
 * both are zipped. No product with the zeros between the input's pixels is computed, and no phase is stored by itself.
 * Rows outside the image are left out; pixels beside it are never loaded. Limit: the bandwidth of the level where the
 * outputs go. */
#include <math.h>

#include "base/edge.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/simd.h"
#include "conv/depthwise_places.h"
#include "conv/epilogue.h"
#include "conv/grid.h"
#include "conv/kernel.h"

enum { MOST_SEEN = 3, SHORT_ROWS = 32 };
/* The largest kernel whose weights the registers hold. */
#if MR > 6
enum { MOST_KEPT = 4 };
#else
enum { MOST_KEPT = 3 };
#endif

/* Two vectors of outputs across the walk: NCHW, neighbouring lanes in turn; NHWC, of neighbouring rows. */
typedef struct {
    int64_t x, out;              /* where the pixels of load 0 and the outputs are in a row of the walk */
    int64_t outputs[2];          /* lanes of both vectors of results that exist; none: 0 or less */
    lane_mask inside[MOST_SEEN]; /* of each load, lanes that are in the image */
} output_column;

typedef struct {
    const real *x, *weights, *residual; /* weights: [row of taps][tap across], with lanes over channels vectors of it */
    real *out;
    channel_lanes channels;
    int64_t x_row, x_across, out_row, out_across; /* from row to row, and across */
    int64_t height, pad, begin, end;              /* rows of the image; rows of outputs */
    const fc_epilogue *e;
} output_rows;

/* Most results, those of a gradient, are stored as they are; others, out of line, as there are many places. */
static NOINLINE void finish_apart(const output_rows *w, int64_t at, vec sum, int64_t n) {
    finish(w->out + at, sum, w->channels, w->residual ? w->residual + at : NULL, n, w->e);
}

INLINE
void finish_outputs(const output_rows *w, int64_t at, vec sum, int64_t n) {
    if (n >= VL && !w->residual && !w->e->activation)
        store(w->out + at, sum + w->channels.bias);
    else if (n > 0)
        finish_apart(w, at, sum, n);
}

INLINE
void walk_outputs(const int K, const int odd_pad, const int planes, const output_rows *w, const output_column *c) {
    /* Rows of the image that a row sees, and vectors of each; are the weights kept in registers? */
    const int seen = (K + 1) / 2, across = (K + odd_pad + 1) / 2, kept = K <= MOST_KEPT;
    vec weights[4 * 4], pixel[MOST_SEEN][MOST_SEEN];
    if (kept)
#pragma GCC unroll 16
        for (int i = 0; i < K * K; i++) weights[i] = planes ? splat(w->weights[i]) : load(w->weights + i * VL);
#pragma GCC unroll 4
    for (int d = 0; d < seen; d++)
#pragma GCC unroll 4
        for (int i = 0; i < across; i++) pixel[d][i] = zero();
    lane_mask inside[MOST_SEEN];
#pragma GCC unroll 4
    for (int i = 0; i < across; i++) inside[i] = c->inside[i];
    /* Row `row` of the image is the last one that rows 2 * row - pad and the next one of outputs see. */
    int64_t first = floor_div(w->begin + w->pad, 2), last = floor_div(w->end - 1 + w->pad, 2);
    for (int64_t base = max64(0, first - seen + 1) / seen * seen; base <= last; base += seen) {
#pragma GCC unroll 4
        for (int q = 0; q < seen; q++) {
            const int64_t row = base + q;
            if (row > last) continue;
            if (row < w->height) {
                const real *at = w->x + row * w->x_row + c->x;
#pragma GCC unroll 4
                for (int i = 0; i < across; i++) pixel[q][i] = load_edge(at - i * w->x_across, inside[i]);
            }
            if (row < first) continue;
            vec sum[2][2];
            sum[0][0] = sum[0][1] = sum[1][0] = sum[1][1] = zero();
#pragma GCC unroll 4
            for (int d = 0; d < seen; d++) {
                if (row - d < 0 || row - d >= w->height) continue;
#pragma GCC unroll 2
                for (int b = 0; b < 2; b++) {
                    const int r = 2 * d + b;
                    if (r >= K) continue;
#pragma GCC unroll 8
                    for (int s = 0; s < K; s++) {
                        const int o = (s + odd_pad) % 2, i = odd_pad - (o + odd_pad - s) / 2, number = r * K + s;
                        vec weight = kept     ? weights[number]
                                     : planes ? splat(w->weights[number])
                                              : load(w->weights + number * VL);
                        sum[b][o] += weight * pixel[(q - d + seen) % seen][i];
                    }
                }
            }
#pragma GCC unroll 2
            for (int b = 0; b < 2; b++) {
                int64_t y = 2 * row + b - w->pad;
                if (y < w->begin || y >= w->end) continue;
                vec even = sum[b][0], odd = sum[b][1];
                int64_t at = y * w->out_row + c->out, further = at + w->out_across;
                if (planes) {
                    even = __builtin_shufflevector(sum[b][0], sum[b][1], LANES(ZIP_LOW, 0, 0));
                    odd = __builtin_shufflevector(sum[b][0], sum[b][1], LANES(ZIP_HIGH, 0, 0));
                }
                finish_outputs(w, at, even, c->outputs[0]);
                finish_outputs(w, further, odd, c->outputs[1]);
            }
        }
    }
}

typedef void output_walker(const output_rows *w, const output_column *c);
#define WALK(name, K, odd_pad, planes)                                                                                 \
    static void name(const output_rows *w, const output_column *c) { walk_outputs(K, odd_pad, planes, w, c); }
#define WALKS(K)                                                                                                       \
    WALK(walk_outputs_##K##_even, K, 0, 1)                                                                             \
    WALK(walk_outputs_##K##_odd, K, 1, 1)                                                                              \
    WALK(walk_outputs_##K##_channels, K, 0, 0)
#define WALKERS(K) {walk_outputs_##K##_even, walk_outputs_##K##_odd, walk_outputs_##K##_channels}
WALKS(2)
WALKS(3)
WALKS(4)
WALKS(5)

/* [kernel - 2][NCHW: is the padding odd? NHWC: CHANNELS] */
enum { CHANNELS = 2 };
static output_walker *const walkers[4][3] = {WALKERS(2), WALKERS(3), WALKERS(4), WALKERS(5)};

typedef struct {
    const fc_conv *p;
    const fc_epilogue *e;
    const real *x, *weights;
    real *out;
    int64_t parts; /* of a plane */
} transposed_job;

static size_t columns_bytes(const fc_conv *p) {
    return p->layout == FC_NCHW ? (size_t)ceil_div(p->width, 2 * VL) * sizeof(output_column) : 0;
}

/* Lanes of load i at `at` onwards that are in a row of so many pixels. */
static lane_mask lanes_inside(int64_t at, int64_t width) {
    int64_t low = max64(0, min64(VL, -at));
    return mask_between(low, max64(low, min64(VL, width - at)));
}

/* Tasks are (plane, part of its rows). */
static int work_planes(const void *context, int64_t begin, int64_t end) {
    const transposed_job *j = context;
    const fc_conv *p = j->p;
    output_column *columns = fc_workspace(FC_OWN, columns_bytes(p));
    if (!columns) return FC_NO_MEMORY;
    int64_t odd_pad = p->pad_left % 2, count = ceil_div(p->width, 2 * VL);
    for (int64_t n = 0; n < count; n++) {
        int64_t left = p->width - n * 2 * VL;
        output_column *c = &columns[n];
        *c = (output_column){.x = n * VL + p->pad_left / 2 + odd_pad, .out = n * 2 * VL, .outputs = {left, left - VL}};
        for (int64_t i = 0; i < MOST_SEEN; i++) c->inside[i] = lanes_inside(c->x - i, p->out_width);
    }
    int64_t size = p->out_height * p->out_width, out_size = p->height * p->width;
    int64_t rows = out_size * (int64_t)sizeof(real) > fc_l2_bytes() / 2 ? SHORT_ROWS : p->height;
    for (int64_t task = begin; task < end; task++) {
        int64_t plane = task / j->parts, part = task % j->parts, channel = plane % p->channels;
        output_rows w = {.x = j->x + plane * size,
                         .weights = j->weights + channel * p->kernel_h * p->kernel_w,
                         .residual = j->e->residual ? (const real *)j->e->residual + plane * out_size : NULL,
                         .out = j->out + plane * out_size,
                         .channels = one_channel(values_from(j->e, channel), 0),
                         .x_row = p->out_width,
                         .x_across = 1,
                         .out_row = p->width,
                         .out_across = VL,
                         .height = p->out_height,
                         .pad = p->pad_top,
                         .begin = p->height * part / j->parts,
                         .e = j->e};
        for (int64_t last = p->height * (part + 1) / j->parts; w.begin < last; w.begin = w.end) {
            int status = fc_called_off();
            if (status) return status;
            w.end = min64(last, w.begin + rows);
            for (int64_t n = 0; n < count; n++) walkers[p->kernel_h - 2][odd_pad](&w, &columns[n]);
        }
    }
    return 0;
}

/* Pairs of rows of outputs that see the same rows of the image: the first one may lie above the image. */
static int64_t row_pairs(const fc_conv *p) { return (p->height + p->pad_top % 2 + 1) / 2; }

/* Tasks are (image, pair of rows). */
static int work_lines(const void *context, int64_t begin, int64_t end) {
    const transposed_job *j = context;
    const fc_conv *p = j->p;
    int64_t channels = p->channels, line = p->out_width * channels;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t image = task / row_pairs(p), pair = task % row_pairs(p), y = 2 * pair - p->pad_top % 2;
        int64_t out = image * p->height * p->width * channels, row = pair + p->pad_top / 2;
        output_rows w = {.x = j->x + image * p->out_height * line,
                         .residual = j->e->residual ? (const real *)j->e->residual + out : NULL,
                         .out = j->out + out,
                         .x_row = channels,
                         .x_across = line,
                         .out_row = channels,
                         .out_across = p->width * channels,
                         .height = p->out_width,
                         .pad = p->pad_left,
                         .end = p->width,
                         .e = j->e};
        for (int64_t k = 0; k < channels; k += VL) {
            int64_t lanes = min64(VL, channels - k);
            output_column c = {.x = row * line + k,
                               .out = y * p->width * channels + k,
                               .outputs = {y >= 0 ? lanes : 0, y + 1 < p->height ? lanes : 0}};
            for (int64_t i = 0; i < MOST_SEEN; i++)
                c.inside[i] = mask_between(0, row - i >= 0 && row - i < p->out_height ? lanes : 0);
            w.weights = j->weights + k * p->kernel_h * p->kernel_w;
            w.channels = neighbours(values_from(j->e, k), 0, lanes);
            walkers[p->kernel_h - 2][CHANNELS](&w, &c);
        }
    }
    return 0;
}

/* Tasks are (image, row of outputs). */
static int work_places(const void *context, int64_t begin, int64_t end) {
    const transposed_job *j = context;
    const fc_conv *p = j->p;
    places_tile t = {.weights = j->weights,
                     .channels = p->channels,
                     .line = p->out_width * p->channels,
                     .kernel_w = p->kernel_w,
                     .elements = p->kernel_h * p->kernel_w,
                     .stride_h = p->stride_h,
                     .stride_w = p->stride_w,
                     .e = j->e};
    t.kind = finish_kind_of(j->e, &t.between);
    int64_t size = p->out_height * t.line, out_size = p->height * p->width * p->channels;
    const real *residual = j->e->residual;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t image = task / p->height;
        do_row_of_places(p, &t, j->x + image * size, j->out + image * out_size,
                         residual ? residual + image * out_size : NULL, task % p->height);
    }
    return 0;
}

/* ---- the kernel's interface ---- */

/* Is it one of the kernels that walk? */
static int walked(const fc_conv *p) {
    int64_t k = p->kernel_h;
    return k == p->kernel_w && k >= 2 && k <= 5 && p->stride_h == 2 && p->stride_w == 2;
}

static COLD int accepts(const fc_conv *p) {
    return p->transposed && p->groups == p->channels && p->filters == p->channels && p->dilation_h == 1 &&
           p->dilation_w == 1 && (walked(p) || (p->layout == FC_NHWC && (p->stride_h > 1 || p->stride_w > 1)));
}

/* In NHWC sums begin with the bias, or go down columns of the kernel. */
static COLD int in_turn(const fc_conv *p) { return p->layout == FC_NCHW; }

static COLD double cost(const fc_conv *p) {
    operands o = FC_NAME(operands_of)(p);
    int64_t along = p->layout == FC_NCHW ? p->width : p->channels, unit = p->layout == FC_NCHW ? 2 * VL : VL;
    double outputs = (double)(p->batch * p->channels * p->height * p->width);
    double waste = (double)round_up(along, unit) / (double)along, taps = (double)(p->kernel_h * p->kernel_w);
    if (!walked(p)) {
        taps /= (double)(p->stride_h * p->stride_w); /* that an output takes */
        double seen = ceil((double)p->kernel_w / (double)p->stride_w);
        double rows = (double)(p->batch * p->height * ceil_div(p->channels, VL));
        double alone = rows * fmin(2 * seen - 1, (double)p->out_width + seen - 1) * (double)p->stride_w;
        return outputs * waste / VL * (MOVING(2) + PRODUCT_CYCLES * 0.65 * taps) +
               alone * (STEPPING(4) + PRODUCT_CYCLES * taps) + image_cycles(&o, 1, 1) + STEPPING(400);
    }
    double walks = (double)(p->batch * (p->layout == FC_NCHW ? p->channels * ceil_div(p->width, unit)
                                                             : row_pairs(p) * ceil_div(p->channels, unit)));
    return outputs * waste / VL * (3 + PRODUCT_CYCLES * 0.4 * taps) + STEPPING(15) * walks + image_cycles(&o, 1, 1) +
           STEPPING(400);
}

static COLD size_t weight_bytes(const fc_conv *p) {
    int64_t filters = p->layout == FC_NCHW ? p->channels : round_up(p->channels, VL);
    return (size_t)(filters * p->kernel_h * p->kernel_w) * sizeof(real);
}

static COLD size_t workspace_bytes(const fc_conv *p, int threads) {
    (void)threads;
    return columns_bytes(p);
}

static int prepare(const fc_conv *p, const void *weight, void *packed, int threads) {
    (void)threads;
    int64_t kernel = p->kernel_h, taps = kernel * p->kernel_w;
    const real *from = weight;
    real *to = packed;
    if (p->layout == FC_NCHW) {
        copy_reals(to, from, p->channels * taps);
        return 0;
    }
    if (!walked(p)) {
        for (int64_t k = 0; k < p->channels; k += VL)
            for (int64_t t = 0, first = p->channels < VL ? 0 : min64(k, p->channels - VL); t < taps; t++, to += VL) {
                store(to, zero());
                element_weights(p, from, t, first, min64(VL, p->channels), to);
            }
        return 0;
    }
    for (int64_t k = 0; k < p->channels; k += VL)
        for (int64_t t = 0; t < taps; t++, to += VL) { /* the walk's rows are the kernel's columns */
            store(to, zero());
            element_weights(p, from, t % kernel * kernel + t / kernel, k, min64(VL, p->channels - k), to);
        }
    return 0;
}

static int run_all(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads) {
    transposed_job j = {.p = p, .e = e, .x = x, .weights = packed, .out = out};
    double cycles = all_cycles(p, cost);
    threads = fc_worth(cycles, threads);
    if (!walked(p)) return fc_parallel(p->batch * p->height, cycles, threads, work_places, &j);
    if (p->layout == FC_NHWC) return fc_parallel(p->batch * row_pairs(p), cycles, threads, work_lines, &j);
    int64_t planes = p->batch * p->channels;
    j.parts = planes < 4 * threads ? min64(ceil_div(p->height, 4), ceil_div(4 * threads, planes)) : 1;
    return fc_parallel(planes * j.parts, cycles, threads, work_planes, &j);
}

const fc_conv_kernel FC_NAME(depthwise_transposed) = {
    .accepts = accepts,
    .cost = cost,
    .in_turn = in_turn,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
};
