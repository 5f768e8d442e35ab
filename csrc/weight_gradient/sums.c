/* Sums of every channel over a batch and its planes, the gradient of a bias. Called by the gradients' kernels, and
 * through `operations.def`. */
#include <stdlib.h>

#include "base/parallel.h"
#include "base/total.h"
#include "weight_gradient/gradient.h"

/* Channels differ in NCHW; images and pixels are summed in slices that do not depend on the number of threads. */
typedef struct {
    const real *x;
    real *out, *slices;
    int64_t batch, channels, pixels, count; /* number of slices (NHWC) */
} sums_job;

/* Adds n reals, four vectors of them at a time: the additions' latency would limit one. */
static void add_run(total *to, const real *x, int64_t n) {
    while (n > 0) {
        vec part[4] = {zero(), zero(), zero(), zero()};
        int64_t steps = min64(n / (4 * VL), PART_TERMS);
        for (int64_t s = 0; s < steps; s++, x += 4 * VL)
            for (int i = 0; i < 4; i++) part[i] += load(x + i * VL);
        n -= steps * 4 * VL;
        for (int i = 0; i < 4 && steps < PART_TERMS && n > 0; i++, n -= VL, x += VL) part[i] += load_up_to(x, n);
        add_part(to, (part[0] + part[1]) + (part[2] + part[3]));
    }
}

static int sum_planes(const void *context, int64_t begin, int64_t end) {
    const sums_job *j = context;
    for (int64_t c = begin; c < end; c++) {
        total sum = no_total();
        for (int64_t n = 0; n < j->batch && !fc_called_off(); n++)
            add_run(&sum, j->x + (n * j->channels + c) * j->pixels, j->pixels);
        j->out[c] = sum_of_lanes(total_of(&sum));
    }
    return 0;
}

/* Few channels are summed some pixels at a time, for the vectors to be full. */
static int sum_slices(const void *context, int64_t begin, int64_t end) {
    const sums_job *j = context;
    int64_t channels = j->channels, together = max64(1, 4 * VL / channels), row = together * channels;
    int64_t room = round_up(row, VL), pixels = j->batch * j->pixels;
    real *part = fc_workspace(FC_OWN, (size_t)(3 * room) * sizeof(real)), *sums = part + room;
    if (!part) return FC_NO_MEMORY;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t first = part_start(pixels, j->count, slice), last = part_start(pixels, j->count, slice + 1);
        clear_reals(sums, 2 * room);
        for (int64_t i = first; i < last; i += PART_TERMS * together) {
            const real *x = j->x + i * channels;
            int64_t reals = min64(PART_TERMS * together, last - i) * channels, own = min64(row, reals);
            copy_reals(part, x, own);
            clear_reals(part + own, row - own);
            for (int64_t at = row; at < reals; at += row) add_reals(part, x + at, min64(row, reals - at));
            add_parts(sums, sums + room, part, row);
        }
        copy_totals(part, sums, sums + room, row);
        for (int64_t count = together, half; count > 1; count = half) {
            half = (count + 1) / 2;
            add_reals(part, part + half * channels, (count - half) * channels);
        }
        copy_reals(slice ? j->slices + (slice - 1) * channels : j->out, part, channels);
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
