/* A step of an optimiser over all parameters of a network. Called through `operations.def`. Limit: memory bandwidth.
 *
 * Elements are numbered through all arrays as they lie in memory; a task takes some thousand of them, and each is read
 * and written once. */
#include <math.h>

#include "base/parallel.h"
#include "base/simd.h"

enum { PART = 8192 };

#if FC_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

typedef struct {
    const fc_parameter *parameters;
    const fc_update *update;
    int64_t count;
} step_job;

/* The gradient as the rules take it: scaled, limited, with decay. */
static inline real slope(real g, real w, real scale, real limit, real decay) {
    g *= scale;
    g = g > limit ? limit : g;
    g = g < -limit ? -limit : g;
    return g + w * decay;
}

static void descend(const fc_update *u, real *w, const real *g, real *velocity, int64_t n) {
    const real scale = (real)u->scale, limit = (real)u->limit, decay = (real)u->decay, kept = (real)u->kept;
    const real rate = (real)u->rate, momentum = (real)u->first;
    if (!velocity) {
        for (int64_t i = 0; i < n; i++) w[i] = w[i] * kept - rate * slope(g[i], w[i], scale, limit, decay);
        return;
    }
    const real ahead = u->nesterov ? momentum : 1, own = u->nesterov ? 1 : 0;
    for (int64_t i = 0; i < n; i++) {
        real s = slope(g[i], w[i], scale, limit, decay), v = momentum * velocity[i] + s;
        velocity[i] = v;
        w[i] = w[i] * kept - rate * (own * s + ahead * v);
    }
}

static void by_squares(const fc_update *u, real *w, const real *g, real *square, real *velocity, int64_t n) {
    const real scale = (real)u->scale, limit = (real)u->limit, decay = (real)u->decay, kept = (real)u->kept;
    const real rate = (real)u->rate, momentum = (real)u->first, second = (real)u->second, eps = (real)u->eps;
    const real rest = (real)(1 - u->second);
    for (int64_t i = 0; i < n; i++) {
        real s = slope(g[i], w[i], scale, limit, decay), q = second * square[i] + rest * s * s;
        real step = s / (SQRT(q) + eps);
        square[i] = q;
        if (velocity) velocity[i] = step = momentum * velocity[i] + step;
        w[i] = w[i] * kept - rate * step;
    }
}

static void by_moments(const fc_update *u, real *w, const real *g, real *mean, real *square, int64_t n) {
    const real scale = (real)u->scale, limit = (real)u->limit, decay = (real)u->decay, kept = (real)u->kept;
    const real rate = (real)u->rate, first = (real)u->first, second = (real)u->second, eps = (real)u->eps;
    const real first_rest = (real)(1 - u->first), second_rest = (real)(1 - u->second);
    const real root_scale = (real)u->root_scale;
    for (int64_t i = 0; i < n; i++) {
        real s = slope(g[i], w[i], scale, limit, decay);
        real m = first * mean[i] + first_rest * s, q = second * square[i] + second_rest * (s * s);
        mean[i] = m, square[i] = q;
        w[i] = w[i] * kept - rate * (m / (SQRT(q) * root_scale + eps));
    }
}

static void do_part(const step_job *j, const fc_parameter *p, int64_t first, int64_t n) {
    real *w = (real *)p->weight + first, *state[2];
    const real *g = (const real *)p->gradient + first;
    for (int i = 0; i < 2; i++) state[i] = p->state[i] ? (real *)p->state[i] + first : NULL;
    switch (j->update->rule) {
        case FC_DESCENT: descend(j->update, w, g, state[0], n); break;
        case FC_SQUARES: by_squares(j->update, w, g, state[0], state[1], n); break;
        default: by_moments(j->update, w, g, state[0], state[1], n); break;
    }
}

/* Task t takes the parts of each array that begin in its range of the elements. */
static int work(const void *context, int64_t begin, int64_t end) {
    const step_job *j = context;
    int64_t first = begin * PART, last = end * PART, start = 0;
    for (int64_t p = 0; p < j->count && start < last; start += j->parameters[p++].count) {
        int64_t from = max64(first - start, 0), to = min64(last - start, j->parameters[p].count);
        if (from < to) do_part(j, j->parameters + p, from, to - from);
    }
    return 0;
}

int FC_NAME(optimiser_step)(const fc_parameter *parameters, int64_t count, const fc_update *update, int threads) {
    step_job j = {parameters, update, count};
    int64_t elements = 0;
    for (int64_t p = 0; p < count; p++) elements += parameters[p].count;
    return fc_parallel(ceil_div(elements, PART), (double)elements * 1.5, threads, work, &j);
}
