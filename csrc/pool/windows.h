/* Where the windows of pooling lie, from the few numbers of `fc_windows`: any of them, or some at a time. No table of
 * all is ever made, so that neither time nor memory follow from a kernel's size, a padding or a stride, only from
 * pixels and results. Included by the kernels of pooling and of its gradient. */
#ifndef FC_WINDOWS_H
#define FC_WINDOWS_H

#include "base/types.h"

/* Pixels start, start + step, ... below stop, all inside the image. */
typedef struct {
    int64_t start, stop;
} window;

/* From the first pixel of a sliding window to its last, inside the image or not. */
static inline int64_t extent_of(const fc_windows *w) { return (w->kernel - 1) * w->step + 1; }

static inline window clipped(const fc_windows *w, int64_t at) {
    int64_t end = at + extent_of(w);
    if (at < 0) at = w->step == 1 ? 0 : at + ceil_div(-at, w->step) * w->step;
    return (window){at, min64(end, w->size)};
}

static inline window window_at(const fc_windows *w, int64_t plane, int64_t o) {
    if (w->kind == FC_SLIDING) return clipped(w, w->first + o * w->stride);
    if (w->kind == FC_ADAPTIVE) {
        /* The product of a size and a count may be too large, that of what is left over is not. */
        int64_t whole = w->size / w->count, left = w->size % w->count;
        int64_t at = o * left / w->count, rest = o * left % w->count + left, start = o * whole + at;
        return (window){start, start + whole + (rest > w->count ? 2 : rest > 0)};
    }
    int64_t at = w->size - w->kernel;
    if (o + 1 < w->count) {
        double alpha = (double)at / (double)(w->count - 1), u = w->samples[plane];
        at = (int64_t)(((double)o + u) * alpha) - (int64_t)(u * alpha);
    }
    return (window){at, at + w->kernel};
}

/* What the divisor of sliding window `o` counts. */
static inline double counted(const fc_windows *w, int64_t o) {
    int64_t from = w->first + o * w->stride, to = from + extent_of(w);
    double count = (double)(min64(to, w->counted_to) - max64(from, w->counted_from));
    return w->unit == 1 ? count : count / w->unit;
}

/* The share of an axis in what the sum over window `o` is divided by. Samples of fractional windows have no say in it.
 */
static inline double divisor_of(const fc_windows *w, int64_t o) {
    if (w->divisor != 0) return w->divisor;
    if (w->kind == FC_SLIDING) return counted(w, o);
    if (w->kind == FC_FRACTIONAL) return (double)w->kernel;
    window at = window_at(w, 0, o);
    return (double)(at.stop - at.start);
}

enum { LISTED = 512 };

/* Some of the windows along a plane's rows, and their divisors: of those that several rows or planes have in common,
 * each is worked out once where there are no more than fit. */
typedef struct {
    const fc_windows *w;
    int64_t plane, from; /* of `at` */
    window at[LISTED];
    double divisor[LISTED];
} listing;

static inline void open_listing(listing *l, const fc_windows *w) { l->w = w, l->from = -1; }

/* Lists the windows of a plane from window `from` on, a multiple of LISTED; returns how many there are. */
static inline int64_t list_windows(listing *l, int64_t plane, int64_t from) {
    const fc_windows *w = l->w;
    int64_t n = min64(LISTED, w->count - from);
    if (w->kind != FC_FRACTIONAL) plane = 0;
    if (l->from == from && l->plane == plane) return n;
    l->plane = plane, l->from = from;
    for (int64_t i = 0; i < n; i++) {
        l->at[i] = window_at(w, plane, from + i), l->divisor[i] = divisor_of(w, from + i);
    }
    return n;
}

/* Is it one window over the whole axis? */
static inline int covers(const fc_windows *w) {
    if (w->count > 1 || w->step > 1 || w->kind == FC_FRACTIONAL) return 0;
    window only = window_at(w, 0, 0);
    return only.start == 0 && only.stop == w->size;
}

#endif
