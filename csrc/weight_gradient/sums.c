/* Sums of every channel over a batch and its planes, the gradient of a bias. Called by the gradients' kernels, and
 * through `operations.def`. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "weight_gradient/gradient.h"

/* Channels differ in NCHW; images and pixels are summed in slices that do not depend on the number of threads. */
typedef struct {
    const real *x;
    real *out, *slices;
    int64_t batch, channels, pixels, count; /* number of slices (NHWC) */
} sums_job;

/* Adds to four vectors in turn: the additions' latency would limit one. */
static real sum_stretch(const real *x, int64_t n) {
    vec sum[4] = {zero(), zero(), zero(), zero()};
    for (; n >= 4 * VL; n -= 4 * VL, x += 4 * VL)
        for (int i = 0; i < 4; i++) sum[i] += load(x + i * VL);
    for (; n > 0; n -= VL, x += VL) sum[0] += load_up_to(x, n);
    vec all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    real total = 0;
    for (int l = 0; l < VL; l++) total += all[l];
    return total;
}

static int sum_planes(const void *context, int64_t begin, int64_t end) {
    const sums_job *j = context;
    for (int64_t c = begin; c < end; c++) {
        real total = 0;
        for (int64_t n = 0; n < j->batch && !fc_called_off(); n++)
            total += sum_stretch(j->x + (n * j->channels + c) * j->pixels, j->pixels);
        j->out[c] = total;
    }
    return 0;
}

static int sum_slices(const void *context, int64_t begin, int64_t end) {
    const sums_job *j = context;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t pixels = j->batch * j->pixels, first = part_start(pixels, j->count, slice);
        real *to = slice ? j->slices + (slice - 1) * j->channels : j->out;
        clear_reals(to, j->channels);
        for (int64_t i = first; i < part_start(pixels, j->count, slice + 1); i++) {
            const real *x = j->x + i * j->channels;
            int64_t c = 0;
            for (; c + VL <= j->channels; c += VL) store(to + c, load(to + c) + load(x + c));
            if (c < j->channels)
                store_n(to + c, load_n(to + c, j->channels - c) + load_n(x + c, j->channels - c), j->channels - c);
        }
    }
    return 0;
}

int FC_NAME(channel_sums)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int layout,
                          int threads) {
    sums_job j = {.x = x, .out = out, .batch = batch, .channels = channels, .pixels = pixels};
    double elements = (double)(batch * channels) * (double)pixels;
    if (layout == FC_NCHW) return fc_parallel(channels, elements / 8, threads, sum_planes, &j);
    j.count = max64(1, min64(64, batch * pixels / 256));
    if (j.count > 1) {
        j.slices = malloc((size_t)((j.count - 1) * channels) * sizeof(real));
        if (!j.slices) return FC_NO_MEMORY;
    }
    int status = fc_parallel(j.count, elements / 8, threads, sum_slices, &j);
    if (!status && j.count > 1) status = add_shares(out, j.slices, channels, j.count, threads);
    free(j.slices);
    return status;
}
