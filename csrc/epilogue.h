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

/* Comparisons are written so that NaN stays NaN. */
INLINE vec activate(vec x, const fc_epilogue *e) {
    vec low, high, gate;
    switch (e->activation) {
        case FC_RELU:
            return choose(x < zero(), zero(), x);
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
        case FC_SIGMOID:
            return map_lanes(x, sigmoid_scalar);
        case FC_SILU:
            return x * map_lanes(x, sigmoid_scalar);
        case FC_TANH:
            return map_lanes(x, tanh_scalar);
        case FC_GELU:
            return map_lanes(x, gelu_scalar);
        default:
            return x;
    }
}


/* `bias` is the vector of these lanes' biases; `residual` is NULL or what belongs to out[0..n). */
INLINE void finish(real *out, vec x, vec bias, const real *residual, int64_t n, const fc_epilogue *e) {
    x += bias;
    if (residual) x += load_up_to(residual, n);
    if (e->activation) x = activate(x, e);
    store_up_to(out, x, n);
}

/* The same for results that lie `step` elements apart. */
INLINE void finish_strided(real *out, int64_t step, vec x, vec bias, const real *residual, int64_t n,
                           const fc_epilogue *e) {
    x += bias;
    if (residual)
        for (int i = 0; i < VL; i++)
            if (i < n) x[i] += residual[i * step];
    if (e->activation) x = activate(x, e);
    for (int i = 0; i < VL; i++)
        if (i < n) out[i * step] = x[i];
}

#endif
