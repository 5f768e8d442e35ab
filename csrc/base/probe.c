/* Loops that do nothing but one thing, on one thread, as fast as the instruction set can: what a kernel is measured
 * against. Called by dispatch.c, on all threads at once, for `fastconv info --measure`. */
#include "base/simd.h"

enum { SUMS = MR * NV, STREAMS = 8, STEPS = 256 };

/* As many independent sums as a register tile of the kernels has: more than an FMA's latency times the units that do
 * them. The sums stay finite, and no number is subnormal: they tend to 2, or grow until 0.5 more is no change. NEON's
 * FMA can only add to its destination; there the product would be the same in every step, and move out of the loop,
 * were its factor not opaque. Without FMA, a step is a product and a sum. */
#if defined(__aarch64__)
#define STEP(sum, a, b)                                                                                                \
    (sum) += (a) * (b);                                                                                                \
    PIN(a)
#else
#define STEP(sum, a, b) (sum) = (sum) * (a) + (b)
#endif

static double arithmetic(int64_t repeats) {
    vec a = splat((real)0.5), b = splat(1), sum[SUMS];
    PIN(a);
    PIN(b);
    for (int i = 0; i < SUMS; i++) sum[i] = splat((real)i);
    for (int64_t n = repeats * STEPS; n > 0; n--) {
#pragma GCC unroll 32
        for (int i = 0; i < SUMS; i++) { STEP(sum[i], a, b); }
    }
#pragma GCC unroll 32
    for (int i = 0; i < SUMS; i++) PIN(sum[i]);
    return 2.0 * SUMS * VL * STEPS * (double)repeats;
}

/* The compiler must take all memory for changed here, so that a loop over the same bytes is not done once only. */
#define AGAIN __asm__ volatile("" : : : "memory")

static double write_all(real *x, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) store(x + i, splat(1));
    return (double)n * sizeof(real);
}

/* A vector is needed once it is loaded, in a register where PIN can say so: any arithmetic on it could take longer than
 * its load. */
#if defined(__x86_64__) || defined(__aarch64__)
#define NEED(v) PIN(v)
#else
#define NEED(v) __asm__ volatile("" : : "m"(v))
#endif

static double read_all(const real *x, int64_t n, int64_t repeats) {
    for (int64_t r = 0; r < repeats; r++) {
        AGAIN;
        for (int64_t i = 0; i < n; i += STREAMS * VL)
#pragma GCC unroll 8
            for (int s = 0; s < STREAMS; s++) {
                vec v = load(x + i + s * VL);
                NEED(v);
            }
    }
    return (double)n * sizeof(real) * (double)repeats;
}

/* Copies the first half to the second, with ordinary stores. */
static double copy_half(real *x, int64_t n, int64_t repeats) {
    real *to = x + n / 2;
    for (int64_t r = 0; r < repeats; r++) {
        AGAIN;
        for (int64_t i = 0; i < n / 2; i += STREAMS * VL) {
            vec v[STREAMS];
#pragma GCC unroll 8
            for (int s = 0; s < STREAMS; s++) v[s] = load(x + i + s * VL);
#pragma GCC unroll 8
            for (int s = 0; s < STREAMS; s++) store(to + i + s * VL, v[s]);
        }
    }
    return (double)n * sizeof(real) * (double)repeats;
}

int FC_NAME(probe)(int probe, void *memory, int64_t bytes, int64_t repeats, double *work) {
    int64_t n = bytes / (int64_t)sizeof(real);
    switch (probe) {
        case FC_PROBE_ARITHMETIC: *work = arithmetic(repeats); break;
        case FC_PROBE_WRITE: *work = write_all(memory, n); break;
        case FC_PROBE_READ: *work = read_all(memory, n, repeats); break;
        default: *work = copy_half(memory, n, repeats);
    }
    return 0;
}
