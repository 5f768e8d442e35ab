/* Slots of tasks: published by a call, claimed by threads, and waited for at the end. */
#include "base/slots.h"

#include "base/clock.h"
#include "base/watch.h"

enum { JOIN_SPIN_NS = 200000 };

slot fc_slots[FC_SLOTS] = {[0 ... FC_SLOTS - 1] = {.taken = ATOMIC_FLAG_INIT, .finished = PTHREAD_COND_INITIALIZER}};
static pthread_mutex_t ends = PTHREAD_MUTEX_INITIALIZER; /* of callers that sleep */

slot *fc_take_slot(void) {
    for (int i = 0; i < FC_SLOTS; i++)
        if (!atomic_flag_test_and_set(&fc_slots[i].taken)) return &fc_slots[i];
    return NULL;
}

void fc_publish(slot *s, int64_t count, double cycles, int threads, int seats, fc_body body, const void *context) {
    s->body = body, s->context = context, s->count = count, s->unit = (count >> 31) + 1;
    int64_t units = (count + s->unit - 1) / s->unit;
    int64_t first_units = fc_begin_to_watch(cycles) ? fc_first_tasks(units, cycles) : INT64_MAX;
    atomic_store(&s->done, 0), atomic_store(&s->status, 0), atomic_store(&s->end, 0),
        atomic_store(&s->first_tasks, first_units);
    for (int64_t i = 0; i < threads; i++) {
        unsigned long long first = (unsigned long long)(units * i / threads),
                           end = (unsigned long long)(units * (i + 1) / threads);
        atomic_store(&s->ranges[i].unclaimed, first << 32 | end);
    }
    atomic_store(&s->threads, threads), atomic_store(&s->seats, seats); /* in this order: a seat is for these threads */
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

int fc_work_on(slot *s, int home) {
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
            int status = watched ? fc_run_watched(&s->end, s->body, s->context, from, to)
                                 : fc_run(s->body, s->context, from, to);
            if (status) atomic_store(&s->status, status);
            if (watched && p.tasks) fc_keep_pace(&p);
            worked = 1;
            if (atomic_fetch_add(&s->done, to - from) + to - from == count && atomic_load(&s->sleeps)) {
                pthread_mutex_lock(&ends);
                pthread_cond_signal(&s->finished);
                pthread_mutex_unlock(&ends);
            }
        }
    }
    return worked;
}

int fc_finish(slot *s) {
    int64_t since = now_ns();
    unsigned turns = 0;
    while (atomic_load(&s->done) < s->count) {
        if (now_ns() - since < JOIN_SPIN_NS) {
            wait_a_turn(&turns);
            continue;
        }
        pthread_mutex_lock(&ends);
        atomic_store(&s->sleeps, 1);
        while (atomic_load(&s->done) < s->count) pthread_cond_wait(&s->finished, &ends);
        atomic_store(&s->sleeps, 0);
        pthread_mutex_unlock(&ends);
    }
    atomic_store(&s->threads, 0);
    int end = atomic_load(&s->end), status = end ? end : atomic_load(&s->status);
    atomic_flag_clear(&s->taken);
    return status;
}

void fc_slots_in_child(void) {
    ends = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    for (int i = 0; i < FC_SLOTS; i++) {
        slot *s = &fc_slots[i];
        s->finished = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
        atomic_store(&s->threads, 0), atomic_store(&s->seats, 0), atomic_store(&s->sleeps, 0);
        atomic_flag_clear(&s->taken);
    }
}
