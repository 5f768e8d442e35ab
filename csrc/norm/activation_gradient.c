/* The slopes of activations, times a gradient. Called through `operations.def`. Limit: memory bandwidth; arithmetic
 * where there is an exponential. At a kink the slope is that of PyTorch; NaN stays NaN but where the slope is 0. */
#include "base/exponential.h"
#include "base/parallel.h"
#include "base/simd.h"

/* Slopes from the activation's output. */
INLINE
vec slope_of_output(const int activation, vec y) {
    return activation == FC_SIGMOID ? y * (splat(1) - y) : splat(1) - y * y;
}

INLINE
vec limited(vec x, real most) { return at_least(at_most(x, splat(most)), splat(-most)); }

/* Slopes from its input x. Those of sigmoid and tanh are e / (1 + e)^2 and 4 e / (1 + e)^2, which keep their digits
 * where they are small, with e = exp(-|x|) and exp(-2 |x|). */
INLINE
vec slope_of_input(const int activation, vec x) {
    vec size = choose(x < zero(), -x, x), e, inverse;
    switch (activation) {
        case FC_SIGMOID:
        case FC_TANH:
            e = exponential(activation == FC_TANH ? -(size + size) : -size), inverse = splat(1) / (splat(1) + e);
            e *= inverse * inverse;
            return activation == FC_TANH ? e * splat(4) : e;
        case FC_SILU: /* s + x s', which are 1 or 0 far out */
            e = exponential(-size), inverse = splat(1) / (splat(1) + e);
            return inverse * (choose(x < zero(), e, splat(1)) + limited(x, (real)EXP_MOST) * (e * inverse));
        default: /* gelu: the normal distribution and x times its density, which is 0 far out */
            e = limited(x, 40);
            return normal_share(x) + e * exponential(splat((real)-0.5) * e * e) * splat((real)0.39894228040143267794);
    }
}

typedef struct {
    const real *gradient, *value;
    real *out;
    int64_t count;
    int activation, from_output;
    real a, b;
} activation_job;

enum { PART = 4096 };

INLINE
vec with_slope(const int activation, const int from_output, vec gradient, vec value, vec a, vec b) {
    switch (activation) {
        case FC_LINEAR: return gradient;
        case FC_RELU: return choose(value <= zero(), zero(), gradient);
        case FC_CLIP: return choose((value <= a) | (value >= b), zero(), gradient);
        case FC_LEAKY_RELU: return gradient * choose(value > zero(), splat(1), a);
        case FC_HARDSWISH:
            gradient = choose(value >= splat(3), gradient, gradient * (value / splat(3) + splat((real)0.5)));
            return choose(value <= splat(-3), zero(), gradient);
        default:
            return gradient * (from_output ? slope_of_output(activation, value) : slope_of_input(activation, value));
    }
}

INLINE
void all(const int activation, const int from_output, const activation_job *j, int64_t i, int64_t end) {
    vec a = splat(j->a), b = splat(j->b);
    for (; i + VL <= end; i += VL)
        store(j->out + i, with_slope(activation, from_output, load(j->gradient + i), load(j->value + i), a, b));
    if (i < end) {
        vec gradient = load_n(j->gradient + i, end - i), value = load_n(j->value + i, end - i);
        store_n(j->out + i, with_slope(activation, from_output, gradient, value, a, b), end - i);
    }
}

static int work(const void *context, int64_t begin, int64_t end) {
    const activation_job *j = context;
    int64_t first = begin * PART, last = min64(end * PART, j->count);
    switch (2 * j->activation + (j->activation == FC_SIGMOID || j->activation == FC_TANH ? j->from_output : 0)) {
        case 2 * FC_RELU: all(FC_RELU, 0, j, first, last); break;
        case 2 * FC_CLIP: all(FC_CLIP, 0, j, first, last); break;
        case 2 * FC_LEAKY_RELU: all(FC_LEAKY_RELU, 0, j, first, last); break;
        case 2 * FC_SIGMOID: all(FC_SIGMOID, 0, j, first, last); break;
        case 2 * FC_SIGMOID + 1: all(FC_SIGMOID, 1, j, first, last); break;
        case 2 * FC_TANH: all(FC_TANH, 0, j, first, last); break;
        case 2 * FC_TANH + 1: all(FC_TANH, 1, j, first, last); break;
        case 2 * FC_SILU: all(FC_SILU, 0, j, first, last); break;
        case 2 * FC_HARDSWISH: all(FC_HARDSWISH, 0, j, first, last); break;
        case 2 * FC_GELU: all(FC_GELU, 0, j, first, last); break;
        default: all(FC_LINEAR, 0, j, first, last); break;
    }
    return 0;
}

int FC_NAME(activation_gradient)(int activation, double a, double b, const void *gradient, const void *value,
                                 int from_output, void *out, int64_t count, int threads) {
    activation_job j = {gradient, value, out, count, activation, from_output, (real)a, (real)b};
    double cycles = (double)count * (activation <= FC_LEAKY_RELU || activation == FC_HARDSWISH ? 0.5 : 2);
    return fc_parallel(ceil_div(count, PART), cycles, threads, work, &j);
}
