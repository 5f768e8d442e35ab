/* The activations of epilogue.h by their number, and the others, whose code is long. Called by all that includes it. */
#include "base/exponential.h"
#include "conv/epilogue.h"

/* Comparisons are written so that NaN stays NaN. */
vec FC_NAME(activate)(vec x, const fc_epilogue *e) {
    switch (e->activation) {
        case FC_CLIP: return at_most(at_least(x, splat((real)e->a)), splat((real)e->b));
        case FC_LEAKY_RELU: return choose(x < zero(), x * splat((real)e->a), x);
        case FC_HARDSWISH: return hard_swish(x);
        case FC_SCALED_HARDSWISH: return hard_swish(x) * splat((real)e->a) + splat((real)e->b);
        case FC_SIGMOID: return sigmoid(x);
        case FC_SILU: return silu(x);
        case FC_TANH: return hyperbolic_tangent(x);
        default: return gelu(x);
    }
}
