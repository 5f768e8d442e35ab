/* Threads and their workspaces: the one place that knows threads. Called by every kernel. */
#ifndef FC_PARALLEL_H
#define FC_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

/* Does tasks [begin, end), and returns 0 or a status of fastconv.h. */
typedef int (*fc_body)(const void *context, int64_t begin, int64_t end);

/* Does tasks [0, count), in ranges that the calling thread and up to threads - 1 others claim: as many as so many
 * cycles of work in all are worth. Subnormal numbers are flushed to zero within, on every thread. A long job ends
 * early, with FC_INTERRUPTED, where the program wants that; its caller gives the status on at once. */
int fc_parallel(int64_t count, double cycles, int threads, fc_body body, const void *context);

/* The same on threads of the pool, also where those of OpenMP are chosen: for who needs as many as it asks for. */
int fc_parallel_in_pool(int64_t count, double cycles, int threads, fc_body body, const void *context);

/* 0, or the status with which this thread's task is to end where it is. Tasks that may take longer than 50 ms ask
 * between their steps: some nanoseconds in short jobs, about 30 in long ones. */
int fc_called_off(void);

/* After how many steps of so many cycles a task is to ask: some 100 microseconds. */
static inline int64_t fc_steps_between(double cycles) { return cycles < 3e5 ? (int64_t)(3e5 / (cycles + 1)) + 1 : 1; }

/* Does task i of `threads` on a thread of its own, all at the same time, and gives the seconds from the first's start
 * to the last's end; FC_NOT_TOGETHER where that cannot be had. At most FC_MOST_THREADS. */
int fc_together(int threads, fc_body body, const void *context, double *seconds);

/* This thread's scratch memory, aligned to a page, kept from call to call; NULL where there is none. A caller of
 * fc_parallel keeps what its threads share in a memory of its own, as one of them is the caller; and so does a task
 * that makes calls, of what it keeps meanwhile. */
enum { FC_OWN, FC_SHARED, FC_CHAIN };
void *fc_workspace(int which, size_t bytes);

/* How many threads, up to `threads`, are worth waking for work of so many cycles in all: for those who plan with that
 * number, as fc_parallel asks itself. */
int fc_worth(double cycles, int threads);

#endif
