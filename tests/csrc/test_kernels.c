/* Every convolution kernel, the pooling and the gradients of every instruction set that runs here, against obvious
 * loops, without Python: for processors that are only at hand as an emulator. Prints a line for each instruction set;
 * exit status 1 on a failure.
 *
 *     test_kernels [SEED] [ROUNDS] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"

static uint64_t state;

static int64_t pick(int64_t low, int64_t high) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((state >> 33) % (uint64_t)(high - low + 1));
}

static double uniform(void) { return (double)pick(-1000, 1000) / 1000; }

static double get(const void *array, int dtype, int64_t i) {
    return dtype == FC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static void *fill(int64_t count, int dtype) {
    /* Exactly as large as it is, so that a checker of memory sees every read beyond it. */
    char *array = malloc((size_t)count * (dtype == FC_F32 ? 4 : 8));
    for (int64_t i = 0; i < count; i++) {
        if (dtype == FC_F32)
            ((float *)array)[i] = (float)uniform();
        else
            ((double *)array)[i] = uniform();
    }
    return array;
}

/* Position of (n, c, y, x) in an image batch. */
static int64_t at(int layout, int64_t channels, int64_t height, int64_t width, int64_t n, int64_t c, int64_t y,
                  int64_t x) {
    return layout == FC_NCHW ? ((n * channels + c) * height + y) * width + x
                             : ((n * height + y) * width + x) * channels + c;
}

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
        if (e->activation == FC_RELU && result[i] < 0) result[i] = 0;
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
    if (pick(0, 29) == 0)
        p.kernel_h = pick(5, 20), p.kernel_w = pick(5, 70), p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
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

static fc_conv either_way(fc_conv p) {
    p.transposed = pick(0, 2) == 0;
    return p;
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
    void *bias = fill(p.filters + p.channels, p.dtype), *residual = fill(results, p.dtype);
    fc_epilogue e = {.bias = pick(0, 1) ? bias : NULL,
                     .residual = pick(0, 1) ? residual : NULL,
                     .activation = pick(0, 1) ? FC_RELU : FC_LINEAR};
    double *want = malloc((size_t)results * sizeof(double)),
           terms = (double)(p.channels * p.filters / p.groups * p.kernel_h * p.kernel_w),
           tolerance = p.dtype == FC_F32 ? 2e-4 + 1e-6 * terms : 1e-12 + 1e-14 * terms;
    reference(&p, x, w, &e, want);
    int failures = 0;
    for (int kernel = 0; kernel < fc_conv_kernel_count(); kernel++) {
        if (!fc_conv_accepts(&p, kernel)) continue;
        void *packed = aligned_alloc(64, (fc_conv_weight_bytes(&p, kernel) + 127) & ~(size_t)63);
        int threads = (int)pick(1, 3);
        int status = fc_conv_workspace_bytes(&p, kernel, threads) > 64 << 20;
        if (pick(0, 1))
            status = fc_conv_run_once(&p, kernel, x, w, packed, &e, out, threads);
        else
            status =
                fc_conv_prepare(&p, kernel, w, packed, threads) | fc_conv_run(&p, kernel, x, packed, &e, out, threads);
        double worst = 0;
        for (int64_t i = 0; i < results; i++) worst = fmax(worst, fabs(get(out, p.dtype, i) - want[i]));
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
    free(x), free(out), free(w), free(bias), free(residual), free(want);
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
        int status = fc_gradient_run(&p, kernel, x, gradient, out, with_bias ? bias : NULL, 1);
        status |= fc_gradient_run(&p, kernel, x, gradient, again, NULL, (int)pick(2, 4));
        double worst = 0;
        for (int64_t i = 0; i < weights; i++) worst = fmax(worst, fabs(get(out, p.dtype, i) - want[i]));
        for (int64_t k = 0; k < p.filters && with_bias; k++)
            worst = fmax(worst, fabs(get(bias, p.dtype, k) - want_bias[k]));
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

/* Windows whose divisors count the image's pixels and those of the padding in front of it. */
static fc_windows sliding(int64_t size, int64_t count, int64_t kernel, int64_t stride, int64_t step, int64_t pad) {
    return (fc_windows){.kind = FC_SLIDING,
                        .size = size,
                        .count = count,
                        .step = step,
                        .kernel = kernel,
                        .stride = stride,
                        .first = -pad,
                        .counted_from = -pad,
                        .counted_to = size,
                        .unit = 1};
}

static int check_pool(void) {
    int64_t kernel = pick(1, 3), stride = pick(1, 3), count = pick(1, 12), size = (count - 1) * stride + kernel;
    fc_windows w = sliding(size, count, kernel, stride, 1, 0);
    fc_pool p = {.batch = 1,
                 .channels = pick(1, 20),
                 .height = size,
                 .width = size,
                 .rows = w,
                 .columns = w,
                 .layout = (int)pick(0, 1),
                 .type = FC_P_F32,
                 .reducer = (int)pick(FC_MAX, FC_SUM)};
    float *x = fill(p.channels * size * size, FC_F32), *out = fill(p.channels * count * count, FC_F32);
    int failures = fc_pool_run(&p, x, out, NULL, NULL, 2);
    for (int64_t c = 0; c < p.channels; c++)
        for (int64_t i = 0; i < count * count; i++) {
            double want = p.reducer == FC_MAX ? -2 : 0;
            for (int64_t t = 0; t < kernel * kernel; t++) {
                double v = x[at(p.layout, p.channels, size, size, 0, c, i / count * stride + t / kernel,
                                i % count * stride + t % kernel)];
                want = p.reducer == FC_MAX ? fmax(want, v) : want + v / (double)(kernel * kernel);
            }
            failures += !(fabs(out[at(p.layout, p.channels, count, count, 0, c, i / count, i % count)] - want) <= 1e-5);
        }
    if (failures)
        printf("pool: %d wrong, kernel %ld, stride %ld, layout %d\n", failures, (long)kernel, (long)stride, p.layout);
    free(x), free(out);
    return failures;
}

/* ---- gradients: those of linear operations are their transposes, so that (A x) g = x (A' g) ---- */

static double dot(const void *a, const void *b, int dtype, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += get(a, dtype, i) * get(b, dtype, i);
    return sum;
}

static int differ(const char *name, int status, double a, double b, int dtype) {
    if (!status && fabs(a - b) <= (dtype == FC_F32 ? 2e-3 : 1e-10) * (1 + fabs(a))) return 0;
    printf("%s: %g is not %g (status %d, dtype %d)\n", name, a, b, status, dtype);
    return 1;
}

static int check_pool_gradient(void) {
    int64_t kernel = pick(1, 5), stride = pick(1, 4), step = pick(1, 2), reach = (kernel - 1) * step + 1,
            pad = pick(0, reach / 2);
    int64_t count = pick(1, 12), size = (count - 1) * stride + reach - pad - pick(0, pad);
    if (size <= (reach - 1 - pad) || (count - 1) * stride - pad >= size) return 0;
    int far = !pick(0, 4); /* do windows reach so far that each holds every step-th pixel? */
    if (far) size = pick(2, 40), kernel = 1000000000, pad = kernel / 2;
    fc_windows w = sliding(size, count, kernel, stride, step, pad);
    if (far || pick(0, 1)) w.divisor = (double)pick(1, 3);
    if (pick(0, 2) == 0) w = (fc_windows){.kind = FC_ADAPTIVE, .size = size, .count = count, .step = 1};
    int dtype = (int)pick(0, 1), threads = (int)pick(1, 3);
    fc_pool p = {.batch = pick(1, 2),
                 .channels = pick(1, 20),
                 .height = size,
                 .width = size,
                 .rows = w,
                 .columns = w,
                 .layout = (int)pick(0, 1),
                 .type = FC_P_F32 + dtype,
                 .reducer = FC_SUM};
    int64_t planes = p.batch * p.channels, inputs = planes * size * size, outputs = planes * count * count;
    void *x = fill(inputs, dtype), *y = fill(outputs, dtype), *g = fill(outputs, dtype), *back = fill(inputs, dtype);
    int status =
        fc_pool_run(&p, x, y, NULL, NULL, threads) | fc_operations_of(dtype)->pool_gradient(&p, g, back, threads);
    int failures = differ("pool gradient", status, dot(y, g, dtype, outputs), dot(x, back, dtype, inputs), dtype);
    free(x), free(y), free(g), free(back);
    return failures;
}

/* The places are those of windows of 3 at distances of 2, or anywhere. */
static int check_scatter_add(void) {
    int64_t batch = pick(1, 2), channels = pick(1, 20), rows = pick(1, 9), columns = pick(1, 20), late = pick(0, 1);
    int64_t height = 2 * rows + pick(-1, 1), width = 2 * columns + pick(-1, 1), plane = height * width;
    int dtype = (int)pick(0, 1), layout = (int)pick(0, 1), threads = (int)pick(1, 3), anywhere = pick(0, 2) == 0;
    int64_t outputs = batch * channels * rows * columns, inputs = batch * channels * plane;
    int64_t *places = malloc((size_t)outputs * sizeof *places);
    for (int64_t n = 0; n < batch; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < rows * columns; i++) {
                int64_t y = i / columns * 2 + pick(-1, 1) + late, x = i % columns * 2 + pick(-1, 1) + late;
                y = y < 0 ? 0 : y < height ? y : height - 1, x = x < 0 ? 0 : x < width ? x : width - 1;
                places[at(layout, channels, rows, columns, n, c, i / columns, i % columns)] =
                    anywhere ? pick(0, plane - 1) : y * width + x;
            }
    void *x = fill(inputs, dtype), *y = fill(outputs, dtype), *g = fill(outputs, dtype), *back = fill(inputs, dtype);
    int status =
        fc_gather(x, places, y, batch, channels, rows * columns, plane, layout, dtype == FC_F32 ? 4 : 8, threads) |
        fc_operations_of(dtype)->scatter_add(g, places, back, batch, channels, rows, columns, height, width, layout,
                                             threads);
    int failures = differ("scatter_add", status, dot(y, g, dtype, outputs), dot(x, back, dtype, inputs), dtype);
    places[pick(0, outputs - 1)] = pick(0, 1) ? plane : -1;
    if (fc_gather(x, places, y, batch, channels, rows * columns, plane, layout, dtype == FC_F32 ? 4 : 8, threads) !=
            FC_OUT_OF_RANGE ||
        fc_operations_of(dtype)->scatter_add(g, places, back, batch, channels, rows, columns, height, width, layout,
                                             threads) != FC_OUT_OF_RANGE)
        failures++, printf("a place outside was not seen\n");
    free(x), free(y), free(g), free(back), free(places);
    return failures;
}

static int check_pad_gradient(void) {
    int64_t rows[30], columns[60], height = pick(1, 12), width = pick(1, 30), row_count = pick(1, 30),
                                   column_count = pick(1, 60);
    int64_t planes = pick(1, 4), inner = pick(0, 1) ? 1 : pick(1, 20), shift = pick(-9, 9), zero[1] = {0};
    int dtype = (int)pick(0, 1), threads = (int)pick(1, 3);
    for (int64_t i = 0; i < row_count; i++) rows[i] = pick(-1, height - 1);
    for (int64_t i = 0; i < column_count; i++)
        columns[i] = i + shift < width && i + shift >= -1 ? i + shift : pick(-1, width - 1);
    int64_t inputs = planes * height * width * inner, outputs = planes * row_count * column_count * inner;
    void *x = fill(inputs, dtype), *y = fill(outputs, dtype), *g = fill(outputs, dtype), *back = fill(inputs, dtype);
    int status = fc_pad(x, y, planes, height, width, inner, rows, row_count, columns, column_count, zero,
                        dtype == FC_F32 ? 4 : 8, threads) |
                 fc_operations_of(dtype)->pad_gradient(g, back, planes, height, width, inner, rows, row_count, columns,
                                                       column_count, threads);
    int failures = differ("pad gradient", status, dot(y, g, dtype, outputs), dot(x, back, dtype, inputs), dtype);
    free(x), free(y), free(g), free(back);
    return failures;
}

/* Linear in the image, in the weights and in the mask. */
static int check_deform_gradient(void) {
    int64_t offset_groups = pick(1, 2), groups = pick(1, 2);
    fc_conv p = {.batch = pick(1, 3),
                 .groups = groups,
                 .channels = 2 * pick(1, 9),
                 .filters = groups * pick(1, 9),
                 .kernel_h = pick(1, 3),
                 .kernel_w = pick(1, 3),
                 .stride_h = pick(1, 2),
                 .stride_w = pick(1, 2),
                 .dilation_h = 1,
                 .dilation_w = pick(1, 2),
                 .pad_top = pick(0, 1),
                 .pad_left = pick(0, 1),
                 .height = pick(4, 12),
                 .width = pick(5, 25),
                 .dtype = (int)pick(0, 1)};
    p.out_height = (p.height + p.pad_top - p.kernel_h) / p.stride_h + 1;
    p.out_width = (p.width + p.pad_left - p.dilation_w * (p.kernel_w - 1) - 1) / p.stride_w + 1;
    int64_t fields = offset_groups * p.kernel_h * p.kernel_w * p.out_height * p.out_width;
    int64_t inputs = p.batch * p.channels * p.height * p.width,
            outputs = p.batch * p.filters * p.out_height * p.out_width;
    int64_t weights = p.filters * p.channels / groups * p.kernel_h * p.kernel_w;
    void *x = fill(inputs, p.dtype), *w = fill(weights, p.dtype), *y = fill(outputs, p.dtype),
         *g = fill(outputs, p.dtype);
    void *offset = fill(2 * p.batch * fields, p.dtype), *mask = fill(p.batch * fields, p.dtype);
    void *back_x = fill(inputs, p.dtype), *back_w = fill(weights, p.dtype),
         *back_offset = fill(2 * p.batch * fields, p.dtype);
    void *back_mask = fill(p.batch * fields, p.dtype);
    int threads = (int)pick(1, 3);
    const fc_operations *operations = fc_operations_of(p.dtype);
    int status = operations->deform_conv(&p, x, offset, mask, offset_groups, w, NULL, y, threads) |
                 operations->deform_conv_gradient(&p, x, offset, mask, offset_groups, w, g, back_x, back_offset, back_w,
                                                  back_mask, threads);
    double want = dot(y, g, p.dtype, outputs);
    int failures = differ("deform_conv: image", status, want, dot(x, back_x, p.dtype, inputs), p.dtype) +
                   differ("deform_conv: weights", status, want, dot(w, back_w, p.dtype, weights), p.dtype) +
                   differ("deform_conv: mask", status, want, dot(mask, back_mask, p.dtype, p.batch * fields), p.dtype);
    free(x), free(w), free(y), free(g), free(offset), free(mask), free(back_x), free(back_w), free(back_offset),
        free(back_mask);
    return failures;
}

/* Against a small step along a direction; and the slope of a sigmoid from its output, sums of channels. */
static int check_elementwise(void) {
    const fc_operations *operations = fc_operations_of(FC_F64);
    int64_t batch = pick(1, 2), channels = pick(1, 20), pixels = pick(1, 40), size = pick(1, 9),
            n = batch * channels * pixels;
    int layout = (int)pick(0, 1), threads = (int)pick(1, 3), status = 0;
    double *x = fill(n, FC_F64), *g = fill(n, FC_F64), *along = fill(n, FC_F64), *y = fill(n, FC_F64),
           *back = fill(n, FC_F64);
    double *ones = malloc((size_t)channels * sizeof *ones), *sums = fill(channels, FC_F64), change = 0, step = 1e-5,
           total = 0, slopes = 0;
    for (int side = -1; side <= 1; side += 2) {
        for (int64_t i = 0; i < n; i++) back[i] = x[i] + side * step * along[i];
        status |=
            operations->local_response_norm(back, y, batch, channels, pixels, size, 0.5, 0.75, 1.5, layout, threads);
        change += side * dot(y, g, FC_F64, n) / (2 * step);
    }
    status |= operations->local_response_norm_gradient(x, g, back, batch, channels, pixels, size, 0.5, 0.75, 1.5,
                                                       layout, threads);
    double got = dot(along, back, FC_F64, n);
    int failures = fabs(change - got) > 1e-6 ? differ("norm gradient", status, change, got, FC_F64) : 0;
    status |= operations->channel_sums(g, sums, batch, channels, pixels, layout, threads);
    for (int64_t c = 0; c < channels; c++) ones[c] = 1;
    for (int64_t i = 0; i < n; i++) total += g[i], slopes += g[i] * x[i] * (1 - x[i]);
    failures += differ("channel sums", status, total, dot(sums, ones, FC_F64, channels), FC_F64);
    for (int activation = FC_LINEAR; activation <= FC_GELU; activation++)
        status |= operations->activation_gradient(activation, 0, 1, g, x, 0, back, n, threads);
    status |= operations->activation_gradient(FC_SIGMOID, 0, 0, g, x, 1, back, n, threads);
    for (int64_t i = 0; i < n; i++) slopes -= back[i];
    failures += differ("activation gradient", status, slopes, 0, FC_F64);
    free(x), free(g), free(along), free(y), free(back), free(ones), free(sums);
    return failures;
}

static int check_gradients(void) {
    return check_pool_gradient() + check_scatter_add() + check_pad_gradient() + check_deform_gradient() +
           check_elementwise();
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
        failures += check_probes(isa) + check_few_pixels() + check_long_sums_of_small_images();
        for (int round = 0; round < rounds; round++)
            failures += check_conv(either_way(random_conv(2))) + check_conv(either_way(random_far_conv(2))) +
                        check_weight_gradient(random_conv(5)) + check_weight_gradient(random_far_conv(5)) +
                        check_pool() + check_gradients();
        printf("%s: %d rounds, %d failures so far\n", fc_isa_name(isa), rounds, failures);
    }
    return failures != 0;
}
