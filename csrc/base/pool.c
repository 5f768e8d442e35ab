/* Threads that claim their work: workers look for slots with tasks, spin for a while after a job, then sleep. A call
 * works on its tasks itself, and waits at the end for those alone that another thread has claimed. So a thread that the
 * system does not let run delays nobody, unless it is stopped amid a task; then the caller sleeps, and leaves it its
 * core. */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/slots.h"

enum { MOST_WORKERS = FC_MOST_THREADS - 1, SPIN_NS = 200000 };

/* A job of fewer cycles is over by the time that a sleeping thread has come, and to wake one takes the caller about 8
 * microseconds: measured on Zen 5, in a virtual machine. */
static const double WORTH_WAKING = 3e5;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work;
    atomic_int workers, sleepers;
    atomic_uint jobs;           /* published so far */
    atomic_int_least64_t small; /* when the last job came that nobody was woken for */
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

void fc_pool_in_child(void) {
    pool.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER, pool.work = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    atomic_store(&pool.workers, 0), atomic_store(&pool.sleepers, 0);
}

static int work_on_any(int worker) {
    int worked = 0;
    for (int i = 0; i < FC_SLOTS; i++) {
        int threads = atomic_load(&fc_slots[i].threads);
        if (threads < 2) continue;
        int seats = atomic_load(&fc_slots[i].seats);
        while (seats > 0 && !atomic_compare_exchange_weak(&fc_slots[i].seats, &seats, seats - 1)) continue;
        if (seats > 0) worked |= fc_work_on(&fc_slots[i], 1 + worker % (threads - 1));
    }
    return worked;
}

static void *worker(void *number) {
    int self = (int)(intptr_t)number;
    unsigned seen = atomic_load(&pool.jobs);
    int64_t since = now_ns();
    unsigned turns = 0;
    for (;;) {
        if (work_on_any(self)) {
            since = now_ns();
            continue;
        }
        unsigned jobs = atomic_load(&pool.jobs);
        if (jobs != seen) {
            seen = jobs, since = now_ns();
        } else if (now_ns() - since < SPIN_NS) {
            wait_a_turn(&turns);
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

void fc_have_workers(int wanted) {
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

void fc_wake_workers(int wanted, double cycles) {
    atomic_fetch_add(&pool.jobs, 1);
    if (!atomic_load(&pool.sleepers)) return;
    if (cycles < WORTH_WAKING) {
        /* By itself such a job is left to its caller; where the next one follows soon, more will. */
        int64_t now = now_ns();
        if (now - atomic_exchange(&pool.small, now) > SPIN_NS) return;
    }
    pthread_mutex_lock(&pool.mutex);
    for (int i = 0; i < wanted; i++) pthread_cond_signal(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
}
