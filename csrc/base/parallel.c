/* Shares the tasks of a job among threads of one of two layers: the pool (base/pool.c), or OpenMP (base/openmp.c). Both
 * claim tasks from a slot (base/slots.c), and run them in the same way (base/watch.c); they differ in how threads come
 * to a slot, and leave it. A worker of the pool that has claimed nothing is not waited for. The end of a parallel
 * region of OpenMP waits for every thread of the team, working or not. */
#include "base/parallel.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/pool.h"
#include "base/slots.h"
#include "base/team.h"
#include "base/watch.h"

/* By this name threadpoolctl tells the engine from other libraries (settings/threadpool.py). */
__attribute__((visibility("default"))) const int fastconv_most_threads = FC_MOST_THREADS;

static _Atomic(const fc_team *) chosen; /* NULL: the pool */

/* Neither the pool's threads nor OpenMP's survive fork(). The pool begins anew. OpenMP's library may not notice, and
 * wait for them for ever. */
static void in_child(void) {
    atomic_store(&chosen, NULL);
    fc_watch_in_child(), fc_slots_in_child(), fc_pool_in_child();
}

static void set_up(void) { pthread_atfork(NULL, NULL, in_child); }

static pthread_once_t once = PTHREAD_ONCE_INIT;

void fc_use_pool(void) { atomic_store(&chosen, NULL); }

const char *fc_use_openmp(const char *path) {
    pthread_once(&once, set_up);
    if (fc_forks()) return "this process is a child of fork(), in which OpenMP's threads are missing";
    const char *reason = NULL;
    const fc_team *team = fc_load_team(path, &reason);
    if (team) atomic_store(&chosen, team);
    return reason;
}

int fc_uses_openmp(void) { return atomic_load(&chosen) != NULL; }

/* Measured on Zen 5, workers spinning: 14,000 cycles take 2.9 microseconds on one thread and 2.6 on two. */
int fc_worth(double cycles, int threads) {
    double worth = 1 + cycles / 12000;
    return worth < threads ? (int)worth : threads;
}

/* Where a thread goes on that has called a team, if it is alone in a child of fork(). */
typedef struct {
    unsigned forks; /* as the call began */
    jmp_buf child;
} way_out;

static _Thread_local way_out *caller;

/* What a member reads first is atomic: so no thread depends on how OpenMP's library hands it over. */
static void do_member(void *tasks, int i) {
    fc_work_on(tasks, i);
    /* A handler of a signal has forked within a task: in the child, nobody else will come to the region's end. */
    if (caller && fc_forks() != caller->forks) longjmp(caller->child, 1);
}

static void work_in_team(const fc_team *team, slot *s, int threads) {
    way_out *before = caller, own = {.forks = fc_forks()};
    caller = &own;
    if (!setjmp(own.child)) team->work(threads, do_member, s);
    caller = before;
}

static int share(int64_t count, double cycles, int threads, fc_body body, const void *context, const fc_team *team) {
    pthread_once(&once, set_up);
    slot *s = threads > 1 && !fc_is_watched() ? fc_take_slot() : NULL;
    if (!s) return fc_run_alone(count, cycles, body, context);
    unsigned before = fc_forks();
    if (!team) fc_have_workers(threads - 1);
    fc_publish(s, count, cycles, threads, team ? 0 : threads - 1, body, context);
    fc_share(1);
    if (team) {
        work_in_team(team, s, threads);
    } else {
        fc_wake_workers(threads - 1, cycles);
        fc_work_on(s, 0);
    }
    fc_share(0);
    if (fc_forks() != before) return atomic_load(&s->end); /* in the child, where the slot is as new */
    return fc_finish(s);
}

static int threads_for(int64_t count, double cycles, int threads) {
    threads = fc_worth(cycles, threads);
    if (threads > FC_MOST_THREADS) threads = FC_MOST_THREADS;
    return count < threads ? (int)count : threads;
}

int fc_parallel(int64_t count, double cycles, int threads, fc_body body, const void *context) {
    threads = threads_for(count, cycles, threads);
    const fc_team *team = threads > 1 ? atomic_load(&chosen) : NULL;
    if (team && team->most() < threads) threads = team->most();
    return share(count, cycles, threads, body, context, team);
}

int fc_parallel_in_pool(int64_t count, double cycles, int threads, fc_body body, const void *context) {
    return share(count, cycles, threads_for(count, cycles, threads), body, context, NULL);
}
