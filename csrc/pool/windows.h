/* Where the windows of pooling lie, from the few numbers of `fc_windows`: the one at any place, one after the other, and those
 * that hold a pixel. No table of windows is ever made, so that neither time nor memory follow from a kernel's size, a padding
 * or a stride, only from pixels and results. Included by the kernels of pooling and of its gradient. */
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
        /* The products of a size and a count may be too large, those of what is left over are not. */
        int64_t whole = w->size / w->count, rest = w->size % w->count;
        return (window){o * whole + o * rest / w->count, (o + 1) * whole + ceil_div((o + 1) * rest, w->count)};
    }
    int64_t at = w->size - w->kernel;
    if (o + 1 < w->count) {
        double alpha = (double)at / (double)(w->count - 1), u = w->samples[plane];
        at = (int64_t)(((double)o + u) * alpha) - (int64_t)(u * alpha);
    }
    return (window){at, at + w->kernel};
}

/* The windows of a plane one after the other, without divisions. */
typedef struct {
    const fc_windows *w;
    int64_t plane, o;
    int64_t whole, rest, next,
        left; /* adaptive: size / count, size % count; where the next window starts, and its remainder */
    window now;
} walk;

static inline walk first_window(const fc_windows *w, int64_t plane) {
    walk k = {.w = w, .plane = plane, .now = window_at(w, plane, 0)};
    if (w->kind == FC_ADAPTIVE) {
        k.whole = w->size / w->count, k.rest = w->size % w->count;
        k.next = k.whole, k.left = k.rest;
    }
    return k;
}

static inline void next_window(walk *k) {
    k->o++;
    if (k->w->kind != FC_ADAPTIVE) {
        k->now = window_at(k->w, k->plane, k->o);
        return;
    }
    k->now.start = k->next;
    k->next += k->whole, k->left += k->rest;
    if (k->left >= k->w->count) k->left -= k->w->count, k->next++;
    k->now.stop = k->next + (k->left > 0);
}

/* The share of an axis in what the sum over window `o`, which is `at`, is divided by. */
static inline double window_divisor(const fc_windows *w, int64_t o, window at) {
    if (w->divisor != 0) return w->divisor;
    if (w->kind != FC_SLIDING) return (double)(at.stop - at.start);
    int64_t from = w->first + o * w->stride, to = from + extent_of(w);
    return (double)(min64(to, w->counted_to) - max64(from, w->counted_from)) / w->unit;
}

/* The same, for all windows from the first on; samples of fractional windows have no say. */
static inline double divisor_at(const fc_windows *w, int64_t o) {
    return w->divisor != 0 ? w->divisor : window_divisor(w, o, window_at(w, 0, o));
}

/* Is it one window over the whole axis? */
static inline int covers(const fc_windows *w) {
    if (w->count > 1 || w->step > 1 || w->kind == FC_FRACTIONAL) return 0;
    window only = window_at(w, 0, 0);
    return only.start == 0 && only.stop == w->size;
}

#endif
