/* Local response normalisation across channels: x / (k + alpha / size * sum of squares over neighbouring
 * channels)^beta. Called through `operations.def`. Limit: arithmetic of the powers. */
#include <math.h>

#include "base/compensated.h"
#include "base/parallel.h"
#include "base/types.h"

typedef struct {
    const real *x;
    real *out;
    int64_t channels, pixels, size, strips;
    real scale, k;
    double beta;
    int nhwc;
} norm_job;

enum { NORM_PIXELS = 256 };

static real power(real energy, double beta) {
    if (beta == 0.75) { /* the usual exponent */
        double root = sqrt((double)energy);
        return (real)(root * sqrt(root));
    }
    return (real)pow((double)energy, beta);
}

/* Tasks are (image, strip of pixels): the neighbours of a channel lie `channel` elements apart. */
static int norm_work(const void *context, int64_t begin, int64_t end) {
    const norm_job *j = context;
    int64_t channel = j->nhwc ? 1 : j->pixels, pixel = j->nhwc ? j->channels : 1;
    for (int64_t task = begin; task < end; task++) {
        int64_t first = task % j->strips * NORM_PIXELS, n = min64(NORM_PIXELS, j->pixels - first);
        int64_t base = task / j->strips * j->channels * j->pixels + first * pixel;
        for (int64_t c = 0; c < j->channels; c++) {
            int status = fc_called_off();
            if (status) return status;
            int64_t low = max64(0, c - j->size / 2), high = min64(j->channels, c + (j->size - 1) / 2 + 1);
            for (int64_t i = 0; i < n; i++) {
                const real *x = j->x + base + i * pixel;
                real energy = 0, rest = 0;
                for (int64_t near = low; near < high;) {
                    real part = 0;
                    for (int64_t end = min64(near + PART_TERMS, high); near < end; near++)
                        part += x[near * channel] * x[near * channel];
                    ADD_PART(real, energy, rest, part);
                }
                j->out[base + i * pixel + c * channel] =
                    x[c * channel] / power(j->k + j->scale * (energy + rest), j->beta);
            }
        }
    }
    return 0;
}

int FC_NAME(local_response_norm)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels,
                                 int64_t size, double alpha, double beta, double k, int layout, int threads) {
    norm_job j = {.x = x,
                  .out = out,
                  .channels = channels,
                  .pixels = pixels,
                  .size = size,
                  .strips = ceil_div(pixels, NORM_PIXELS),
                  .scale = (real)(alpha / (double)size),
                  .k = (real)k,
                  .beta = beta,
                  .nhwc = layout == FC_NHWC};
    double elements = (double)(batch * channels) * (double)pixels, each = 10 + (double)min64(size, channels);
    return fc_parallel(batch * j.strips, elements * each, threads, norm_work, &j);
}
