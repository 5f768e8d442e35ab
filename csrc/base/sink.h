/* Where rows of a result go, one after the other. Included by the gradients of pooling, which write every pixel once.
 *
 * Rows go to the result at once, or through a buffer of SINK_BYTES in the thread's workspace, which L1 holds. From the
 * buffer, large results go past the caches: such a store need not fetch the line that it overwrites, and evicts
 * nothing. The buffer also lets a caller write whole vectors, 2 VL beyond a row, where the result's next row must stay
 * as it is. */
#ifndef FC_SINK_H
#define FC_SINK_H

#include "base/simd.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct {
    real *out, *buffer;   /* what comes next; `buffer` may be NULL, and has 2 VL more than its room */
    int64_t filled, room; /* at least a row */
    int past;             /* the caches */
} sink;

/* Results of so many bytes do not stay in the caches anyway. */
enum { PAST_BYTES = 16 << 20, SINK_BYTES = 16 << 10 };

static inline int goes_past(double reals) { return reals * sizeof(real) >= PAST_BYTES; }

static inline int64_t sink_room(int64_t row) { return max64(row, SINK_BYTES / (int64_t)sizeof(real)); }

INLINE
void store_past(real *to, vec v) {
#if defined(__AVX512F__)
    _mm512_stream_si512((void *)to, (__m512i)v);
#elif defined(__AVX2__)
    _mm256_stream_si256((void *)to, (__m256i)v);
#elif defined(__SSE2__)
    _mm_stream_si128((void *)to, (__m128i)v);
#else
    store(to, v);
#endif
}

static inline void flush(sink *s) {
    real *to = s->out;
    const real *from = s->buffer;
    int64_t n = s->filled;
    s->out += n, s->filled = 0;
    if (!s->past) {
        copy_reals(to, from, n);
        return;
    }
    int64_t head = min64(n, (int64_t)(-(uintptr_t)to % 64 / sizeof(real)));
    copy_reals(to, from, head), to += head, from += head, n -= head;
    for (; n >= VL; n -= VL, to += VL, from += VL) store_past(to, load(from));
    copy_reals(to, from, n);
}

/* Room for the next row of n. In a buffer, 2 VL behind it may be written too. */
static inline real *next_row(sink *s, int64_t n) {
    if (!s->buffer) return s->out += n, s->out - n;
    if (s->filled + n > s->room) flush(s);
    return s->filled += n, s->buffer + s->filled - n;
}

/* Makes what went past the caches visible to other threads. */
static inline void settle(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

#endif
