/* Pooling of every kind and element type. Compiled once for each instruction set, called by
 * `fc_pool_run`.
 *
 * Maximum and sum of NCHW planes combine whole rows, then neighbours along the row, in loops that the compiler turns
 * into vectors, and so do NHWC images of few channels; otherwise NHWC keeps vectors of channels in registers over a
 * whole window. Everything else (indices, powers, sampling) takes one window at a time. Limit: cache or memory
 * bandwidth for the first kind, scalar arithmetic for the second. */
#include <math.h>
#include <string.h>

#include "base/compensated.h"
#include "base/parallel.h"
#include "base/simd.h"
#include "pool/cost.h"
#include "pool/windows.h"

/* The distance of windows up to which a row is combined at every pixel, in vectors, before they are picked. */
enum { MOST_PICKED = 8 };
/* Maxima and their places are found one window at a time where vectors would not be full. */
enum { LEAST_ABREAST = 12 };
/* Of NHWC: channels of a task at most, and those in a vector; vectors of channels that are combined at once. */
enum { MOST_CHANNELS = 512 };
#define LANE_COUNT ((int64_t)(VECTOR_BYTES / sizeof(T)))
#if VECTOR_BYTES == 64 || defined(__aarch64__)
enum { VECTORS = 8 };
#else
enum { VECTORS = 4 };
#endif

typedef struct {
    const fc_pool *p;
    const void *x;
    void *out;
    int64_t *indices;
    const double *uniforms;
    int64_t parts;
    int64_t inner; /* channels of a pixel of a plane */
} pool_job;

/* Are rows padded, so that every window is whole and taps are vectors? Not where windows reach far beyond them. */
static int is_padded(const fc_windows *w) { return w->kind == FC_SLIDING && extent_of(w) <= max64(w->size, 64); }

#define T float
#define NAMED(name) name##_f32
#define LOWEST (-INFINITY)
#define IS_NAN(value) ((value) != (value))
#define SUMS 1
#include "pool/pool_type.h"
#define T double
#define NAMED(name) name##_f64
#define LOWEST (-INFINITY)
#define IS_NAN(value) ((value) != (value))
#define SUMS 1
#include "pool/pool_type.h"
#define T int8_t
#define NAMED(name) name##_i8
#define LOWEST INT8_MIN
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T uint8_t
#define NAMED(name) name##_u8
#define LOWEST 0
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T int16_t
#define NAMED(name) name##_i16
#define LOWEST INT16_MIN
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T uint16_t
#define NAMED(name) name##_u16
#define LOWEST 0
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T int32_t
#define NAMED(name) name##_i32
#define LOWEST INT32_MIN
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T uint32_t
#define NAMED(name) name##_u32
#define LOWEST 0
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T int64_t
#define NAMED(name) name##_i64
#define LOWEST INT64_MIN
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"
#define T uint64_t
#define NAMED(name) name##_u64
#define LOWEST 0
#define IS_NAN(value) 0
#define SUMS 0
#include "pool/pool_type.h"

#define BODIES(type) {windows_work_##type, planes_work_##type, channels_work_##type, maxima_work_##type}

int FC_NAME(pool)(const fc_pool *p, const void *x, void *out, int64_t *indices, const double *uniforms, int threads) {
    /* In the order of the types' enum. */
    static const fc_body bodies[][4] = {BODIES(i8),  BODIES(u8),  BODIES(i16), BODIES(u16), BODIES(i32),
                                        BODIES(u32), BODIES(i64), BODIES(u64), BODIES(f32), BODIES(f64)};
    static const int64_t bytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8};
    pool_job j = {p, x, out, indices, uniforms, 1, 1};
    int64_t planes = p->batch * p->channels, rows = p->rows.count;
    int by_window = indices || p->reducer > FC_SUM ||
                    (p->layout == FC_NHWC && (p->rows.kind == FC_FRACTIONAL || p->columns.kind == FC_FRACTIONAL));
    double high = window_size(&p->rows), wide = window_size(&p->columns), columns = (double)p->columns.count;
    double outputs = (double)(planes * rows) * columns;
    int64_t abreast = p->layout == FC_NHWC ? p->channels : p->columns.count; /* what maxima's vectors run over */
    if (indices && p->reducer == FC_MAX && p->height * p->width <= INT32_MAX && abreast >= LEAST_ABREAST &&
        (p->layout == FC_NCHW || p->rows.kind != FC_FRACTIONAL)) {
        if (p->layout == FC_NHWC) j.inner = p->channels;
        return fc_parallel(planes / j.inner * rows, outputs * (2 + high * wide) / 8, threads, bodies[p->type][3], &j);
    }
    if (by_window) return fc_parallel(planes * rows, outputs * (2 + high * wide), threads, bodies[p->type][0], &j);
    int few = p->layout == FC_NHWC && p->channels * bytes[p->type] < VECTOR_BYTES;
    if (few) j.inner = p->channels, planes = p->batch;
    if (few || p->layout == FC_NCHW) {
        double cycles = (double)(p->batch * p->channels * rows) * (high * (double)p->width + (1 + wide) * columns) / 8;
        threads = fc_worth(cycles, threads);
        if (planes < 4 * threads) j.parts = min64(rows, ceil_div(4 * threads, planes));
        return fc_parallel(planes * j.parts, cycles, threads, bodies[p->type][1], &j);
    }
    /* Where there are few outputs, lines of channels are shared: no part is less than a vector. */
    int64_t lines = min64(ceil_div(p->channels, 64), p->channels * bytes[p->type] / VECTOR_BYTES);
    int64_t tasks = p->batch * rows;
    j.parts = max64(ceil_div(p->channels, MOST_CHANNELS), min64(lines, ceil_div(4, tasks)));
    return fc_parallel(p->batch * rows * j.parts, outputs * (1 + high * wide) / 8, threads, bodies[p->type][2], &j);
}
