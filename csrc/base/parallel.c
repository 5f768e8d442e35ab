/* Threads that claim their work: a call publishes its tasks in a slot, works on them itself, and waits at the end for
 * those tasks alone that another thread has claimed. Workers spin for a while after a job, then sleep. So a thread that
 * the system does not let run delays nobody, unless it is stopped amid a task; then the caller sleeps, and leaves it
 * its core. OpenMP cannot do that: the barrier at the end of a parallel region waits for every thread of the team,
 * working or not. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fastconv.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

/* Workspaces are new each time, no larger than asked for, and full of NaN: for a checker of memory to see what is
 * wrong. */
#ifndef FC_CHECKED
#define FC_CHECKED 0
#endif

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

static void forget_workers(void);

static void set_up(void) {
    pthread_key_create(&key, release);
    pthread_atfork(NULL, NULL, forget_workers); /* they do not survive fork() */
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
    if (own->bytes[which] < bytes || FC_CHECKED) {
        free(own->memory[which]);
        own->bytes[which] = 0;
        size_t unit = FC_CHECKED ? 64 : 4096;
        bytes = (bytes + unit - 1) & ~(unit - 1);
        own->memory[which] = aligned_alloc(unit, bytes);
        if (!own->memory[which]) return NULL;
        own->bytes[which] = bytes;
        if (FC_CHECKED) memset(own->memory[which], 0xff, bytes);
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

static int64_t l2_bytes;

static void find_l2(void) {
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    l2_bytes = bytes <= 0 ? 1 << 20 : bytes < 512 << 10 ? 512 << 10 : bytes > 2 << 20 ? 2 << 20 : bytes;
}

int64_t fc_l2_bytes(void) {
    static pthread_once_t found = PTHREAD_ONCE_INIT;
    pthread_once(&found, find_l2);
    return l2_bytes;
}

int fc_worth(double cycles, int threads) {
    double worth = 1 + cycles / 12000;
    return worth < threads ? (int)worth : threads;
}

/* ---- jobs ---- */
enum { SLOTS = 8, MOST_WORKERS = FC_MOST_THREADS - 1, SPIN_NS = 200000, JOIN_SPIN_NS = 200000 };

/* Tasks [first, end) that nobody has claimed, in one word: first << 32 | end. */
typedef struct {
    _Alignas(64) atomic_ullong unclaimed;
} range;

/* Every thread has a range of its own, the same one in every call like this, so that it finds in its cache what it
 * wrote in the last one. It claims from the front, ever fewer tasks at once; when nothing is left there, from the back
 * of the others' ("work stealing"). A claim is a compare-and-swap; what is not atomic may be read after it: the slot is
 * not used again before all that was claimed is done. */
typedef struct {
    atomic_flag taken;
    atomic_llong done;
    atomic_int threads, seats; /* that share the tasks, 0 when there are none; workers that may still join */
    atomic_int status, sleeps; /* of the caller: does it sleep? */
    int64_t count, unit;       /* tasks; so many of them are claimed as one, to fit the word */
    fc_body body;
    const void *context;
    pthread_cond_t finished;
    range ranges[FC_MOST_THREADS];
} slot;

static slot slots[SLOTS] = {[0 ... SLOTS - 1] = {.taken = ATOMIC_FLAG_INIT, .finished = PTHREAD_COND_INITIALIZER}};
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    atomic_int workers, sleepers;
    atomic_uint jobs; /* published so far */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static void forget_workers(void) {
    pool.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER, pool.work = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    atomic_store(&pool.workers, 0), atomic_store(&pool.sleepers, 0);
    for (int i = 0; i < SLOTS; i++) {
        slots[i].finished = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        atomic_store(&slots[i].threads, 0), atomic_store(&slots[i].seats, 0), atomic_store(&slots[i].sleeps, 0);
        atomic_flag_clear(&slots[i].taken);
    }
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void) {
    for (int i = 0; i < 16; i++) {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
}

/* Claims a third of what is left of a range: the first of them, from which `claimed` go on; or -1. */
static int64_t claim(range *r, int own, int64_t *claimed) {
    unsigned long long old = atomic_load(&r->unclaimed);
    for (;;) {
        int64_t first = (int64_t)(old >> 32), end = (int64_t)(old & UINT32_MAX), share = (end - first + 2) / 3;
        if (first >= end) return -1;
        unsigned long long rest = own ? (unsigned long long)(first + share) << 32 | (unsigned long long)end
                                      : (unsigned long long)first << 32 | (unsigned long long)(end - share);
        if (!atomic_compare_exchange_weak(&r->unclaimed, &old, rest)) continue;
        *claimed = share;
        return own ? first : end - share;
    }
}

/* Does tasks of a slot until all are claimed, those of range `home` first; returns whether there were any. */
static int work_on(slot *s, int home) {
    int worked = 0;
    for (int i = 0, threads = atomic_load(&s->threads); i < threads; i++) {
        int at = (home + i) % threads;
        int64_t first, claimed;
        while ((first = claim(&s->ranges[at], i == 0, &claimed)) >= 0) {
            int64_t from = first * s->unit, to = (first + claimed) * s->unit, count = s->count;
            if (to > count) to = count;
            int status = run(s->body, s->context, from, to);
            if (status) atomic_store(&s->status, status);
            worked = 1;
            if (atomic_fetch_add(&s->done, to - from) + to - from == count && atomic_load(&s->sleeps)) {
                pthread_mutex_lock(&pool.mutex);
                pthread_cond_signal(&s->finished);
                pthread_mutex_unlock(&pool.mutex);
            }
        }
    }
    return worked;
}

static int work_on_any(int worker) {
    int worked = 0;
    for (int i = 0; i < SLOTS; i++) {
        int threads = atomic_load(&slots[i].threads);
        if (threads < 2) continue;
        int seats = atomic_load(&slots[i].seats);
        while (seats > 0 && !atomic_compare_exchange_weak(&slots[i].seats, &seats, seats - 1)) continue;
        if (seats > 0) worked |= work_on(&slots[i], 1 + worker % (threads - 1));
    }
    return worked;
}

static void *worker(void *number) {
    int self = (int)(intptr_t)number;
    unsigned seen = atomic_load(&pool.jobs);
    int64_t since = now_ns();
    for (;;) {
        if (work_on_any(self)) {
            since = now_ns();
            continue;
        }
        unsigned jobs = atomic_load(&pool.jobs);
        if (jobs != seen) {
            seen = jobs, since = now_ns();
        } else if (now_ns() - since < SPIN_NS) {
            relax();
        } else {
            pthread_mutex_lock(&pool.mutex);
            atomic_fetch_add(&pool.sleepers, 1);
            while (atomic_load(&pool.jobs) == seen) pthread_cond_wait(&pool.work, &pool.mutex);
            atomic_fetch_sub(&pool.sleepers, 1);
            pthread_mutex_unlock(&pool.mutex);
        }
    }
    return NULL;
}

/* Creates workers until there are so many, or until the system gives none: the caller does what is left. */
static void have_workers(int wanted) {
    if (wanted > MOST_WORKERS) wanted = MOST_WORKERS;
    if (atomic_load(&pool.workers) >= wanted) return;
    pthread_mutex_lock(&pool.mutex);
    sigset_t all, before; /* signals are for the program's own threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (atomic_load(&pool.workers) < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(intptr_t)atomic_load(&pool.workers))) break;
        pthread_detach(thread);
        atomic_fetch_add(&pool.workers, 1);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_mutex_unlock(&pool.mutex);
}

static void wake_workers(int wanted) {
    atomic_fetch_add(&pool.jobs, 1);
    if (!atomic_load(&pool.sleepers)) return;
    pthread_mutex_lock(&pool.mutex);
    for (int i = 0; i < wanted; i++) pthread_cond_signal(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
}

static void join(slot *s) {
    int64_t since = now_ns();
    while (atomic_load(&s->done) < s->count) {
        if (now_ns() - since < JOIN_SPIN_NS) {
            relax();
            continue;
        }
        pthread_mutex_lock(&pool.mutex);
        atomic_store(&s->sleeps, 1);
        while (atomic_load(&s->done) < s->count) pthread_cond_wait(&s->finished, &pool.mutex);
        atomic_store(&s->sleeps, 0);
        pthread_mutex_unlock(&pool.mutex);
    }
}

int fc_parallel(int64_t count, int threads, fc_body body, const void *context) {
    pthread_once(&once, set_up);
    if (count < threads) threads = (int)count;
    slot *s = NULL;
    for (int i = 0; threads > 1 && i < SLOTS && !s; i++)
        if (!atomic_flag_test_and_set(&slots[i].taken)) s = &slots[i];
    if (!s) return run(body, context, 0, count);
    have_workers(threads - 1);
    if (threads > FC_MOST_THREADS) threads = FC_MOST_THREADS;
    s->body = body, s->context = context, s->count = count, s->unit = (count >> 31) + 1;
    int64_t units = (count + s->unit - 1) / s->unit;
    atomic_store(&s->done, 0), atomic_store(&s->status, 0);
    for (int64_t i = 0; i < threads; i++) {
        unsigned long long first = (unsigned long long)(units * i / threads),
                           end = (unsigned long long)(units * (i + 1) / threads);
        atomic_store(&s->ranges[i].unclaimed, first << 32 | end);
    }
    atomic_store(&s->threads, threads),
        atomic_store(&s->seats, threads - 1); /* in this order: a seat is for these threads */
    wake_workers(threads - 1);
    work_on(s, 0);
    join(s);
    atomic_store(&s->threads, 0);
    int status = atomic_load(&s->status);
    atomic_flag_clear(&s->taken);
    return status;
}

/* ---- all at once ---- */
enum { PATIENCE_NS = 20000000, TOGETHER_NS = 2000000000 };

typedef struct {
    fc_body body;
    const void *context;
    int threads;
    atomic_int arrived;
    atomic_llong first, last; /* start and end */
#ifdef __linux__
    pthread_mutex_t mutex;
    cpu_set_t taken;
#endif
} gathering;

#ifdef __linux__
/* Leaves a processor that another of these threads has: where two begin on the same, the system may take longer to
 * separate them than all of their work does. */
static void stand_apart(gathering *g, const cpu_set_t *allowed) {
    pthread_mutex_lock(&g->mutex);
    if (CPU_ISSET(sched_getcpu(), &g->taken)) {
        cpu_set_t others = *allowed;
        for (int i = 0; i < CPU_SETSIZE; i++)
            if (CPU_ISSET(i, &g->taken)) CPU_CLR(i, &others);
        if (CPU_COUNT(&others)) sched_setaffinity(0, sizeof others, &others);
    }
    CPU_SET(sched_getcpu(), &g->taken);
    pthread_mutex_unlock(&g->mutex);
}
#endif

/* A thread that waits keeps its processor: one that gives it away may get it back long after the others have begun. */
static int start_together(gathering *g, int64_t task) {
    atomic_fetch_add(&g->arrived, 1);
    for (int64_t since = now_ns(), waited; atomic_load(&g->arrived) < g->threads;) {
        waited = now_ns() - since;
        if (waited > TOGETHER_NS) return FC_NOT_TOGETHER;
        if (waited > PATIENCE_NS) sched_yield();
        relax();
    }
    long long start = now_ns(), known = atomic_load(&g->first);
    while (start < known && !atomic_compare_exchange_weak(&g->first, &known, start)) continue;
    int status = g->body(g->context, task, task + 1);
    long long stop = now_ns();
    known = atomic_load(&g->last);
    while (stop > known && !atomic_compare_exchange_weak(&g->last, &known, stop)) continue;
    return status;
}

/* A thread stays in its task until all have one, so that each gets one. */
static int gather(const void *context, int64_t begin, int64_t end) {
    gathering *g = *(gathering *const *)context;
    if (end - begin > 1) return FC_NOT_TOGETHER; /* it is alone */
#ifdef __linux__
    cpu_set_t allowed;
    int known = !sched_getaffinity(0, sizeof allowed, &allowed);
    if (known) stand_apart(g, &allowed);
    int status = start_together(g, begin);
    if (known) sched_setaffinity(0, sizeof allowed, &allowed);
    return status;
#else
    return start_together(g, begin);
#endif
}

int fc_together(int threads, fc_body body, const void *context, double *seconds) {
    gathering g = {.body = body, .context = context, .threads = threads, .first = INT64_MAX}, *all = &g;
#ifdef __linux__
    pthread_mutex_init(&g.mutex, NULL);
#endif
    int status = fc_parallel(threads, threads, gather, &all);
    *seconds = (double)(atomic_load(&g.last) - atomic_load(&g.first)) * 1e-9;
    return status;
}
