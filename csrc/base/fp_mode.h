/* Subnormal numbers: how a thread's mode is read, set, and set to flush them to zero. */
#ifndef FC_FP_MODE_H
#define FC_FP_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
typedef unsigned fp_mode;
static inline fp_mode fp_now(void) { return _mm_getcsr(); }
static inline void fp_restore(fp_mode mode) { _mm_setcsr(mode); }
static inline fp_mode fp_flushing(fp_mode mode) { return mode | 0x8040; } /* flush to zero, subnormals are zero */
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
static inline fp_mode fp_now(void) {
    fp_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static inline void fp_restore(fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
static inline fp_mode fp_flushing(fp_mode mode) { return mode | UINT64_C(1) << 24; }
#else
typedef int fp_mode;
static inline fp_mode fp_now(void) { return 0; }
static inline void fp_restore(fp_mode mode) { (void)mode; }
static inline fp_mode fp_flushing(fp_mode mode) { return mode; }
#endif

#endif
