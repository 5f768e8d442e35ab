/* An axis resampled by tables: each output is a weighted sum of neighbouring inputs. Called through `operations.def`
 * once for each axis, and with other tables by the gradients. Limit: memory bandwidth.
 *
 * x is (outer, in_size, inner), out (outer, out_size, inner). Output o takes counts[o] inputs from starts[o] on, with
 * the weights from weights[o * taps] on. */
#include "base/parallel.h"
#include "base/total.h"

typedef struct {
    const real *x, *weights;
    const int64_t *starts, *counts;
    real *out;
    int64_t lines, in_size, out_size, inner, taps;
} resample_job;

/* One output of `width` columns, at most VL; its inputs lie `step` apart. */
INLINE
vec sum_of_part(const real *x, int64_t step, int64_t width, const real *weights, int64_t count) {
    vec sum = zero();
    for (int64_t t = 0; t < count; t++) sum += load_up_to(x + t * step, width) * splat(weights[t]);
    return sum;
}

/* The same of more inputs than a plain sum has digits for. */
static NOINLINE vec sum_of_many(const real *x, int64_t step, int64_t width, const real *weights, int64_t count) {
    total sum = no_total();
    for (int64_t t = 0; t < count; t += PART_TERMS)
        add_part(&sum, sum_of_part(x + t * step, step, width, weights + t, min64(count - t, PART_TERMS)));
    return total_of(&sum);
}

INLINE
vec sum_of_taps(const real *x, int64_t step, int64_t width, const real *weights, int64_t count) {
    return count > PART_TERMS ? sum_of_many(x, step, width, weights, count)
                              : sum_of_part(x, step, width, weights, count);
}

/* Tasks are rows of outputs (outer, o) where `inner` is a row of memory, else some lines of `outer`. */
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
            int64_t width = j->inner - i;
            store_up_to(out + i, sum_of_taps(x + i, j->inner, width, weights, j->counts[o]), width);
        }
    }
    return 0;
}

/* Vectors lie along the taps. */
INLINE
vec products_of_part(const real *x, const real *weights, int64_t count) {
    vec sum = zero();
    for (int64_t t = 0; t < count; t += VL) sum += load_up_to(x + t, count - t) * load_up_to(weights + t, count - t);
    return sum;
}

static real sum_along(const real *x, const real *weights, int64_t count) {
    total sum = no_total();
    for (int64_t t = 0; t < count; t += PART_TERMS * VL)
        add_part(&sum, products_of_part(x + t, weights + t, min64(count - t, PART_TERMS * VL)));
    return sum_of_lanes(total_of(&sum));
}

/* Lines with little to do for their length, or long filters: nothing is transposed. */
static int resample_long_lines(const void *context, int64_t begin, int64_t end) {
    const resample_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t line = task / j->out_size, o = task % j->out_size;
        j->out[task] = sum_along(j->x + line * j->in_size + j->starts[o], j->weights + o * j->taps, j->counts[o]);
    }
    return 0;
}

/* Lines next to each other are transposed on their way, so that they are summed as rows are. */
static int resample_lines(const void *context, int64_t begin, int64_t end) {
    const resample_job *j = context;
    int64_t in_room = round_up(j->in_size, VL) * VL, out_room = round_up(j->out_size, VL) * VL;
    real *in = fc_workspace(FC_OWN, (size_t)(in_room + out_room) * sizeof(real)), *result = in + in_room;
    if (!in) return FC_NO_MEMORY;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t first = task * VL, n = min64(VL, j->lines - first);
        vec v[VL];
        for (int64_t i = 0; i < j->in_size; i += VL) {
            for (int l = 0; l < VL; l++)
                v[l] = l < n ? load_up_to(j->x + (first + l) * j->in_size + i, j->in_size - i) : zero();
            transpose(v);
            for (int l = 0; l < VL; l++) store(in + (i + l) * VL, v[l]);
        }
        for (int64_t o = 0; o < j->out_size; o++) {
            const real *from = in + j->starts[o] * VL, *weights = j->weights + o * j->taps;
            store(result + o * VL, sum_of_taps(from, VL, VL, weights, j->counts[o]));
        }
        for (int64_t o = 0; o < j->out_size; o += VL) {
            for (int l = 0; l < VL; l++) v[l] = load(result + (o + l) * VL);
            transpose(v);
            for (int l = 0; l < VL; l++)
                if (l < n) store_up_to(j->out + (first + l) * j->out_size + o, v[l], j->out_size - o);
        }
    }
    return 0;
}

int FC_NAME(resample)(const void *x, const int64_t *starts, const int64_t *counts, const void *weights, void *out,
                      int64_t outer, int64_t in_size, int64_t out_size, int64_t inner, int64_t taps, int threads) {
    resample_job j = {x, weights, starts, counts, out, outer, in_size, out_size, inner, taps};
    double elements = (double)(outer * out_size) * (double)inner;
    if (inner == 1 && (taps > PART_TERMS * VL || in_size > 4 * out_size * (taps + 4)))
        return fc_parallel(outer * out_size, elements * (double)(taps + VL) / VL, threads, resample_long_lines, &j);
    if (inner == 1)
        return fc_parallel(ceil_div(outer, VL), elements * (double)(taps + 4) / 4, threads, resample_lines, &j);
    return fc_parallel(outer * out_size, elements * (double)(taps + 1) / 4, threads, resample_rows, &j);
}
