/* What happens to a finished sum while it is still in cache: bias, residual, activation. Called by the kernels. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H

#include "base/exponential.h"
#include "base/simd.h"

/* A division takes as long as a short reduction. With a sixth in two parts a fused product and sum is as exact. */
INLINE
vec sixth_of(vec x) {
#if defined(__FMA__) || defined(__aarch64__)
    vec rest = x * splat((real)(1 / 6.0L - (real)1 / 6));
    PIN(rest); /* this is the product that may be rounded */
    return x * splat((real)1 / 6) + rest;
#else
    return x / splat(6);
#endif
}

/* Nothing in between is larger than the result, and -infinity does not meet 0. */
INLINE
vec hard_swish(vec x) {
    vec gate = at_most(at_least(x + splat(3), zero()), splat(6));
    return at_least(x, splat(-3)) * sixth_of(gate);
}

/* Those that are long, and what elementwise.c has beside. Comparisons are written so that NaN stays NaN. */
static NOINLINE vec activate(vec x, const fc_epilogue *e) {
    switch (e->activation) {
        case FC_LEAKY_RELU: return choose(x < zero(), x * splat((real)e->a), x);
        case FC_HARDSWISH: return hard_swish(x);
        case FC_SIGMOID: return sigmoid(x);
        case FC_SILU: return silu(x);
        case FC_TANH: return hyperbolic_tangent(x);
        default: return gelu(x);
    }
}

/* What channels have, from the first of some on: NULL where none has it. */
typedef struct {
    const real *bias, *slopes;
} channel_values;

/* The same of each lane. Slopes are loaded where they are needed: most layers have none. */
typedef struct {
    vec bias;
    const real *slopes;
    int64_t channel;
    int apart; /* does each lane have a channel of its own? */
} channel_lanes;

INLINE
channel_values values_from(const fc_epilogue *e, int64_t channel) {
    return (channel_values){.bias = e->bias ? (const real *)e->bias + channel : NULL,
                            .slopes = e->slopes ? (const real *)e->slopes + channel : NULL};
}

/* Lanes are n neighbouring channels. */
INLINE
channel_lanes neighbours(channel_values v, int64_t channel, int64_t n) {
    return (channel_lanes){
        .bias = v.bias ? load_up_to(v.bias + channel, n) : zero(), .slopes = v.slopes, .channel = channel, .apart = 1};
}

/* Lanes are pixels of one channel. */
INLINE
channel_lanes one_channel(channel_values v, int64_t channel) {
    return (channel_lanes){.bias = v.bias ? splat(v.bias[channel]) : zero(), .slopes = v.slopes, .channel = channel};
}

/* For sums that began with their bias. */
INLINE
channel_lanes without_bias(channel_lanes c) {
    c.bias = zero();
    return c;
}

/* Those of `count` channels again and again, n in all, in `room` for 2 * n. */
static inline channel_values repeated(channel_values v, int64_t count, int64_t n, real *room) {
    for (int64_t i = 0, c = 0; i < n; i++, c = c + 1 < count ? c + 1 : 0) {
        if (v.bias) room[i] = v.bias[c];
        if (v.slopes) room[n + i] = v.slopes[c];
    }
    return (channel_values){.bias = v.bias ? room : NULL, .slopes = v.slopes ? room + n : NULL};
}

/* Adds the bias and applies the activation to n lanes; those of many layers take no call. */
INLINE
vec finished(vec x, channel_lanes c, int64_t n, const fc_epilogue *e) {
    x += c.bias;
    if (e->activation == FC_RELU) return at_least(x, zero());
    if (e->activation == FC_LINEAR) return x;
    if (e->activation == FC_CLIP) return at_most(at_least(x, splat((real)e->a)), splat((real)e->b));
    if (e->activation == FC_HARDSWISH) return hard_swish(x);
    if (e->activation == FC_SCALED_HARDSWISH) return hard_swish(x) * splat((real)e->a) + splat((real)e->b);
    if (e->activation == FC_CHANNEL_PRELU || e->activation == FC_LEAKY_RELU) {
        vec slope = e->activation == FC_LEAKY_RELU ? splat((real)e->a)
                    : c.apart                      ? load_up_to(c.slopes + c.channel, n)
                                                   : splat(c.slopes[c.channel]);
        return choose(x < zero(), x * slope, x);
    }
    return activate(x, e);
}

/* Finishes n lanes of these channels; `residual` is NULL or what belongs to out[0..n). Returns what is there now. */
INLINE
vec finish(real *out, vec x, channel_lanes c, const real *residual, int64_t n, const fc_epilogue *e) {
    if (residual) c.bias += load_up_to(residual, n);
    x = finished(x, c, n, e);
    store_up_to(out, x, n);
    return x;
}

/* What happens to a sum that began with its bias. Unrolled kernels do the first two in line, and call for what takes
 * more. */
typedef enum { FINISH_NOTHING, FINISH_BOUNDS, FINISH_CALL } finish_kind;
typedef struct {
    vec low, high;
} bounds;

static inline finish_kind finish_kind_of(const fc_epilogue *e, bounds *b) {
    *b = (bounds){splat(-(real)INFINITY), splat((real)INFINITY)};
    if (e->activation == FC_RELU) b->low = zero();
    if (e->activation == FC_CLIP) *b = (bounds){splat((real)e->a), splat((real)e->b)};
    if (e->residual || (e->activation != FC_LINEAR && e->activation != FC_RELU && e->activation != FC_CLIP))
        return FINISH_CALL;
    return e->activation == FC_LINEAR ? FINISH_NOTHING : FINISH_BOUNDS;
}

/* NaN stays NaN. */
INLINE
vec bounded(vec x, const bounds *b) { return at_most(at_least(x, b->low), b->high); }

/* Finishes results that lie `step` elements apart. */
INLINE
void finish_strided(real *out, int64_t step, vec x, channel_lanes c, const real *residual, int64_t n,
                    const fc_epilogue *e) {
    if (residual)
        for (int i = 0; i < VL; i++)
            if (i < n) c.bias[i] += residual[i * step];
    x = finished(x, c, n, e);
    if (step == 2 && n >= VL) {
        store_every_second(out, x);
        return;
    }
    real elements[VL];
    store(elements, x);
    for (int64_t i = 0; i < min64(n, VL); i++) out[i * step] = elements[i];
}

#endif
