/* Normalises rows of memory by their own mean and variance, all passes while a row is in cache. Called through
 * `operations.def`. Limit: memory bandwidth; with short rows what is done once for each.
 *
 * The array is (outer, groups, channels, run): a row is all channels of (outer, group), and each of its channels, `run`
 * elements, has a weight and a bias at (group, channel). */
#include <math.h>

#include "base/parallel.h"
#include "base/simd.h"
#include "norm/row_sums.h"

enum { TASK_ELEMENTS = 4096 }; /* at least */

typedef struct {
    const real *x, *weight, *bias;
    double eps;
    real *out;
    int64_t rows, groups, channels, run, rows_together;
} rows_job;

/* (x - centre) * scale + shift. */
INLINE
vec moved(vec x, vec centre, vec scale, vec shift) { return (x - centre) * scale + shift; }

/* A channel of several elements, whose factors are all the same. */
static void move_run(const real *x, real *out, int64_t n, vec centre, vec scale, vec shift) {
    int64_t i = 0;
    for (; i + VL <= n; i += VL) store(out + i, moved(load(x + i), centre, scale, shift));
    if (i < n) store_n(out + i, moved(load_n(x + i, n - i), centre, scale, shift), n - i);
}

/* Channels of one element: a weight and a bias for each lane. */
INLINE
void move_row(const int weighted, const int biased, const rows_job *j, int64_t at, int64_t first, vec centre, vec scale,
              vec shift) {
    const real *x = j->x + at, *weight = weighted ? j->weight + first : NULL, *bias = biased ? j->bias + first : NULL;
    int64_t i = 0, n = j->channels;
    for (; i + VL <= n; i += VL) {
        vec y = moved(load(x + i), centre, scale, shift);
        if (weighted) y *= load(weight + i);
        if (biased) y += load(bias + i);
        store(j->out + at + i, y);
    }
    if (i < n) {
        vec y = moved(load_n(x + i, n - i), centre, scale, shift);
        if (weighted) y *= load_n(weight + i, n - i);
        if (biased) y += load_n(bias + i, n - i);
        store_n(j->out + at + i, y, n - i);
    }
}

static void do_row(const rows_job *j, int64_t row) {
    int64_t length = j->channels * j->run, at = row * length, first = row % j->groups * j->channels;
    double sum = 0, above = 0, squares = 0;
    add_row(j->x + at, NULL, zero(), length, &sum, NULL);
    real mean = (real)(sum / (double)length);
    add_row(j->x + at, NULL, splat(mean), length, &above, &squares);
    double lost = above / (double)length; /* when the mean was rounded */
    double variance = squares / (double)length - lost * lost,
           inverse = 1 / sqrt((variance < 0 ? 0 : variance) + j->eps);
    vec centre = splat(mean), scale = splat((real)inverse), shift = splat((real)(-lost * inverse));
    if (j->run > 1 && (j->weight || j->bias)) {
        for (int64_t c = 0; c < j->channels; c++) {
            double times = j->weight ? inverse * (double)j->weight[first + c] : inverse;
            double plus = (j->bias ? (double)j->bias[first + c] : 0) - lost * times;
            int64_t own = at + c * j->run;
            move_run(j->x + own, j->out + own, j->run, centre, splat((real)times), splat((real)plus));
        }
    } else if (j->run > 1 || (!j->weight && !j->bias))
        move_run(j->x + at, j->out + at, length, centre, scale, shift);
    else if (!j->bias)
        move_row(1, 0, j, at, first, centre, scale, shift);
    else if (!j->weight)
        move_row(0, 1, j, at, first, centre, scale, shift);
    else
        move_row(1, 1, j, at, first, centre, scale, shift);
}

/* Tasks are some rows each. */
static int do_rows(const void *context, int64_t begin, int64_t end) {
    const rows_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        int64_t last = min64((task + 1) * j->rows_together, j->rows);
        for (int64_t row = task * j->rows_together; row < last; row++) do_row(j, row);
    }
    return 0;
}

int FC_NAME(normalise_rows)(const void *x, const void *weight, const void *bias, double eps, void *out, int64_t outer,
                            int64_t groups, int64_t channels, int64_t run, int threads) {
    int64_t length = channels * run;
    if (length > FC_MOST_ROW_BYTES / (int64_t)sizeof(real)) return FC_NOT_MINE;
    rows_job j = {x, weight, bias, eps, out, outer * groups, groups, channels, run, max64(1, TASK_ELEMENTS / length)};
    double cycles = (double)j.rows * (100 + (double)length / VL * 5);
    return fc_parallel(ceil_div(j.rows, j.rows_together), cycles, threads, do_rows, &j);
}
