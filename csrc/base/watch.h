/* Runs tasks on the thread that calls, with subnormal numbers flushed, and lets long jobs be called off. Called by
 * base/parallel.c and base/slots.c. */
#ifndef FC_WATCH_H
#define FC_WATCH_H

#include <stdatomic.h>

#include "base/parallel.h"

/* How many tasks are done between two looks at the clock: as many as take about a millisecond. */
typedef struct {
    int64_t tasks, since;
} pace;

/* As predicted, where all of `count` take so many cycles. */
int64_t fc_first_tasks(int64_t count, double cycles);
void fc_keep_pace(pace *p);

/* Tasks [from, to) of a job that nobody watches, or of one whose status to end with is `end`. */
int fc_run(fc_body body, const void *context, int64_t from, int64_t to);
int fc_run_watched(atomic_int *end, fc_body body, const void *context, int64_t from, int64_t to);

/* All tasks; those of a job within a job, which ends with it, too. */
int fc_run_alone(int64_t count, double cycles, fc_body body, const void *context);

/* Is this thread within a task of a watched job? */
int fc_is_watched(void);

/* Is a job of so many cycles to be watched? Then this thread begins to. */
int fc_begin_to_watch(double cycles);

/* Says whether other threads have parts of the job that this one works on. */
void fc_share(int shared);

/* How often this process, or one that it came from, has been forked off since the first call. */
unsigned fc_forks(void);

/* In the child: the thread that is left is the one to ask. */
void fc_watch_in_child(void);

#endif
