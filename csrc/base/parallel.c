/* Threads that claim their work: a call publishes its tasks in a slot, works on them itself, and waits at the end for
 * those tasks alone that another thread has claimed. Workers spin for a while after a job, then sleep. So a thread that
 * the system does not let run delays nobody, unless it is stopped amid a task; then the caller sleeps, and leaves it
 * its core. OpenMP cannot do that: the barrier at the end of a parallel region waits for every thread of the team,
 * working or not. */
#define _GNU_SOURCE
#include "base/parallel.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
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
static fp_mode fp_now(void) { return _mm_getcsr(); }
static void restore(fp_mode mode) { _mm_setcsr(mode); }
static fp_mode flushing(fp_mode mode) { return mode | 0x8040; } /* flush to zero, subnormals are zero */
#elif defined(__aarch64__)
typedef uint64_t fp_mode;
static fp_mode fp_now(void) {
    fp_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void restore(fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
static fp_mode flushing(fp_mode mode) { return mode | UINT64_C(1) << 24; }
#else
typedef int fp_mode;
static fp_mode fp_now(void) { return 0; }
static void restore(fp_mode mode) { (void)mode; }
static fp_mode flushing(fp_mode mode) { return mode; }
#endif

static int run(fc_body body, const void *context, int64_t begin, int64_t end) {
    fp_mode mode = fp_now();
    restore(flushing(mode));
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

/* ---- interruption ----
 * Who is asked may do anything, and also make calls: so the thread's own state is put aside. The clock is looked at
 * between tasks, or parts of them, of about GRAIN_NS. */
enum { CALL_NS = 5000000, GRAIN_NS = 1000000 };
static const double LONG_CYCLES = 3e6; /* from which on a job is watched; it can be cut into as many parts of a cycle */

static struct {
    int (*ask)(void);
    pthread_t thread;
    int64_t every;
} asked;
static atomic_uint forks;

typedef struct {
    atomic_int *end; /* where the job that this thread works on has the status to end with; NULL if nobody watches it */
    int shared;      /* have other threads parts of it? */
    int64_t seen, asked; /* when this thread last looked at the clock, and asked */
    fp_mode mode;        /* outside of the job */
} watch;

static _Thread_local watch self;

void fc_ask_in_long_calls(int (*ask)(void), unsigned long thread, int64_t every) {
    asked.thread = (pthread_t)thread, asked.every = every;
    asked.ask = ask;
}

static int may_ask(void) { return asked.ask && pthread_equal(pthread_self(), asked.thread); }

static void ask_now(void) {
    workspaces *own = pthread_getspecific(key);
    fp_mode mode = fp_now();
    unsigned before = atomic_load(&forks);
    watch kept = self;
    pthread_setspecific(key, NULL);
    self = (watch){.seen = kept.seen, .asked = kept.asked};
    restore(kept.mode);
    int end = asked.ask();
    restore(mode);
    workspaces *used = pthread_getspecific(key);
    if (used) release(used);
    pthread_setspecific(key, own);
    self = kept;
    self.seen = self.asked = now_ns();
    if (end)
        atomic_store(self.end, FC_INTERRUPTED);
    else if (self.shared && atomic_load(&forks) != before)
        atomic_store(self.end, FC_FORKED);
}

int fc_called_off(void) {
    if (!self.end) return 0;
    if (!atomic_load_explicit(self.end, memory_order_relaxed) && may_ask()) {
        self.seen = now_ns();
        if (self.seen - self.asked >= asked.every) ask_now();
    }
    return atomic_load(self.end);
}

/* Where this thread has been away for a while, a call begins, which may be over soon. */
static void begin_to_watch(void) {
    int64_t now = now_ns();
    int64_t latest = now - asked.every / 2;
    if (now - self.seen > CALL_NS && self.asked < latest) self.asked = latest;
    self.seen = now;
    self.mode = fp_now();
}

/* How many tasks are done between two looks at the clock: as many as take about GRAIN_NS. */
typedef struct {
    int64_t tasks, since;
} pace;

/* As predicted. */
static int64_t first_tasks(int64_t count, double cycles) {
    double share = 1e6 / (cycles + 1);
    return share < 1 ? (int64_t)((double)count * share) + 1 : count;
}

static void keep_pace(pace *p) {
    int64_t now = now_ns(), took = now - p->since;
    if (took < GRAIN_NS / 2 && p->tasks < INT64_MAX / 2) p->tasks *= 2;
    if (took > 2 * GRAIN_NS && p->tasks > 1) p->tasks /= 2;
    p->since = now;
}

static int run_watched(atomic_int *end, fc_body body, const void *context, int64_t from, int64_t to) {
    atomic_int *before = self.end;
    self.end = end;
    int status = atomic_load(end);
    if (!status) status = run(body, context, from, to);
    if (!status) status = fc_called_off();
    self.end = before;
    return status;
}

/* All tasks on this thread. */
static int run_alone(int64_t count, double cycles, fc_body body, const void *context) {
    if (!self.end && (cycles < LONG_CYCLES || !may_ask())) return run(body, context, 0, count);
    atomic_int own = 0, *end = self.end ? self.end : &own; /* a job within a job ends with it */
    if (!self.end) begin_to_watch();
    pace p = {first_tasks(count, cycles), now_ns()};
    int status = 0;
    for (int64_t from = 0, to; from < count && !status; from = to, keep_pace(&p)) {
        to = count - from < p.tasks ? count : from + p.tasks;
        status = run_watched(end, body, context, from, to);
    }
    return atomic_load(end) ? atomic_load(end) : status;
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
    atomic_int end;            /* the status to end with where somebody calls the job off */
    atomic_llong first_tasks;  /* how much is claimed at once at first; INT64_MAX if nobody watches the job */
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
    atomic_fetch_add(&forks, 1);
    asked.thread = pthread_self(); /* the only one there is */
    pool.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER, pool.work = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    atomic_store(&pool.workers, 0), atomic_store(&pool.sleepers, 0);
    for (int i = 0; i < SLOTS; i++) {
        slots[i].finished = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        atomic_store(&slots[i].threads, 0), atomic_store(&slots[i].seats, 0), atomic_store(&slots[i].sleeps, 0);
        atomic_flag_clear(&slots[i].taken);
    }
}

/* Claims a third of what is left of a range, at most so many: the first of them, from which `claimed` go on; or -1. */
static int64_t claim(range *r, int own, int64_t most, int64_t *claimed) {
    unsigned long long old = atomic_load(&r->unclaimed);
    for (;;) {
        int64_t first = (int64_t)(old >> 32), end = (int64_t)(old & UINT32_MAX), share = (end - first + 2) / 3;
        if (first >= end) return -1;
        if (share > most) share = most;
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
    pace p = {0, 0};
    for (int i = 0, threads = atomic_load(&s->threads); i < threads; i++) {
        int at = (home + i) % threads;
        int64_t first, claimed;
        for (;;) {
            int64_t most = atomic_load(&s->first_tasks);
            if (most != INT64_MAX && !p.tasks) p = (pace){most, now_ns()};
            first = claim(&s->ranges[at], i == 0, most == INT64_MAX ? most : p.tasks, &claimed);
            if (first < 0) break;
            int watched = atomic_load(&s->first_tasks) != INT64_MAX; /* of the job that the claim is of */
            int64_t from = first * s->unit, to = (first + claimed) * s->unit, count = s->count;
            if (to > count) to = count;
            int status =
                watched ? run_watched(&s->end, s->body, s->context, from, to) : run(s->body, s->context, from, to);
            if (status) atomic_store(&s->status, status);
            if (watched && p.tasks) keep_pace(&p);
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

int fc_parallel(int64_t count, double cycles, int threads, fc_body body, const void *context) {
    pthread_once(&once, set_up);
    threads = fc_worth(cycles, threads);
    if (count < threads) threads = (int)count;
    slot *s = NULL;
    for (int i = 0; threads > 1 && !self.end && i < SLOTS && !s; i++)
        if (!atomic_flag_test_and_set(&slots[i].taken)) s = &slots[i];
    if (!s) return run_alone(count, cycles, body, context);
    have_workers(threads - 1);
    if (threads > FC_MOST_THREADS) threads = FC_MOST_THREADS;
    s->body = body, s->context = context, s->count = count, s->unit = (count >> 31) + 1;
    int64_t units = (count + s->unit - 1) / s->unit, first_units = INT64_MAX;
    if (cycles >= LONG_CYCLES && may_ask()) {
        begin_to_watch();
        first_units = first_tasks(units, cycles);
    }
    unsigned before = atomic_load(&forks);
    atomic_store(&s->done, 0), atomic_store(&s->status, 0), atomic_store(&s->end, 0),
        atomic_store(&s->first_tasks, first_units);
    for (int64_t i = 0; i < threads; i++) {
        unsigned long long first = (unsigned long long)(units * i / threads),
                           end = (unsigned long long)(units * (i + 1) / threads);
        atomic_store(&s->ranges[i].unclaimed, first << 32 | end);
    }
    atomic_store(&s->threads, threads),
        atomic_store(&s->seats, threads - 1); /* in this order: a seat is for these threads */
    wake_workers(threads - 1);
    self.shared = 1;
    work_on(s, 0);
    self.shared = 0;
    if (atomic_load(&forks) != before) return atomic_load(&s->end); /* in the child, where the slot is as new */
    join(s);
    atomic_store(&s->threads, 0);
    int end = atomic_load(&s->end), status = end ? end : atomic_load(&s->status);
    atomic_flag_clear(&s->taken);
    return status;
}
