/* Tasks on one thread: subnormal numbers are flushed within, and whoever wants to end a long job is asked.
 *
 * Who is asked may do anything, and also make calls: so the thread's own state is put aside. The clock is looked at
 * between tasks, or parts of them, of about GRAIN_NS. */
#include "base/watch.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/fp_mode.h"
#include "base/workspace.h"
#include "fastconv.h"

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

void fc_watch_in_child(void) {
    atomic_fetch_add(&forks, 1);
    asked.thread = pthread_self(); /* the only one there is */
}

unsigned fc_forks(void) { return atomic_load(&forks); }

int fc_is_watched(void) { return self.end != NULL; }

void fc_share(int shared) { self.shared = shared; }

static int may_ask(void) { return asked.ask && pthread_equal(pthread_self(), asked.thread); }

static void ask_now(void) {
    fp_mode mode = fp_now();
    unsigned before = fc_forks();
    watch kept = self;
    void *aside = fc_put_workspaces_aside();
    self = (watch){.seen = kept.seen, .asked = kept.asked};
    fp_restore(kept.mode);
    int end = asked.ask();
    fp_restore(mode);
    fc_give_workspaces_back(aside);
    self = kept;
    self.seen = self.asked = now_ns();
    if (end)
        atomic_store(self.end, FC_INTERRUPTED);
    else if (self.shared && fc_forks() != before)
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
int fc_begin_to_watch(double cycles) {
    if (cycles < LONG_CYCLES || !may_ask()) return 0;
    int64_t now = now_ns();
    int64_t latest = now - asked.every / 2;
    if (now - self.seen > CALL_NS && self.asked < latest) self.asked = latest;
    self.seen = now;
    self.mode = fp_now();
    return 1;
}

int64_t fc_first_tasks(int64_t count, double cycles) {
    double share = 1e6 / (cycles + 1);
    return share < 1 ? (int64_t)((double)count * share) + 1 : count;
}

void fc_keep_pace(pace *p) {
    int64_t now = now_ns(), took = now - p->since;
    if (took < GRAIN_NS / 2 && p->tasks < INT64_MAX / 2) p->tasks *= 2;
    if (took > 2 * GRAIN_NS && p->tasks > 1) p->tasks /= 2;
    p->since = now;
}

int fc_run(fc_body body, const void *context, int64_t from, int64_t to) {
    fp_mode mode = fp_now();
    fp_restore(fp_flushing(mode));
    int status = body(context, from, to);
    fp_restore(mode);
    return status;
}

int fc_run_watched(atomic_int *end, fc_body body, const void *context, int64_t from, int64_t to) {
    atomic_int *before = self.end;
    self.end = end;
    int status = atomic_load(end);
    if (!status) status = fc_run(body, context, from, to);
    if (!status) status = fc_called_off();
    self.end = before;
    return status;
}

int fc_run_alone(int64_t count, double cycles, fc_body body, const void *context) {
    atomic_int own = 0, *end = self.end;
    if (!end) {
        if (!fc_begin_to_watch(cycles)) return fc_run(body, context, 0, count);
        end = &own;
    }
    pace p = {fc_first_tasks(count, cycles), now_ns()};
    int status = 0;
    for (int64_t from = 0, to; from < count && !status; from = to, fc_keep_pace(&p)) {
        to = count - from < p.tasks ? count : from + p.tasks;
        status = fc_run_watched(end, body, context, from, to);
    }
    return atomic_load(end) ? atomic_load(end) : status;
}
