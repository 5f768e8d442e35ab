/* Local response normalisation across channels: x / (k + alpha / size * sum of squares over neighbouring
 * channels)^beta. Called through `operations.def`. Limit: arithmetic of the powers. */
#include <math.h>

#include "base/parallel.h"
#include "base/total.h"

typedef struct {
    const real *x;
    real *out;
    int64_t channels, pixels, below, above, strips; /* neighbours before and after a channel */
    real scale, k;
    double beta;
    int nhwc;
} norm_job;

enum { NORM_PIXELS = 256, BLOCK_REALS = 1024 };

#if FC_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

/* The sum of the squares of `count` rows, `step` apart, in n of their lanes. */
INLINE
vec sum_of_squares(const real *x, int64_t step, int64_t count, int64_t n) {
    if (count <= PART_TERMS) {
        vec sum = zero();
        for (int64_t t = 0; t < count; t++) {
            vec v = load_up_to(x + t * step, n);
            sum += v * v;
        }
        return sum;
    }
    total sum = no_total();
    for (int64_t first = 0; first < count; first += PART_TERMS) {
        vec part = zero();
        for (int64_t t = first; t < min64(first + PART_TERMS, count); t++) {
            vec v = load_up_to(x + t * step, n);
            part += v * v;
        }
        add_part(&sum, part);
    }
    return total_of(&sum);
}

/* out[i] = x[i] / (k + scale * energy[i])^beta */
static void divide(const norm_job *j, const real *restrict x, const real *restrict energy, real *restrict out,
                   int64_t n) {
    if (j->beta == 0.75) { /* the usual exponent */
        for (int64_t i = 0; i < n; i++) {
            real root = SQRT(j->k + j->scale * energy[i]);
            out[i] = x[i] / (root * SQRT(root));
        }
    } else {
        for (int64_t i = 0; i < n; i++) out[i] = x[i] / (real)pow((double)(j->k + j->scale * energy[i]), j->beta);
    }
}

INLINE
void copy_few(real *restrict to, const real *restrict from, int64_t n) {
    if (n >= VL) {
        copy_reals(to, from, n);
        return;
    }
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

/* Pixels next to each other, whose channels lie `pixels` apart. */
static int norm_planes(const norm_job *j, const real *x, real *out, int64_t n) {
    real energy[NORM_PIXELS];
    for (int64_t c = 0; c < j->channels; c++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t low = max64(0, c - j->below), high = min64(j->channels, c + j->above + 1);
        for (int64_t i = 0; i < n; i += VL) {
            vec sum = sum_of_squares(x + low * j->pixels + i, j->pixels, high - low, n - i);
            store_up_to(energy + i, sum, n - i);
        }
        divide(j, x + c * j->pixels, energy, out + c * j->pixels, n);
    }
    return 0;
}

/* Pixels whose channels lie next to each other, some at a time: in a copy, zeros stand between them. */
static int norm_channels(const norm_job *j, const real *x, real *out, int64_t n) {
    int64_t gap = max64(j->below, j->above), pitch = j->channels + gap, most = max64(1, min64(n, BLOCK_REALS / pitch));
    int64_t room = round_up(most * pitch, VL);
    real *copy = fc_workspace(FC_OWN, (size_t)(2 * gap + 3 * room + VL) * sizeof(real));
    if (!copy) return FC_NO_MEMORY;
    real *pixels = copy + gap, *energy = pixels + room + gap + VL, *results = energy + room;
    clear_reals(copy, 2 * gap + room + VL);
    for (int64_t i = 0, count; i < n; i += count) {
        int status = fc_called_off();
        if (status) return status;
        count = min64(most, n - i);
        for (int64_t p = 0; p < count; p++) copy_few(pixels + p * pitch, x + (i + p) * j->channels, j->channels);
        for (int64_t at = 0; at < count * pitch; at += VL)
            store(energy + at, sum_of_squares(pixels + at - j->below, 1, j->below + j->above + 1, VL));
        divide(j, pixels, energy, results, count * pitch);
        for (int64_t p = 0; p < count; p++) copy_few(out + (i + p) * j->channels, results + p * pitch, j->channels);
    }
    return 0;
}

/* Tasks are (image, strip of pixels). */
static int norm_work(const void *context, int64_t begin, int64_t end) {
    const norm_job *j = context;
    int status = 0;
    for (int64_t task = begin; task < end && !status; task++) {
        int64_t first = task % j->strips * NORM_PIXELS, n = min64(NORM_PIXELS, j->pixels - first);
        int64_t at = task / j->strips * j->channels * j->pixels + first * (j->nhwc ? j->channels : 1);
        status = (j->nhwc ? norm_channels : norm_planes)(j, j->x + at, j->out + at, n);
    }
    return status;
}

int FC_NAME(local_response_norm)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels,
                                 int64_t size, double alpha, double beta, double k, int layout, int threads) {
    norm_job j = {.x = x,
                  .out = out,
                  .channels = channels,
                  .pixels = pixels,
                  .below = min64(size / 2, channels),
                  .above = min64((size - 1) / 2, channels),
                  .strips = ceil_div(pixels, NORM_PIXELS),
                  .scale = (real)(alpha / (double)size),
                  .k = (real)k,
                  .beta = beta,
                  .nhwc = layout == FC_NHWC};
    double elements = (double)(batch * channels) * (double)pixels, each = (10 + (double)min64(size, channels)) / 4;
    return fc_parallel(batch * j.strips, elements * each, threads, norm_work, &j);
}
