/* Softmax and its logarithm along an axis, and their gradients. Called through `operations.def`. Limit: the
 * exponentials' arithmetic; memory bandwidth in the gradients.
 *
 * x is (outer, count, inner) and the axis that of `count`. Where `inner` is 1, a row lies in memory as the vectors do;
 * else the lanes of a vector are so many rows side by side. */
#include <math.h>

#include "base/exponential.h"
#include "base/parallel.h"
#include "base/total.h"

typedef struct {
    const real *x, *gradient; /* for the gradients x is the forward call's output */
    real *out;
    int64_t outer, count, inner, strips;
    int logarithm;
} softmax_job;

enum { STRIP = 4 }; /* vectors side by side */

#if FC_DOUBLE
#define LOG log
#else
#define LOG logf
#endif

INLINE
real largest_lane(vec v) {
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 8
    v = larger(SWAPPED(v, 8), v);
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 4
    v = larger(SWAPPED(v, 4), v);
#endif
#if VECTOR_BYTES / (4 + 4 * FC_DOUBLE) > 2
    v = larger(SWAPPED(v, 2), v);
#endif
    return larger(SWAPPED(v, 1), v)[0];
}

/* Several vectors have a maximum of their own: each takes long to follow the one before. */
static real largest(const real *x, int64_t n) {
    const vec least = splat(-(real)INFINITY);
    vec best[STRIP] = {least, least, least, least};
    int64_t i = 0;
    for (; i + STRIP * VL <= n; i += STRIP * VL)
#pragma GCC unroll 4
        for (int s = 0; s < STRIP; s++) best[s] = larger(load(x + i + s * VL), best[s]);
    for (; i + VL <= n; i += VL) best[0] = larger(load(x + i), best[0]);
    if (i < n) best[1] = larger(load_masked_or(x + i, mask_between(0, n - i), least), best[1]);
    return largest_lane(larger(larger(best[0], best[1]), larger(best[2], best[3])));
}

static void softmax_row(const real *x, real *out, int64_t n, int logarithm) {
    vec most = splat(largest(x, n));
    total sum = no_total();
    for (int64_t first = 0; first < n; first += PART_TERMS * VL) {
        vec part = zero();
        int64_t i = first, end = min64(first + PART_TERMS * VL, n);
        for (; i + VL <= end; i += VL) {
            vec e = exponential_or_zero(load(x + i) - most);
            if (!logarithm) store(out + i, e);
            part += e;
        }
        if (i < end) {
            vec e = exponential_or_zero(load_n(x + i, end - i) - most);
            if (!logarithm) store_n(out + i, e, end - i);
            part += choose(lane_numbers() < (lane)(end - i), e, zero());
        }
        add_part(&sum, part);
    }
    real whole = sum_of_lanes(total_of(&sum));
    vec scale = splat(1 / whole), shift = logarithm ? splat(LOG(whole)) : zero();
    for (int64_t i = 0; i < n; i += VL) {
        vec y = logarithm ? (load_up_to(x + i, n - i) - most) - shift : load_up_to(out + i, n - i) * scale;
        store_up_to(out + i, y, n - i);
    }
}

static void softmax_gradient_row(const real *gradient, const real *y, real *out, int64_t n, int logarithm) {
    total sum = no_total();
    for (int64_t first = 0; first < n; first += PART_TERMS * VL) {
        vec part = zero();
        for (int64_t i = first; i < min64(first + PART_TERMS * VL, n); i += VL) {
            vec g = load_up_to(gradient + i, n - i);
            part += logarithm ? g : g * load_up_to(y + i, n - i);
        }
        add_part(&sum, part);
    }
    vec whole = splat(sum_of_lanes(total_of(&sum)));
    for (int64_t i = 0; i < n; i += VL) {
        vec g = load_up_to(gradient + i, n - i), v = load_up_to(y + i, n - i);
        store_up_to(out + i, logarithm ? g - exponential_or_zero(v) * whole : v * (g - whole), n - i);
    }
}

/* Rows side by side, `step` apart from one element to the next: `n` of them. */
static void softmax_strip(const real *x, real *out, int64_t count, int64_t step, int64_t n, int logarithm) {
    vec most[STRIP];
    total sum[STRIP];
    for (int s = 0; s < STRIP; s++) most[s] = splat(-(real)INFINITY), sum[s] = no_total();
    for (int64_t c = 0; c < count; c++)
        for (int64_t s = 0; s * VL < n; s++) most[s] = larger(load_up_to(x + c * step + s * VL, n - s * VL), most[s]);
    for (int64_t first = 0; first < count; first += PART_TERMS) {
        vec part[STRIP] = {zero(), zero(), zero(), zero()};
        for (int64_t c = first; c < min64(first + PART_TERMS, count); c++)
            for (int64_t s = 0; s * VL < n; s++) {
                int64_t at = c * step + s * VL;
                vec e = exponential_or_zero(load_up_to(x + at, n - s * VL) - most[s]);
                if (!logarithm) store_up_to(out + at, e, n - s * VL);
                part[s] += e;
            }
        for (int64_t s = 0; s * VL < n; s++) add_part(&sum[s], part[s]);
    }
    vec last[STRIP];
    for (int64_t s = 0; s * VL < n; s++) {
        last[s] = total_of(&sum[s]);
        if (!logarithm) last[s] = splat(1) / last[s];
        if (logarithm)
            for (int l = 0; l < VL; l++) last[s][l] = LOG(last[s][l]);
    }
    for (int64_t c = 0; c < count; c++)
        for (int64_t s = 0; s * VL < n; s++) {
            int64_t at = c * step + s * VL, lanes_left = n - s * VL;
            vec y = logarithm ? (load_up_to(x + at, lanes_left) - most[s]) - last[s]
                              : load_up_to(out + at, lanes_left) * last[s];
            store_up_to(out + at, y, lanes_left);
        }
}

static void softmax_gradient_strip(const real *gradient, const real *y, real *out, int64_t count, int64_t step,
                                   int64_t n, int logarithm) {
    total sum[STRIP];
    for (int s = 0; s < STRIP; s++) sum[s] = no_total();
    for (int64_t first = 0; first < count; first += PART_TERMS) {
        vec part[STRIP] = {zero(), zero(), zero(), zero()};
        for (int64_t c = first; c < min64(first + PART_TERMS, count); c++)
            for (int64_t s = 0; s * VL < n; s++) {
                vec g = load_up_to(gradient + c * step + s * VL, n - s * VL);
                part[s] += logarithm ? g : g * load_up_to(y + c * step + s * VL, n - s * VL);
            }
        for (int64_t s = 0; s * VL < n; s++) add_part(&sum[s], part[s]);
    }
    for (int64_t c = 0; c < count; c++)
        for (int64_t s = 0; s * VL < n; s++) {
            int64_t at = c * step + s * VL;
            vec g = load_up_to(gradient + at, n - s * VL), v = load_up_to(y + at, n - s * VL),
                whole = total_of(&sum[s]);
            store_up_to(out + at, logarithm ? g - exponential_or_zero(v) * whole : v * (g - whole), n - s * VL);
        }
}

/* So few terms make a short row, most of a vector of which would be empty. */
enum { SHORT = VL / 2 < 2 ? 2 : VL / 2, SHORT_ROWS = STRIP * VL };

/* Short rows that follow on each other, at most SHORT_ROWS: side by side they fill vectors. */
static void softmax_short_rows(const real *x, real *out, int64_t count, int64_t rows, int logarithm) {
    real beside[SHORT * SHORT_ROWS];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < count; c++) beside[c * SHORT_ROWS + row] = x[row * count + c];
    softmax_strip(beside, beside, count, SHORT_ROWS, rows, logarithm);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < count; c++) out[row * count + c] = beside[c * SHORT_ROWS + row];
}

static int has_short_rows(const softmax_job *j) { return j->inner == 1 && !j->gradient && j->count <= SHORT; }

/* Tasks are rows, SHORT_ROWS of short ones, or (outer, strip). */
static int softmax_work(const void *context, int64_t begin, int64_t end) {
    const softmax_job *j = context;
    for (int64_t task = begin; task < end; task++) {
        int status = fc_called_off();
        if (status) return status;
        if (has_short_rows(j)) {
            int64_t row = task * SHORT_ROWS, at = row * j->count;
            softmax_short_rows(j->x + at, j->out + at, j->count, min64(SHORT_ROWS, j->outer - row), j->logarithm);
            continue;
        }
        int64_t first = task % j->strips * STRIP * VL, at = task / j->strips * j->count * j->inner + first;
        int64_t n = min64(STRIP * VL, j->inner - first);
        if (j->inner == 1 && j->gradient)
            softmax_gradient_row(j->gradient + at, j->x + at, j->out + at, j->count, j->logarithm);
        else if (j->inner == 1)
            softmax_row(j->x + at, j->out + at, j->count, j->logarithm);
        else if (j->gradient)
            softmax_gradient_strip(j->gradient + at, j->x + at, j->out + at, j->count, j->inner, n, j->logarithm);
        else
            softmax_strip(j->x + at, j->out + at, j->count, j->inner, n, j->logarithm);
    }
    return 0;
}

static int run(const void *x, const void *gradient, void *out, int64_t outer, int64_t count, int64_t inner,
               int logarithm, int threads) {
    softmax_job j = {x, gradient, out, outer, count, inner, ceil_div(inner, STRIP * VL), logarithm};
    int64_t tasks = has_short_rows(&j) ? ceil_div(outer, SHORT_ROWS) : outer * j.strips;
    return fc_parallel(tasks, 2.0 * (double)outer * (double)(count * inner), threads, softmax_work, &j);
}

int FC_NAME(softmax)(const void *x, void *out, int64_t outer, int64_t count, int64_t inner, int logarithm,
                     int threads) {
    return run(x, NULL, out, outer, count, inner, logarithm, threads);
}

int FC_NAME(softmax_gradient)(const void *gradient, const void *output, void *out, int64_t outer, int64_t count,
                              int64_t inner, int logarithm, int threads) {
    return run(output, gradient, out, outer, count, inner, logarithm, threads);
}
