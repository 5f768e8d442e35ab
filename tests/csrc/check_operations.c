/* Pooling and the gradients of everything but a convolution's weights, against obvious loops. Called by test_kernels.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "arrays.h"
#include "fastconv.h"

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

/* The maximum of bytes, or the maximum or mean of floats; few outputs of many channels as well. */
static int check_pool(void) {
    int64_t many = pick(0, 1), kernel = pick(1, 3), stride = pick(1, 3), count = pick(1, many ? 2 : 12);
    int64_t size = (count - 1) * stride + kernel;
    int bytes = (int)pick(0, 1);
    fc_windows w = sliding(size, count, kernel, stride, 1, 0);
    fc_pool p = {.batch = 1,
                 .channels = many ? pick(20, 300) : pick(1, 20),
                 .height = size,
                 .width = size,
                 .rows = w,
                 .columns = w,
                 .layout = (int)pick(0, 1),
                 .type = bytes ? FC_U8 : FC_P_F32,
                 .reducer = bytes ? FC_MAX : (int)pick(FC_MAX, FC_SUM)};
    int64_t inputs = p.channels * size * size, outputs = p.channels * count * count;
    float *x = fill(inputs, FC_F32), *out = fill(outputs, FC_F32);
    unsigned char *byte_x = malloc((size_t)inputs), *byte_out = malloc((size_t)outputs);
    for (int64_t i = 0; i < inputs; i++) byte_x[i] = (unsigned char)pick(0, 255);
    int failures = fc_pool_run(&p, bytes ? (void *)byte_x : x, bytes ? (void *)byte_out : out, NULL, NULL, 2);
    for (int64_t c = 0; c < p.channels; c++)
        for (int64_t i = 0; i < count * count; i++) {
            double want = p.reducer == FC_MAX ? -2 : 0;
            for (int64_t t = 0; t < kernel * kernel; t++) {
                int64_t from = at(p.layout, p.channels, size, size, 0, c, i / count * stride + t / kernel,
                                  i % count * stride + t % kernel);
                double v = bytes ? byte_x[from] : (double)x[from];
                want = p.reducer == FC_MAX ? fmax(want, v) : want + v / (double)(kernel * kernel);
            }
            int64_t to = at(p.layout, p.channels, count, count, 0, c, i / count, i % count);
            failures += !(fabs((bytes ? byte_out[to] : (double)out[to]) - want) <= 1e-5);
        }
    if (failures)
        printf("pool: %d wrong, kernel %ld, stride %ld, layout %d, channels %ld, bytes %d\n", failures, (long)kernel,
               (long)stride, p.layout, (long)p.channels, bytes);
    free(x), free(out), free(byte_x), free(byte_out);
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

/* Sums and largest elements of axes, and the places of these, against loops; now and then of so many elements that they
 * are cut into shares. */
static int check_reduce(void) {
    const fc_operations *operations = fc_operations_of(FC_F64);
    int many = !pick(0, 5), last = (int)pick(0, 1), threads = (int)pick(1, 3);
    int64_t outer = pick(1, 5), count = many ? pick(20000, 40000) : pick(1, 90),
            inner = many || pick(0, 1) ? 1 : pick(1, 40), results = outer * inner;
    double *x = fill(outer * count * inner, FC_F64), *sums = fill(results, FC_F64), *most = fill(results, FC_F64);
    int64_t *places = malloc((size_t)results * sizeof *places);
    int status = operations->reduce(x, sums, outer, count, inner, FC_TOTAL, threads) +
                 operations->reduce(x, most, outer, count, inner, FC_GREATEST, threads) +
                 operations->extreme_places(x, places, outer, count, inner, FC_GREATEST, last, threads);
    int failures = 0;
    for (int64_t i = 0; i < results && !failures; i++) {
        const double *row = x + i / inner * count * inner + i % inner;
        double sum = 0;
        int64_t place = 0;
        for (int64_t c = 0; c < count; c++) {
            sum += row[c * inner];
            if (row[c * inner] > row[place * inner] || (last && row[c * inner] == row[place * inner])) place = c;
        }
        failures += differ("sums", status, sum, sums[i], FC_F64);
        failures += differ("largest elements", status, row[place * inner], most[i], FC_F64);
        failures += differ("their places", status, (double)place, (double)places[i], FC_F64);
    }
    free(x), free(sums), free(most), free(places);
    return failures;
}

/* ---- half precision ---- */

static double value_of(uint16_t half) {
    int exponent = half >> 10 & 31, mantissa = half & 0x3ff;
    double size = exponent ? ldexp(0x400 + mantissa, exponent - 25) : ldexp(mantissa, -24);
    return half & 0x8000 ? -size : size;
}

/* All halves, and floats halfway between those that are neighbours and just beside it; infinity follows on 65504. */
int check_halves(void) {
    enum { COUNT = 0x10000, INFINITE = 0x7c00 };
    uint16_t *halves = malloc(COUNT * sizeof *halves), *back = malloc(COUNT * sizeof *back);
    float *floats = malloc(COUNT * sizeof *floats);
    for (int i = 0; i < COUNT; i++) halves[i] = (uint16_t)i;
    int failures = fc_to_floats(halves, floats, COUNT, 2) + fc_to_halves(floats, back, COUNT, 2);
    for (int i = 0; i < COUNT; i++) {
        int size = i & 0x7fff;
        int right = size > INFINITE    ? isnan(floats[i]) && (back[i] & 0x7fff) > INFINITE
                    : size == INFINITE ? isinf(floats[i]) && back[i] == i
                                       : floats[i] == value_of(halves[i]) && back[i] == i;
        failures += !right || !signbit(floats[i]) != !(i & 0x8000);
    }
    for (int side = -1; side <= 1; side++) {
        int64_t count = COUNT - 1 - pick(0, 30);
        for (int i = 0; i < COUNT; i++) {
            int finite = (i & 0x7fff) < INFINITE;
            float middle = finite ? (float)((value_of(halves[i]) + value_of((uint16_t)(i + 1))) / 2) : 0;
            floats[i] = side ? nextafterf(middle, side < 0 ? 0 : (i & 0x8000 ? -1e9f : 1e9f)) : middle;
        }
        failures += fc_to_halves(floats, back, count, 2) != (side < 0 ? 0 : FC_OVERFLOW);
        for (int i = 0; i < count; i++)
            if ((i & 0x7fff) < INFINITE) failures += back[i] != i + (side ? side > 0 : i & 1);
    }
    if (failures) printf("halves: %d wrong\n", failures);
    free(halves), free(back), free(floats);
    return failures;
}

int check_operations(void) {
    return check_pool() + check_pool_gradient() + check_scatter_add() + check_pad_gradient() + check_deform_gradient() +
           check_elementwise() + check_reduce();
}
