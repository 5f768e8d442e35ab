/* What happens to a finished sum while it is still in cache: bias, residual, activation. Called by the kernels. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include <math.h>

#include "simd.h"

INLINE vec map_lanes(vec x, double (*f)(double)) {
    for (int i = 0; i < VL; i++) x[i] = (real)f((double)x[i]);
    return x;
}

static double sigmoid_scalar(double x) { return 1 / (1 + exp(-x)); }
static double gelu_scalar(double x) { return 0.5 * x * (1 + erf(x * 0.70710678118654752440)); }
static double tanh_scalar(double x) { return tanh(x); }

/* Those that need the mathematical library, a lane at a time; out of line to keep the kernels small. */
static __attribute__((noinline)) vec activate_lanes(vec x, int activation) {
    switch (activation) {
        case FC_SIGMOID:
            return map_lanes(x, sigmoid_scalar);
        case FC_SILU:
            return x * map_lanes(x, sigmoid_scalar);
        case FC_TANH:
            return map_lanes(x, tanh_scalar);
        default:
            return map_lanes(x, gelu_scalar);
    }
}

/* Comparisons are written so that NaN stays NaN. */
static __attribute__((noinline)) vec activate(vec x, const fc_epilogue *e) {
    vec low, high, gate;
    switch (e->activation) {
        case FC_CLIP:
            low = splat((real)e->a), high = splat((real)e->b);
            x = choose(x < low, low, x);
            return choose(x > high, high, x);
        case FC_LEAKY_RELU:
            return choose(x < zero(), x * splat((real)e->a), x);
        case FC_HARDSWISH:
            gate = x + splat(3);
            gate = choose(gate < zero(), zero(), gate);
            gate = choose(gate > splat(6), splat(6), gate);
            return x * gate / splat(6);
        default:
            return activate_lanes(x, e->activation);
    }
}

/* The bias added, and for a ReLU, the usual activation, no call. */
INLINE vec finished(vec x, vec bias, const fc_epilogue *e) {
    x += bias;
    if (e->activation == FC_RELU) return choose(x < zero(), zero(), x);
    return e->activation ? activate(x, e) : x;
}

/* `bias` is the vector of these lanes' biases; `residual` is NULL or what belongs to out[0..n). */
INLINE void finish(real *out, vec x, vec bias, const real *residual, int64_t n, const fc_epilogue *e) {
    if (residual) bias += load_up_to(residual, n);
    store_up_to(out, finished(x, bias, e), n);
}

/* The same for results that lie `step` elements apart. */
INLINE void finish_strided(real *out, int64_t step, vec x, vec bias, const real *residual, int64_t n,
                           const fc_epilogue *e) {
    if (residual)
        for (int i = 0; i < VL; i++)
            if (i < n) bias[i] += residual[i * step];
    x = finished(x, bias, e);
    if (step == 2 && n >= VL) {
        store_every_second(out, x);
        return;
    }
    for (int i = 0; i < VL; i++)
        if (i < n) out[i * step] = x[i];
}

#endif
