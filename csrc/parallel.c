#include "parallel.h"

#include <pthread.h>
#include <stdlib.h>

#include "fastconv.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* ---- after fork() the threads of OpenMP are gone, but it does not know: the child stays on one ---- */
static int used_threads, lost_threads;

static void in_child(void) {
    if (used_threads) lost_threads = 1;
}

/* ---- workspaces ---- */
typedef struct {
    void *memory[FC_SHARED + 1];
    size_t bytes[FC_SHARED + 1];
} workspaces;

static pthread_key_t key;

static void release(void *value) {
    for (int i = 0; i <= FC_SHARED; i++) free(((workspaces *)value)->memory[i]);
    free(value);
}

static void set_up(void) {
    pthread_key_create(&key, release);
    pthread_atfork(NULL, NULL, in_child);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

void *fc_workspace(int which, size_t bytes) {
    pthread_once(&once, set_up);
    workspaces *own = pthread_getspecific(key);
    if (!own) {
        own = calloc(1, sizeof *own);
        if (!own || pthread_setspecific(key, own)) {
            free(own);
            return NULL;
        }
    }
    if (own->bytes[which] < bytes) {
        free(own->memory[which]);
        own->bytes[which] = 0;
        bytes = (bytes + 4095) & ~(size_t)4095;
        own->memory[which] = aligned_alloc(4096, bytes);
        if (!own->memory[which]) return NULL;
        own->bytes[which] = bytes;
    }
    return own->memory[which];
}

/* ---- flushing of subnormal numbers ---- */
#if defined(__x86_64__)
typedef unsigned fp_mode;
static fp_mode flush_subnormals(void) {
    fp_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); /* flush to zero, subnormals are zero */
    return before;
}
static void restore(fp_mode mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
static fp_mode flush_subnormals(void) {
    fp_mode before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (UINT64_C(1) << 24)));
    return before;
}
static void restore(fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
typedef int fp_mode;
static fp_mode flush_subnormals(void) { return 0; }
static void restore(fp_mode mode) { (void)mode; }
#endif

static int run(fc_body body, const void *context, int64_t begin, int64_t end) {
    fp_mode mode = flush_subnormals();
    int status = body(context, begin, end);
    restore(mode);
    return status;
}

int fc_worth(double cycles, int threads) {
    double worth = 1 + cycles / 12000;
    return worth < threads ? (int)worth : threads;
}

int fc_parallel(int64_t count, int threads, fc_body body, const void *context) {
    pthread_once(&once, set_up);
    if (count < threads) threads = (int)count;
    if (threads <= 1 || lost_threads) return run(body, context, 0, count);
    int status = 0;
#ifdef _OPENMP
    used_threads = 1;
#pragma omp parallel num_threads(threads) reduction(| : status)
    {
        int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
        status |= run(body, context, count * me / team, count * (me + 1) / team);
    }
#else
    status = run(body, context, 0, count);
#endif
    return status;
}
