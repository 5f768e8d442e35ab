/* An axis resampled by tables: each output is a weighted sum of neighbouring inputs. Called through `operations.def`
 * once for each axis, and with other tables by the gradients. Limit: memory bandwidth.
 *
 * x is (outer, in_size, inner), out (outer, out_size, inner). Output o takes counts[o] inputs from starts[o] on, with
 * the weights from weights[o * taps] on. */
#include "base/parallel.h"
#include "base/simd.h"

typedef struct {
    const real *x, *weights;
    const int64_t *starts, *counts;
    real *out;
    int64_t in_size, out_size, inner, taps;
} resample_job;

/* Tasks are rows of outputs (outer, o) where `inner` is a row of memory, else the lines of `outer`. */
static int resample_rows(const void *context, int64_t begin, int64_t end) {
    const resample_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t o = task % j->out_size;
        const real *x = j->x + (task / j->out_size * j->in_size + j->starts[o]) * j->inner;
        const real *weights = j->weights + o * j->taps;
        real *out = j->out + task * j->inner;
        for (int64_t i = 0; i < j->inner; i += VL) {
            vec sum = zero();
            for (int64_t t = 0; t < j->counts[o]; t++)
                sum += load_up_to(x + t * j->inner + i, j->inner - i) * splat(weights[t]);
            store_up_to(out + i, sum, j->inner - i);
        }
    }
    return 0;
}

static int resample_lines(const void *context, int64_t begin, int64_t end) {
    const resample_job *j = context;
    for (int64_t line = begin; line < end; line++) {
        int status = fc_called_off();
        if (status) return status;
        const real *x = j->x + line * j->in_size;
        real *out = j->out + line * j->out_size;
        for (int64_t o = 0; o < j->out_size; o++) {
            const real *from = x + j->starts[o], *weights = j->weights + o * j->taps;
            real sum = 0;
            for (int64_t t = 0; t < j->counts[o]; t++) sum += from[t] * weights[t];
            out[o] = sum;
        }
    }
    return 0;
}

int FC_NAME(resample)(const void *x, const int64_t *starts, const int64_t *counts, const void *weights, void *out,
                      int64_t outer, int64_t in_size, int64_t out_size, int64_t inner, int64_t taps, int threads) {
    resample_job j = {x, weights, starts, counts, out, in_size, out_size, inner, taps};
    double elements = (double)(outer * out_size) * (double)inner;
    if (inner == 1) return fc_parallel(outer, elements * (double)(taps + 1), threads, resample_lines, &j);
    return fc_parallel(outer * out_size, elements * (double)(taps + 1) / 4, threads, resample_rows, &j);
}
