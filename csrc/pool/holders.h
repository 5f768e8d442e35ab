/* Which windows hold each pixel of an axis: pooling read backwards. Included by the gradient of pooling.
 *
 * They are neighbours, or, where pixels of a window lie `step` apart, every so many of them: two numbers say which,
 * however large the windows are. */
#ifndef FC_HOLDERS_H
#define FC_HOLDERS_H

#include <stdlib.h>

#include "pool/windows.h"

/* Windows first, first + period, ..., last; none where last < first. */
typedef struct {
    int64_t first, last;
} holder;

typedef struct {
    holder *of;     /* each pixel */
    int64_t period; /* of all */
    int64_t most;   /* holders of one pixel, at most */
    int64_t span;   /* windows from the first to the last that a pixel may have to do with, at most */
} holders;

/* From the first pixel of window o up to its end, inside the image or not. */
static inline window reach_of(const fc_windows *w, int64_t o) {
    if (w->kind != FC_SLIDING) return window_at(w, 0, o);
    int64_t at = w->first + o * w->stride;
    return (window){at, at + extent_of(w)};
}

/* The first window that reaches beyond pixel x, or the number of windows. */
static inline int64_t first_beyond(const fc_windows *w, const holders *h, int64_t x) {
    if (w->step == 1) return h->of[x].first;
    return min64(w->count, ceil_div(max64(0, x - w->first - extent_of(w) + 1), w->stride));
}

/* The inverse of a modulo m, which have no common divisor; 0 for an m of 1. */
static inline int64_t inverse_modulo(int64_t a, int64_t m) {
    int64_t r = m, next_r = a % m, t = 0, next_t = 1;
    while (next_r) {
        int64_t q = r / next_r, rest = r - q * next_r, turn = t - q * next_t;
        r = next_r, next_r = rest, t = next_t, next_t = turn;
    }
    return m == 1 ? 0 : t < 0 ? t + m : t;
}

static inline int64_t modulo(int64_t a, int64_t m) { return a % m < 0 ? a % m + m : a % m; }

/* Pixel x is pixel i of window o where x - first = o * stride + i * step: that gives o modulo the period. */
static inline void keep_congruent(holders *h, const fc_windows *w) {
    int64_t common = w->step, rest = w->stride % w->step;
    while (rest) {
        int64_t next = common % rest;
        common = rest, rest = next;
    }
    int64_t period = w->step / common, inverse = inverse_modulo(w->stride / common, period);
    h->period = period, h->most = 0;
    for (int64_t x = 0; x < w->size; x++) {
        holder *p = &h->of[x];
        int64_t place = x - w->first, own = modulo(place / common, period) * inverse % period;
        p->first += modulo(own - p->first, period), p->last -= modulo(p->last - own, period);
        if (place % common) p->last = p->first - 1;
        h->most = max64(h->most, p->last < p->first ? 0 : (p->last - p->first) / period + 1);
    }
}

static inline void free_holders(holders *h) { free(h->of); }

static inline int find_holders(holders *h, const fc_windows *w) {
    *h = (holders){.of = malloc((size_t)w->size * sizeof *h->of), .period = 1};
    if (!h->of) return FC_NO_MEMORY;
    int64_t first = 0, last = -1;
    window low = reach_of(w, 0), high = low; /* of windows `first` and `last` + 1 */
    for (int64_t x = 0; x < w->size; x++) {
        while (first < w->count && low.stop <= x)
            if (++first < w->count) low = reach_of(w, first);
        while (last + 1 < w->count && high.start <= x)
            if (++last + 1 < w->count) high = reach_of(w, last + 1);
        h->of[x] = (holder){first, last};
        h->span = max64(h->span, last - first + 1);
    }
    h->most = h->span;
    if (w->step > 1) keep_congruent(h, w);
    return 0;
}

#endif
