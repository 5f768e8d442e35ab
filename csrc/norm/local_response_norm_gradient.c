/* The gradient of local response normalisation. Called through `operations.def`.
 *
 * With base = k + alpha / size * (sum of squares over a channel's window) and its share g x / base^(beta + 1), a pixel
 * gets g / base^beta - 2 alpha beta / size * x * (sum of the shares of all windows that hold its channel). A strip of
 * pixels is worked on at a time, in rows with zeros around for the neighbours of the first and last channels: of
 * pixels, one row for each channel (NCHW), or of channels, one for each pixel (NHWC). Limit: arithmetic of the
 * powers. */
#include <math.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "base/total.h"

typedef struct {
    const real *x, *gradient;
    real *out;
    int64_t channels, pixels, size, strip, strips;
    real scale, k, factor;
    double beta;
    int nhwc;
} norm_gradient_job;

/* to[i] = sum of from[i + n * step] for n in [low, high]. */
static void sum_neighbours(real *to, const real *from, int64_t n, int64_t step, int64_t low, int64_t high) {
    for (int64_t i = 0; i < n; i += VL) {
        total sum = no_total();
        for (int64_t near = low; near <= high; near += PART_TERMS) {
            vec part = load_up_to(from + i + near * step, n - i);
            for (int64_t next = near + 1; next <= min64(near + PART_TERMS - 1, high); next++)
                part += load_up_to(from + i + next * step, n - i);
            add_part(&sum, part);
        }
        store_up_to(to + i, total_of(&sum), n - i);
    }
}

/* Raises to the power of beta; the usual exponent goes in vectors. */
static void raise_all(real *restrict to, const real *restrict base, int64_t n, double beta) {
    if (beta == 0.75)
#if FC_DOUBLE
        for (int64_t i = 0; i < n; i++) to[i] = sqrt(base[i]) * sqrt(sqrt(base[i]));
#else
        for (int64_t i = 0; i < n; i++) to[i] = sqrtf(base[i]) * sqrtf(sqrtf(base[i]));
#endif
    else
        for (int64_t i = 0; i < n; i++) to[i] = (real)pow((double)base[i], beta);
}

/* Tasks are (image, strip of pixels). */
static int work(const void *context, int64_t begin, int64_t end) {
    const norm_gradient_job *j = context;
    int64_t below = j->size / 2, above = (j->size - 1) / 2, around = min64(below, j->channels);
    int64_t step = j->nhwc ? 1 : j->strip, room = (j->channels + 2 * around) * step;
    below = min64(below, j->channels), above = min64(above, j->channels);
    real *memory = fc_workspace(FC_OWN, (size_t)(5 * room) * sizeof(real));
    if (!memory) return FC_NO_MEMORY;
    real *padded = memory + around * step; /* squares, then shares */
    real *x = memory + room, *gradient = x + room, *base = gradient + room, *powers = base + room;
    for (int64_t i = 0; i < room; i++) memory[i] = 0;
    for (int64_t task = begin; task < end; task++) {
        int64_t image = task / j->strips * j->channels * j->pixels, first = task % j->strips * j->strip;
        int64_t pixels = min64(j->strip, j->pixels - first), rows = j->nhwc ? pixels : 1;
        for (int64_t row = 0; row < rows; row++) {
            int64_t count = j->channels * step, own = image + (first + row) * j->channels;
            for (int64_t c = 0; !j->nhwc && c < j->channels; c++) {
                int64_t from = image + c * j->pixels + first;
                copy_reals(x + c * step, j->x + from, pixels),
                    copy_reals(gradient + c * step, j->gradient + from, pixels);
                clear_reals(x + c * step + pixels, step - pixels),
                    clear_reals(gradient + c * step + pixels, step - pixels);
            }
            if (j->nhwc) copy_reals(x, j->x + own, count), copy_reals(gradient, j->gradient + own, count);
            for (int64_t i = 0; i < count; i++) padded[i] = x[i] * x[i];
            sum_neighbours(base, padded, count, step, -below, above);
            for (int64_t i = 0; i < count; i++) base[i] = j->k + j->scale * base[i];
            raise_all(powers, base, count, j->beta);
            for (int64_t i = 0; i < count; i++) {
                gradient[i] /= powers[i];
                padded[i] = gradient[i] * x[i] / base[i];
            }
            sum_neighbours(base, padded, count, step, -above, below);
            for (int64_t i = 0; i < count; i++) gradient[i] -= j->factor * x[i] * base[i];
            if (j->nhwc) copy_reals(j->out + own, gradient, count);
            for (int64_t c = 0; !j->nhwc && c < j->channels; c++)
                copy_reals(j->out + image + c * j->pixels + first, gradient + c * step, pixels);
        }
    }
    return 0;
}

int FC_NAME(local_response_norm_gradient)(const void *x, const void *gradient, void *out, int64_t batch,
                                          int64_t channels, int64_t pixels, int64_t size, double alpha, double beta,
                                          double k, int layout, int threads) {
    norm_gradient_job j = {.x = x,
                           .gradient = gradient,
                           .out = out,
                           .channels = channels,
                           .pixels = pixels,
                           .size = size,
                           .scale = (real)(alpha / (double)size),
                           .k = (real)k,
                           .factor = (real)(2 * beta * alpha / (double)size),
                           .beta = beta,
                           .nhwc = layout == FC_NHWC};
    /* A strip is so long that five of its rows fit half of L2. */
    int64_t fitting = fc_l2_bytes() / 2 / (5 * channels * (int64_t)sizeof(real)) / VL * VL;
    j.strip = min64(pixels, max64(VL, min64(fitting, 256)));
    j.strips = ceil_div(pixels, j.strip);
    double elements = (double)(batch * channels) * (double)pixels;
    double each = (beta == 0.75 ? 3 : 40) + 2 * (double)min64(size, 2 * channels) / VL;
    return fc_parallel(batch * j.strips, elements * each, threads, work, &j);
}
