/* Batch normalisation in training with what follows it, a residual and bounds, and its gradients. Called through
 * `operations.def`. Limit: memory bandwidth.
 *
 * The array is (steps, groups, run); a group is a channel. Where a channel fits L2, a task takes one through all
 * passes, so that memory is read and written once; otherwise each pass is an operation of segments.c over all channels.
 * Which of the two follows from the sizes alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "norm/affine_rows.h"
#include "norm/row_sums.h"

/* Bytes of a channel, and channels to be shared by threads. */
enum { MOST_CHANNEL_BYTES = 1 << 19, LEAST_CHANNELS = 8 };

typedef struct {
    const real *x, *gradient, *output, *weight, *bias, *residual;
    double eps;
    real low, high;
    real *out, *masked; /* `masked`: the gradient of what was normalised, which is that of the residual */
    double *statistics, *totals;
    real *centre, *scale, *shift, *factor; /* of each channel */
    int64_t steps, groups, run;
} batch_job;

/* Whether a task can take a whole channel. */
static int fits(const batch_job *j) {
    return j->run > 1 && j->groups >= LEAST_CHANNELS && j->steps * j->run * (int64_t)sizeof(real) <= MOST_CHANNEL_BYTES;
}

/* Mean and variance of a channel from sums of what is above `centre` and of its squares, and from these the map. */
static void find_map(const batch_job *j, int64_t g, double above, double squares) {
    double count = (double)j->steps * (double)j->run, lost = above / count; /* when the mean was rounded */
    double variance = squares / count - lost * lost;
    variance = variance < 0 ? 0 : variance;
    double scale = 1 / sqrt(variance + j->eps) * (j->weight ? (double)j->weight[g] : 1);
    j->statistics[g] = (double)j->centre[g] + lost, j->statistics[j->groups + g] = variance;
    j->scale[g] = (real)scale, j->shift[g] = (real)((j->bias ? (double)j->bias[g] : 0) - lost * scale),
    j->factor[g] = 1;
}

/* The map that gives the gradient of x, and those of weight and bias, from the sums of the gradient and of its products
 * with what x is above `centre`. */
static void find_back_map(const batch_job *j, int64_t g, double sum, double product) {
    double count = (double)j->steps * (double)j->run, mean = j->statistics[g];
    double inverse = 1 / sqrt(j->statistics[j->groups + g] + j->eps), lost = (double)j->centre[g] - mean;
    double times = (j->weight ? (double)j->weight[g] : 1) * inverse, normal = (product + sum * lost) * inverse;
    double scale = -normal / count * times * inverse;
    j->totals[g] = normal, j->totals[j->groups + g] = sum;
    j->scale[g] = (real)scale, j->shift[g] = (real)(lost * scale - sum / count * times), j->factor[g] = (real)times;
}

static affine map_of(const batch_job *j, const real *other) {
    return (affine){j->x, j->centre, j->scale, j->shift, other, j->factor, j->out, j->low, j->high};
}

/* Tasks are channels. */
static int forward_work(const void *context, int64_t begin, int64_t end) {
    const batch_job *j = context;
    affine map = map_of(j, j->residual);
    int64_t pitch = j->groups * j->run;
    for (int64_t g = begin; g < end; g++) {
        int status = fc_called_off();
        if (status) return status;
        double sum = 0, above = 0, squares = 0;
        int64_t first = g * j->run, stop = first + j->steps * pitch;
        for (int64_t at = first; at < stop; at += pitch) add_row(j->x + at, NULL, zero(), j->run, &sum, NULL);
        j->centre[g] = (real)(sum / ((double)j->steps * (double)j->run));
        vec centre = splat(j->centre[g]);
        for (int64_t at = first; at < stop; at += pitch) add_row(j->x + at, NULL, centre, j->run, &above, &squares);
        find_map(j, g, above, squares);
        for (int64_t at = first; at < stop; at += pitch)
            (j->residual ? affine_row(1, 1, &map, at, g, j->run) : affine_row(1, 0, &map, at, g, j->run));
    }
    return 0;
}

/* The gradient where the output was not cut off; there is no infinite bound to be cut off at. */
static void mask_row(const batch_job *j, int64_t at) {
    vec low = splat(j->low > -(real)INFINITY ? j->low : (real)NAN);
    vec high = splat(j->high < (real)INFINITY ? j->high : (real)NAN);
    for (int64_t i = 0; i < j->run; i += VL) {
        int64_t left = j->run - i;
        vec y = load_up_to(j->output + at + i, left), slope = load_up_to(j->gradient + at + i, left);
        store_up_to(j->masked + at + i, choose((y <= low) | (y >= high), zero(), slope), left);
    }
}

static int backward_work(const void *context, int64_t begin, int64_t end) {
    const batch_job *j = context;
    const real *slope = j->output ? j->masked : j->gradient;
    affine map = map_of(j, slope);
    map.low = -(real)INFINITY, map.high = (real)INFINITY;
    int64_t pitch = j->groups * j->run;
    for (int64_t g = begin; g < end; g++) {
        int status = fc_called_off();
        if (status) return status;
        double sum = 0, product = 0;
        int64_t first = g * j->run, stop = first + j->steps * pitch;
        vec centre = splat(j->centre[g]);
        for (int64_t at = first; at < stop; at += pitch) {
            if (j->output) mask_row(j, at);
            add_row(j->x + at, slope + at, centre, j->run, &sum, &product);
        }
        find_back_map(j, g, sum, product);
        for (int64_t at = first; at < stop; at += pitch) affine_row(1, 1, &map, at, g, j->run);
    }
    return 0;
}

/* All channels pass by pass. */
static int forward_passes(const batch_job *j, double *sums, int threads) {
    memset(j->centre, 0, (size_t)j->groups * sizeof(real));
    int status = FC_NAME(segment_sums)(j->x, NULL, j->centre, sums, 1, j->steps, j->groups, j->run, threads);
    for (int64_t g = 0; g < j->groups && !status; g++)
        j->centre[g] = (real)(sums[g] / ((double)j->steps * (double)j->run));
    if (!status) status = FC_NAME(segment_sums)(j->x, NULL, j->centre, sums, 1, j->steps, j->groups, j->run, threads);
    for (int64_t g = 0; g < j->groups && !status; g++) find_map(j, g, sums[g], sums[j->groups + g]);
    return status ? status
                  : FC_NAME(segment_affine)(j->x, j->centre, j->scale, j->shift, j->residual, j->factor, j->low,
                                            j->high, j->out, 1, j->steps, j->groups, j->run, threads);
}

static int backward_passes(const batch_job *j, double *sums, int threads) {
    int64_t count = j->steps * j->groups * j->run;
    const real *slope = j->output ? j->masked : j->gradient;
    int status = 0;
    if (j->output)
        status = FC_NAME(activation_gradient)(j->low == 0 && j->high == (real)INFINITY ? FC_RELU : FC_CLIP, j->low,
                                              j->high, j->gradient, j->output, 1, j->masked, count, threads);
    if (!status) status = FC_NAME(segment_sums)(j->x, slope, j->centre, sums, 1, j->steps, j->groups, j->run, threads);
    for (int64_t g = 0; g < j->groups && !status; g++) find_back_map(j, g, sums[g], sums[j->groups + g]);
    return status ? status
                  : FC_NAME(segment_affine)(j->x, j->centre, j->scale, j->shift, slope, j->factor, -INFINITY, INFINITY,
                                            j->out, 1, j->steps, j->groups, j->run, threads);
}

/* `cycles` of an element. */
static int run_job(batch_job *j, double cycles, fc_body work, int (*passes)(const batch_job *, double *, int),
                   int threads) {
    size_t groups = (size_t)j->groups;
    double *sums = malloc(groups * (2 * sizeof(double) + 4 * sizeof(real)));
    if (!sums) return FC_NO_MEMORY;
    j->centre = (real *)(sums + 2 * groups), j->scale = j->centre + groups, j->shift = j->scale + groups;
    j->factor = j->shift + groups;
    if (work == backward_work)
        for (int64_t g = 0; g < j->groups; g++) j->centre[g] = (real)j->statistics[g];
    double rows = (double)j->steps * (double)j->groups;
    int status = fits(j) ? fc_parallel(j->groups, rows * (40 + (double)j->run * cycles), threads, work, j)
                         : passes(j, sums, threads);
    free(sums);
    return status;
}

int FC_NAME(batch_norm)(const void *x, const void *weight, const void *bias, const void *residual, double eps,
                        double low, double high, void *out, double *statistics, int64_t steps, int64_t groups,
                        int64_t run, int threads) {
    batch_job j = {.x = x,
                   .weight = weight,
                   .bias = bias,
                   .residual = residual,
                   .eps = eps,
                   .low = (real)low,
                   .high = (real)high,
                   .out = out,
                   .statistics = statistics,
                   .steps = steps,
                   .groups = groups,
                   .run = run};
    return run_job(&j, 1, forward_work, forward_passes, threads);
}

int FC_NAME(batch_norm_gradient)(const void *x, const void *gradient, const void *output, const void *weight,
                                 const double *statistics, double eps, double low, double high, void *grad_x,
                                 void *grad_residual, double *totals, int64_t steps, int64_t groups, int64_t run,
                                 int threads) {
    batch_job j = {.x = x,
                   .gradient = gradient,
                   .output = output,
                   .weight = weight,
                   .eps = eps,
                   .low = (real)low,
                   .high = (real)high,
                   .out = grad_x,
                   .masked = grad_residual ? grad_residual : grad_x,
                   .statistics = (double *)statistics,
                   .totals = totals,
                   .steps = steps,
                   .groups = groups,
                   .run = run};
    return run_job(&j, 1, backward_work, backward_passes, threads);
}
