/* Runs one task on each of several threads, all at the same time: for measuring what they can do together. Called by
 * dispatch.c. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "fastconv.h"

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
    int status = fc_parallel_in_pool(threads, INFINITY, threads, gather, &all);
    *seconds = (double)(atomic_load(&g.last) - atomic_load(&g.first)) * 1e-9;
    return status;
}
