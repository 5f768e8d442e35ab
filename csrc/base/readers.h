/* Which outputs read each pixel of an axis: what is summed when pooling or padding is read backwards. Included by
 * pool_gradient.c and pad_gradient.c, which call it once for each axis.
 *
 * Layout: the lists of all pixels stand one after the other in `list`, and `begin` says where each begins, as in a
 * sparse matrix in compressed rows; all four arrays are one block of memory. Time and memory are in proportion to the
 * pixels and to what the outputs read. */
#ifndef FC_READERS_H
#define FC_READERS_H

#include <stdlib.h>

#include "base/types.h"

typedef struct {
    int64_t size, most; /* pixels; readers of one, at most */
    int64_t span;       /* outputs between which the readers of a pixel, and all that come between, lie */
    int64_t *begin;     /* pixel i has the readers list[begin[i]], ..., list[begin[i + 1] - 1], ascending */
    int64_t *list;
    int64_t *first, *last; /* the lowest reader of pixel i or a later one, the highest of pixel i or an earlier one */
} readers;

/* Output o reads pixels start, start + step, ... below stop; nothing where `start` is below 0. */
typedef struct {
    const int64_t *start, *stop; /* stop is start + 1 where `stop` is NULL */
    int64_t step, count;
} reading;

static inline int64_t reading_stop(const reading *r, int64_t o) {
    if (r->start[o] < 0) return r->start[o];
    return r->stop ? r->stop[o] : r->start[o] + 1;
}

static inline void free_readers(readers *to) { free(to->begin); }

static inline int find_readers(readers *to, int64_t size, const reading *r) {
    int64_t total = 0;
    for (int64_t o = 0; o < r->count; o++) total += max64(0, ceil_div(reading_stop(r, o) - r->start[o], r->step));
    to->begin = calloc((size_t)(3 * size + 2 + total), sizeof *to->begin);
    if (!to->begin) return FC_NO_MEMORY;
    to->size = size, to->most = 0, to->span = 1;
    to->first = to->begin + size + 2, to->last = to->first + size, to->list = to->last + size;
    int64_t *next = to->begin + 1; /* while lists grow, next[i] is where that of pixel i ends */
    for (int64_t o = 0; o < r->count; o++)
        for (int64_t i = r->start[o]; i < reading_stop(r, o); i += r->step) next[i + 1]++;
    for (int64_t i = 0; i < size; i++) to->most = max64(to->most, next[i + 1]), next[i + 1] += next[i];
    for (int64_t o = 0; o < r->count; o++)
        for (int64_t i = r->start[o]; i < reading_stop(r, o); i += r->step) to->list[next[i]++] = o;
    int64_t low = r->count, high = -1;
    for (int64_t i = size - 1; i >= 0; i--) {
        if (to->begin[i + 1] > to->begin[i]) low = min64(low, to->list[to->begin[i]]);
        to->first[i] = low;
    }
    for (int64_t i = 0; i < size; i++) {
        if (to->begin[i + 1] > to->begin[i]) high = max64(high, to->list[to->begin[i + 1] - 1]);
        to->last[i] = high;
        to->span = max64(to->span, high - to->first[i] + 1);
    }
    return 0;
}

#endif
