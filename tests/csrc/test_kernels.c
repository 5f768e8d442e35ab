/* Every convolution kernel, the pooling, the filters and the gradients of every instruction set that runs here, against
 * obvious loops, without Python: for processors that are only at hand as an emulator. Prints a line for each
 * instruction set; exit status 1 on a failure.
 *
 *     test_kernels [SEED] [ROUNDS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"
#include "fastconv.h"

static int64_t weight_at(const fc_conv *p, int64_t k, int64_t c, int64_t r, int64_t s) {
    int64_t inner = p->channels / p->groups;
    return p->layout == FC_NCHW ? ((k * inner + c) * p->kernel_h + r) * p->kernel_w + s
                                : ((r * p->kernel_w + s) * inner + c) * p->filters + k;
}

/* For every product of the convolution: adds x * w to the output, or, transposed, out * w to the input. */
static void reference(const fc_conv *p, const void *x, const void *w, const fc_epilogue *e, double *result) {
    int64_t channels = p->transposed ? p->channels : p->filters;
    int64_t height = p->transposed ? p->height : p->out_height, width = p->transposed ? p->width : p->out_width;
    int64_t per_group = p->filters / p->groups, inner = p->channels / p->groups;
    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < height * width; i++)
                result[at(p->layout, channels, height, width, n, c, i / width, i % width)] =
                    e->bias ? get(e->bias, p->dtype, c) : 0;
    for (int64_t n = 0; n < p->batch; n++)
        for (int64_t k = 0; k < p->filters; k++)
            for (int64_t c = 0; c < inner; c++)
                for (int64_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++)
                    for (int64_t i = 0; i < p->out_height * p->out_width; i++) {
                        int64_t r = tap / p->kernel_w, s = tap % p->kernel_w, oy = i / p->out_width,
                                ox = i % p->out_width;
                        int64_t y = oy * p->stride_h + r * p->dilation_h - p->pad_top;
                        int64_t xx = ox * p->stride_w + s * p->dilation_w - p->pad_left;
                        if (y < 0 || y >= p->height || xx < 0 || xx >= p->width) continue;
                        int64_t in =
                            at(p->layout, p->channels, p->height, p->width, n, k / per_group * inner + c, y, xx);
                        int64_t out = at(p->layout, p->filters, p->out_height, p->out_width, n, k, oy, ox);
                        double weight = get(w, p->dtype, weight_at(p, k, c, r, s));
                        if (p->transposed)
                            result[in] += get(x, p->dtype, out) * weight;
                        else
                            result[out] += get(x, p->dtype, in) * weight;
                    }
    for (int64_t i = 0; i < p->batch * channels * height * width; i++) {
        if (e->residual) result[i] += get(e->residual, p->dtype, i);
        int64_t channel = (p->layout == FC_NCHW ? i / (height * width) : i) % channels;
        if (e->activation == FC_RELU && result[i] < 0) result[i] = 0;
        if (e->activation == FC_LEAKY_RELU && result[i] < 0) result[i] *= e->a;
        if (e->activation == FC_CHANNEL_PRELU && result[i] < 0) result[i] *= get(e->slopes, p->dtype, channel);
    }
}

/* A convolution that may have no image: then its height or width is below 1. */
static fc_conv random_conv(int largest_batch) {
    fc_conv p = {.batch = pick(1, largest_batch),
                 .groups = pick(1, 3),
                 .kernel_h = pick(1, 4),
                 .kernel_w = pick(1, 4),
                 .stride_h = pick(1, 3),
                 .stride_w = pick(1, 3),
                 .dilation_h = pick(1, 2),
                 .dilation_w = pick(1, 2),
                 .pad_top = pick(0, 2),
                 .pad_left = pick(0, 2),
                 .layout = (int)pick(0, 1),
                 .dtype = (int)pick(0, 1)};
    int depthwise = pick(0, 3) == 0;
    if (depthwise) p.kernel_h = p.kernel_w = 2 * pick(1, 3) + 1, p.stride_h = p.stride_w = pick(1, 2), p.dilation_h = 1;
    p.channels = p.groups * (depthwise ? 1 : pick(1, 9));
    p.filters = p.groups * (depthwise ? pick(1, 2) : pick(0, 1) ? pick(1, 9) : pick(10, 40));
    p.out_height = pick(1, 9), p.out_width = pick(0, 1) ? pick(1, 9) : pick(10, 40);
    p.height = (p.out_height - 1) * p.stride_h + p.dilation_h * (p.kernel_h - 1) + 1 - p.pad_top - pick(0, 2);
    p.width = (p.out_width - 1) * p.stride_w + p.dilation_w * (p.kernel_w - 1) + 1 - p.pad_left - pick(0, 2);
    if (pick(0, 9) == 0) { /* planes of several pages */
        p.kernel_h = p.kernel_w = p.stride_h = p.stride_w = 1, p.pad_top = p.pad_left = 0;
        p.height = p.out_height = pick(30, 40), p.width = p.out_width = pick(30, 40);
    } else if (pick(0, 9) == 0) { /* mostly padding */
        p.out_width += pick(0, 400), p.pad_left = pick(0, 1) ? pick(0, 300) : p.pad_left;
        p.width = pick(1, 9);
    }
    return p;
}

/* A stride or a dilation: of the size of the image, far beyond it, or as large as there are. */
static int64_t far_apart(void) {
    static const int64_t sizes[] = {9, 300, 1000003, INT32_MAX};
    return pick(1, sizes[pick(0, 3)]);
}

/* An axis of a small image and few outputs, of which at least one sees a pixel: all others may lie anywhere. */
static void set_far_axis(int64_t kernel, int64_t longest, int64_t *stride, int64_t *dilation, int64_t *pad,
                         int64_t *size, int64_t *outputs) {
    *stride = far_apart(), *dilation = far_apart(), *outputs = pick(1, 4);
    *size = pick(1, pick(0, 3) ? 9 : longest);
    do *pad = pick(0, *outputs - 1) * *stride + pick(0, kernel - 1) * *dilation - pick(0, *size - 1);
    while (*pad < 0);
}

static fc_conv random_far_conv(int largest_batch) {
    fc_conv p = random_conv(largest_batch);
    p.kernel_h = pick(1, 4), p.kernel_w = pick(1, 6);
    if (pick(0, 1)) {
        set_far_axis(p.kernel_h, 30, &p.stride_h, &p.dilation_h, &p.pad_top, &p.height, &p.out_height);
        p.width = pick(1, 9), p.out_width = pick(1, 9);
    } else {
        p.height = pick(1, 2), p.out_height = pick(1, 2);
    }
    set_far_axis(p.kernel_w, 700, &p.stride_w, &p.dilation_w, &p.pad_left, &p.width, &p.out_width);
    return p;
}

/* A kernel that is large, or long, of few channels. */
static fc_conv random_large_conv(int largest_batch) {
    fc_conv p = random_conv(largest_batch);
    int row = (int)pick(0, 1);
    p.groups = pick(1, 2), p.channels = p.groups * pick(1, 2), p.filters = p.groups * pick(1, 3);
    p.kernel_h = row ? pick(1, 3) : pick(5, 20), p.kernel_w = pick(5, 70);
    p.stride_h = pick(1, 5), p.stride_w = pick(1, 5), p.dilation_h = pick(1, 3), p.dilation_w = pick(1, 3);
    if (pick(0, 1)) p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
    p.pad_top = pick(0, p.dilation_h * p.kernel_h - 1), p.pad_left = pick(0, p.dilation_w * p.kernel_w - 1);
    p.out_height = pick(1, 20), p.out_width = pick(1, 60);
    p.height = (p.out_height - 1) * p.stride_h + p.dilation_h * (p.kernel_h - 1) + 1 - p.pad_top - pick(0, 2);
    p.width = (p.out_width - 1) * p.stride_w + p.dilation_w * (p.kernel_w - 1) + 1 - p.pad_left - pick(0, 2);
    return p;
}

static fc_conv either_way(fc_conv p) {
    p.transposed = pick(0, 2) == 0;
    return p;
}

/* The sums along the rows of NHWC results, in pieces. */
static void sum_rows(const double *results, int64_t rows, int64_t width, int64_t channels, double *sums) {
    int64_t pieces = (width + FC_SUMMED - 1) / FC_SUMMED;
    memset(sums, 0, (size_t)(rows * pieces * channels) * sizeof(double));
    for (int64_t i = 0; i < rows * width * channels; i++) {
        int64_t c = i % channels, x = i / channels % width, row = i / channels / width;
        sums[(row * pieces + x / FC_SUMMED) * channels + c] += results[i];
    }
}

static int check_conv(fc_conv p) {
    if (p.height < 1 || p.width < 1) return 0;
    fc_conv empty = p;
    empty.batch = 0;
    fc_conv_choose(&p), fc_conv_choose(&empty);
    int64_t inputs = p.batch * p.channels * p.height * p.width,
            outputs = p.batch * p.filters * p.out_height * p.out_width;
    int64_t results = p.transposed ? inputs : outputs;
    void *x = fill(p.transposed ? outputs : inputs, p.dtype), *out = fill(results, p.dtype);
    void *w = fill(p.filters * p.channels / p.groups * p.kernel_h * p.kernel_w, p.dtype);
    static const int activations[] = {FC_LINEAR, FC_RELU, FC_LEAKY_RELU, FC_CHANNEL_PRELU};
    int64_t own = p.transposed ? p.channels : p.filters; /* exactly: what lies behind is not theirs */
    void *bias = fill(own, p.dtype), *slopes = fill(own, p.dtype), *residual = fill(results, p.dtype);
    fc_epilogue e = {.bias = pick(0, 1) ? bias : NULL,
                     .residual = pick(0, 1) ? residual : NULL,
                     .activation = activations[pick(0, 3)],
                     .a = 0.25};
    if (e.activation == FC_CHANNEL_PRELU) e.slopes = slopes;
    double *want = malloc((size_t)results * sizeof(double)),
           terms = (double)(p.channels * p.filters / p.groups * p.kernel_h * p.kernel_w),
           tolerance = p.dtype == FC_F32 ? 2e-4 + 1e-6 * terms : 1e-12 + 1e-14 * terms;
    reference(&p, x, w, &e, want);
    int64_t width = p.transposed ? p.width : p.out_width, rows = results / own / width;
    int64_t summed = rows * ((width + FC_SUMMED - 1) / FC_SUMMED) * own;
    void *row_sums = fill(summed, p.dtype);
    double *want_sums = malloc((size_t)summed * sizeof(double));
    sum_rows(want, rows, width, own, want_sums);
    int failures = 0;
    for (int kernel = 0; kernel < fc_conv_kernel_count(); kernel++) {
        if (!fc_conv_accepts(&p, kernel)) continue;
        void *packed = aligned_alloc(64, (fc_conv_weight_bytes(&p, kernel) + 127) & ~(size_t)63);
        int threads = (int)pick(1, 3);
        int status = fc_conv_workspace_bytes(&p, kernel, threads) > 64 << 20;
        forget(out, results, p.dtype), forget(row_sums, summed, p.dtype);
        e.row_sums = fc_conv_sums_rows(&p, kernel, &e) && pick(0, 1) ? row_sums : NULL;
        if (pick(0, 1))
            status = fc_conv_run_once(&p, kernel, x, w, packed, &e, out, threads);
        else
            status =
                fc_conv_prepare(&p, kernel, w, packed, threads) | fc_conv_run(&p, kernel, x, packed, &e, out, threads);
        double worst = largest_error(out, want, results, p.dtype);
        if (e.row_sums) worst = fmax(worst, largest_error(row_sums, want_sums, summed, p.dtype) / FC_SUMMED);
        if (status || !(worst <= tolerance)) {
            printf(
                "%s: error %g (status %d), x %ldx%ldx%ldx%ld, %ld filters, kernel %ldx%ld, groups %ld, layout %d, "
                "dtype %d, transposed %d, stride %ld %ld, dilation %ld %ld, padding %ld %ld, %ldx%ld outputs\n",
                fc_conv_kernel_name(kernel), worst, status, (long)p.batch, (long)p.channels, (long)p.height,
                (long)p.width, (long)p.filters, (long)p.kernel_h, (long)p.kernel_w, (long)p.groups, p.layout, p.dtype,
                p.transposed, (long)p.stride_h, (long)p.stride_w, (long)p.dilation_h, (long)p.dilation_w,
                (long)p.pad_top, (long)p.pad_left, (long)p.out_height, (long)p.out_width);
            failures++;
        }
        free(packed);
    }
    free(x), free(out), free(w), free(bias), free(slopes), free(residual), free(want);
    free(row_sums), free(want_sums);
    return failures;
}

/* The kernels that multiply their weights of one tap with an image's gate. */
static int check_gates(void) {
    int many = pick(0, 9) == 0; /* weights that threads share, or that are no panel of L2 */
    fc_conv p = {.batch = pick(1, many ? 1 : 4),
                 .channels = many ? pick(400, 1100) : pick(1, 50),
                 .filters = many ? 64 * pick(4, 8) : pick(1, 90),
                 .kernel_h = 1,
                 .kernel_w = 1,
                 .stride_h = pick(1, 3),
                 .stride_w = pick(1, 3),
                 .dilation_h = 1,
                 .dilation_w = 1,
                 .groups = 1,
                 .pad_top = pick(0, 1),
                 .pad_left = pick(0, 1),
                 .out_height = pick(1, 9),
                 .out_width = pick(1, 20),
                 .layout = (int)pick(0, 1),
                 .dtype = (int)pick(0, 1)};
    p.height = (p.out_height - 1) * p.stride_h + 1 - p.pad_top,
    p.width = (p.out_width - 1) * p.stride_w + 1 - p.pad_left;
    if (p.height < 1 || p.width < 1) return 0;
    fc_conv_choose(&p);
    int64_t pixels = p.height * p.width, inputs = p.batch * p.channels * pixels,
            results = p.batch * p.filters * p.out_height * p.out_width;
    void *x = fill(inputs, p.dtype), *gate = fill(p.batch * p.channels, p.dtype), *gated = fill(inputs, p.dtype);
    void *w = fill(p.filters * p.channels, p.dtype), *bias = fill(p.filters, p.dtype), *out = fill(results, p.dtype);
    for (int64_t i = 0; i < inputs; i++) {
        int64_t image = i / (p.channels * pixels), channel = (p.layout == FC_NCHW ? i / pixels : i) % p.channels;
        double product = get(x, p.dtype, i) * get(gate, p.dtype, image * p.channels + channel);
        if (p.dtype == FC_F32)
            ((float *)gated)[i] = (float)product;
        else
            ((double *)gated)[i] = product;
    }
    fc_epilogue e = {.bias = bias, .activation = pick(0, 1) ? FC_LINEAR : FC_RELU};
    double *want = malloc((size_t)results * sizeof(double)), tolerance = p.dtype == FC_F32 ? 1e-3 : 1e-12;
    reference(&p, gated, w, &e, want);
    e.gate = gate;
    int failures = 0;
    for (int kernel = 0; kernel < fc_conv_kernel_count(); kernel++) {
        if (strncmp(fc_conv_kernel_name(kernel), "direct_", 7) || !fc_conv_accepts(&p, kernel)) continue;
        void *packed = aligned_alloc(64, (fc_conv_weight_bytes(&p, kernel) + 127) & ~(size_t)63);
        int threads = (int)pick(1, 3), status = fc_conv_prepare(&p, kernel, w, packed, threads);
        forget(out, results, p.dtype);
        status |= fc_conv_run(&p, kernel, x, packed, &e, out, threads);
        double worst = largest_error(out, want, results, p.dtype);
        if (status || !(worst <= tolerance)) {
            printf("gates of %s: error %g (status %d), x %ldx%ldx%ldx%ld, %ld filters, layout %d, dtype %d\n",
                   fc_conv_kernel_name(kernel), worst, status, (long)p.batch, (long)p.channels, (long)p.height,
                   (long)p.width, (long)p.filters, p.layout, p.dtype);
            failures++;
        }
        free(packed);
    }
    free(x), free(gate), free(gated), free(w), free(bias), free(out), free(want);
    return failures;
}

/* Images of a pixel or a row, of which a strided convolution's gradient has whole phases without a pixel, and weights
 * beyond every L2 cache, for which threads share what they read of them. */
static int check_few_pixels(void) {
    static const int64_t sizes[][4] = {{1, 1, 1, 1}, {1, 5, 1, 3}, {2, 1, 1, 1}};
    int failures = 0;
    for (int i = 0; i < 12; i++) {
        const int64_t *size = sizes[i / 4];
        fc_conv p = {.batch = 1,
                     .channels = 256,
                     .height = size[0],
                     .width = size[1],
                     .filters = 256,
                     .kernel_h = 3,
                     .kernel_w = 3,
                     .stride_h = 2,
                     .stride_w = 2,
                     .pad_top = 1,
                     .pad_left = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = 1,
                     .out_height = size[2],
                     .out_width = size[3],
                     .layout = i % 2,
                     .dtype = i / 2 % 2,
                     .transposed = 1};
        failures += check_conv(p);
    }
    return failures;
}

/* A tile spans images; a sum is so long that im2col cuts it, and the filters are so many that it does them in parts. */
static int check_long_sums_of_small_images(void) {
    int failures = 0;
    for (int i = 0; i < 4; i++) {
        fc_conv p = {.batch = 5,
                     .channels = i / 2 ? 44 : 130,
                     .height = 2,
                     .width = 3,
                     .filters = i / 2 ? 130 : 900,
                     .kernel_h = 3,
                     .kernel_w = 3,
                     .stride_h = 1,
                     .stride_w = 1,
                     .pad_top = 1,
                     .pad_left = 1,
                     .dilation_h = 1,
                     .dilation_w = 1,
                     .groups = 1,
                     .out_height = 2,
                     .out_width = 3,
                     .layout = i % 2,
                     .dtype = i / 2 ? FC_F32 : FC_F64,
                     .transposed = i / 2};
        failures += check_conv(p);
    }
    return failures;
}

/* For every product of the convolution: adds x * gradient to its weight; and the sums of the gradient. */
static void gradient_reference(const fc_conv *p, const void *x, const void *gradient, double *weights, double *bias) {
    int64_t per_group = p->filters / p->groups, inner = p->channels / p->groups;
    for (int64_t i = 0; i < p->filters * inner * p->kernel_h * p->kernel_w; i++) weights[i] = 0;
    for (int64_t k = 0; k < p->filters; k++) {
        bias[k] = 0;
        for (int64_t n = 0; n < p->batch; n++)
            for (int64_t i = 0; i < p->out_height * p->out_width; i++) {
                int64_t oy = i / p->out_width, ox = i % p->out_width;
                double g =
                    get(gradient, p->dtype, at(p->layout, p->filters, p->out_height, p->out_width, n, k, oy, ox));
                bias[k] += g;
                for (int64_t tap = 0; tap < p->kernel_h * p->kernel_w; tap++) {
                    int64_t r = tap / p->kernel_w, s = tap % p->kernel_w,
                            y = oy * p->stride_h + r * p->dilation_h - p->pad_top;
                    int64_t xx = ox * p->stride_w + s * p->dilation_w - p->pad_left;
                    if (y < 0 || y >= p->height || xx < 0 || xx >= p->width) continue;
                    for (int64_t c = 0; c < inner; c++)
                        weights[weight_at(p, k, c, r, s)] += g * get(x, p->dtype,
                                                                     at(p->layout, p->channels, p->height, p->width, n,
                                                                        k / per_group * inner + c, y, xx));
                }
            }
    }
}

static int check_weight_gradient(fc_conv p) {
    if (p.height < 1 || p.width < 1) return 0;
    int64_t weights = p.filters * p.channels / p.groups * p.kernel_h * p.kernel_w;
    void *x = fill(p.batch * p.channels * p.height * p.width, p.dtype);
    void *gradient = fill(p.batch * p.filters * p.out_height * p.out_width, p.dtype);
    void *out = fill(weights, p.dtype), *bias = fill(p.filters, p.dtype), *again = fill(weights, p.dtype);
    double *want = malloc((size_t)(weights + p.filters) * sizeof(double)), *want_bias = want + weights;
    gradient_reference(&p, x, gradient, want, want_bias);
    double terms = (double)(p.batch * p.out_height * p.out_width),
           tolerance = p.dtype == FC_F32 ? 1e-3 + 1e-5 * terms : 1e-11 + 1e-13 * terms;
    int failures = 0;
    for (int kernel = 0; kernel < fc_gradient_count(); kernel++) {
        if (!fc_gradient_accepts(&p, kernel)) continue;
        int with_bias = (int)pick(0, 1);
        forget(out, weights, p.dtype), forget(again, weights, p.dtype), forget(bias, p.filters, p.dtype);
        int status = fc_gradient_run(&p, kernel, x, gradient, out, with_bias ? bias : NULL, 1);
        status |= fc_gradient_run(&p, kernel, x, gradient, again, NULL, (int)pick(2, 4));
        double worst = largest_error(out, want, weights, p.dtype);
        if (with_bias) worst = fmax(worst, largest_error(bias, want_bias, p.filters, p.dtype));
        int same = memcmp(out, again, (size_t)weights * (p.dtype == FC_F32 ? 4 : 8)) == 0;
        if (status || !(worst <= tolerance) || !same) {
            printf(
                "%s: error %g (status %d, same for all threads: %d), x %ldx%ldx%ldx%ld, %ld filters, kernel %ldx%ld, "
                "groups "
                "%ld, layout %d, dtype %d\n",
                fc_gradient_name(kernel), worst, status, same, (long)p.batch, (long)p.channels, (long)p.height,
                (long)p.width, (long)p.filters, (long)p.kernel_h, (long)p.kernel_w, (long)p.groups, p.layout, p.dtype);
            failures++;
        }
    }
    free(x), free(gradient), free(out), free(bias), free(again), free(want);
    return failures;
}

/* That they run, on all of their memory and no more, and say how much they did. */
static int check_probes(int isa) {
    enum { BYTES = 4096, THREADS = 2 };
    int failures = 0;
    for (int dtype = FC_F32; dtype <= FC_F64; dtype++) {
        char *memory = aligned_alloc(64, THREADS * BYTES);
        for (int probe = FC_PROBE_ARITHMETIC; probe <= FC_PROBE_COPY; probe++)
            for (int threads = 1; threads <= THREADS; threads++) {
                double work, seconds;
                int status = fc_probe(isa, dtype, probe, memory, BYTES, BYTES, 3, threads, &work, &seconds);
                double bytes = (double)BYTES * threads * (probe == FC_PROBE_WRITE ? 1 : 3);
                if (status || seconds <= 0 || (probe != FC_PROBE_ARITHMETIC && work != bytes)) {
                    printf("probe %d: status %d, %g in %g s\n", probe, status, work, seconds);
                    failures++;
                }
            }
        free(memory);
    }
    return failures;
}

int main(int count, char **arguments) {
    uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
    int rounds = count > 2 ? atoi(arguments[2]) : 300, failures = 0;
    for (int isa = 0; isa < fc_isa_count(); isa++) {
        if (!fc_isa_runs_here(isa)) continue;
        fc_select_isa(isa);
        state = seed;
        failures += check_probes(isa) + check_few_pixels() + check_long_sums_of_small_images() + check_halves();
        for (int round = 0; round < rounds; round++)
            failures += check_conv(either_way(random_conv(2))) + check_conv(either_way(random_far_conv(2))) +
                        check_conv(either_way(random_large_conv(2))) + check_weight_gradient(random_large_conv(2)) +
                        check_weight_gradient(random_conv(5)) + check_weight_gradient(random_far_conv(5)) +
                        check_operations() + check_filters() + check_gates();
        printf("%s: %d rounds, %d failures so far\n", fc_isa_name(isa), rounds, failures);
    }
    return failures != 0;
}
