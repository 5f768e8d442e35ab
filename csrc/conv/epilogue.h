/* What happens to a finished sum while it is still in cache: bias, residual, activation. Called by the kernels. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include "base/exponential.h"
#include "base/simd.h"

/* Comparisons are written so that NaN stays NaN. */
static __attribute__((noinline)) vec activate(vec x, const fc_epilogue *e) {
    vec high, gate;
    switch (e->activation) {
        case FC_CLIP: x = at_least(x, (real)e->a), high = splat((real)e->b); return choose(x > high, high, x);
        case FC_LEAKY_RELU: return choose(x < zero(), x * splat((real)e->a), x);
        case FC_HARDSWISH: /* nothing in between is larger than the result, and -infinity does not meet 0 */
            gate = at_least(x + splat(3), 0);
            gate = choose(gate > splat(6), splat(6), gate);
            return at_least(x, -3) * (gate / splat(6));
        case FC_SIGMOID: return sigmoid(x);
        case FC_SILU: return silu(x);
        case FC_TANH: return hyperbolic_tangent(x);
        default: return gelu(x);
    }
}

/* Adds the bias and applies the activation; a ReLU, the usual one, takes no call. */
INLINE
vec finished(vec x, vec bias, const fc_epilogue *e) {
    x += bias;
    if (e->activation == FC_RELU) return choose(x < zero(), zero(), x);
    return e->activation ? activate(x, e) : x;
}

/* Finishes n lanes: `bias` is the vector of their biases; `residual` is NULL or what belongs to out[0..n). */
INLINE
void finish(real *out, vec x, vec bias, const real *residual, int64_t n, const fc_epilogue *e) {
    if (residual) bias += load_up_to(residual, n);
    store_up_to(out, finished(x, bias, e), n);
}

/* Finishes results that lie `step` elements apart. */
INLINE
void finish_strided(real *out, int64_t step, vec x, vec bias, const real *residual, int64_t n, const fc_epilogue *e) {
    if (residual)
        for (int i = 0; i < VL; i++)
            if (i < n) bias[i] += residual[i * step];
    x = finished(x, bias, e);
    if (step == 2 && n >= VL) {
        store_every_second(out, x);
        return;
    }
    real elements[VL];
    store(elements, x);
    for (int64_t i = 0; i < min64(n, VL); i++) out[i * step] = elements[i];
}

#endif
