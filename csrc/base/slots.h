/* Tasks that several threads claim, wherever these come from. Called by base/parallel.c and base/pool.c. */
#ifndef FC_SLOTS_H
#define FC_SLOTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/parallel.h"
#include "fastconv.h"

enum { FC_SLOTS = 8 };

/* Tasks [first, end) that nobody has claimed, in one word: first << 32 | end. */
typedef struct {
    _Alignas(64) atomic_ullong unclaimed;
} range;

/* Where a call publishes its tasks. Every thread has a range of its own, the same one in every call like this, so that
 * it finds in its cache what it wrote in the last one. It claims from the front, ever fewer tasks at once; when nothing
 * is left there, from the back of the others' ("work stealing"). A claim is a compare-and-swap; what is not atomic may
 * be read after it: the slot is not used again before all that was claimed is done. */
typedef struct {
    atomic_flag taken;
    atomic_llong done;
    atomic_int threads,
        seats; /* that share the tasks, 0 when there are none; workers of the pool that may still join */
    atomic_int status, sleeps; /* of the caller: does it sleep? */
    atomic_int end;            /* the status to end with where somebody calls the job off */
    atomic_llong first_tasks;  /* how much is claimed at once at first; INT64_MAX if nobody watches the job */
    int64_t count, unit;       /* tasks; so many of them are claimed as one, to fit the word */
    fc_body body;
    const void *context;
    pthread_cond_t finished;
    range ranges[FC_MOST_THREADS];
} slot;

extern slot fc_slots[FC_SLOTS];

/* A slot that nobody uses, or NULL. */
slot *fc_take_slot(void);

/* Puts a job for so many threads into it, of which `seats` are the pool's workers. */
void fc_publish(slot *s, int64_t count, double cycles, int threads, int seats, fc_body body, const void *context);

/* Does tasks of a slot until all are claimed, those of range `home`, modulo the threads, first; returns whether there
 * were any. */
int fc_work_on(slot *s, int home);

/* Waits for those tasks that another thread has claimed, and gives the slot back; the job's status. */
int fc_finish(slot *s);

/* In a child of fork(): nobody uses a slot, not even who has one. */
void fc_slots_in_child(void);

#endif
