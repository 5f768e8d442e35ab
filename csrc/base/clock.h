/* Time, and a moment's rest for who looks at it again and again. */
#ifndef FC_CLOCK_H
#define FC_CLOCK_H

#include <sched.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static inline int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax(void) {
    for (int i = 0; i < 16; i++) {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* The same in a loop, which lets the system run another thread of this core from time to time: it may be the one that
 * is waited for. */
static inline void wait_a_turn(unsigned *turns) {
    relax();
    if (++*turns % 32 == 0) sched_yield();
}

#endif
