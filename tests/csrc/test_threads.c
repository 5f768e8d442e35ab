/* Jobs from several threads at once, in each layer of threads, plain and called off: for the thread sanitizer, which
 * sees the threads alone and none of the kernels. Prints a line for each layer; exit status 1 on a failure. */
#include <pthread.h>
#include <stdio.h>

#include "base/parallel.h"
#include "fastconv.h"
#include "layers.h"

enum { CALLERS = 3, ROUNDS = 200, MOST = 1000 };
static const double SHORT = 1e6, LONG = 1e8; /* cycles, as predicted; long jobs are watched */

typedef struct {
    const int64_t *from;
    int64_t *to;
} squares;

/* Not atomic: each number is read and written by whoever claims it, before and after by the caller. */
static int square(const void *context, int64_t begin, int64_t end) {
    const squares *job = context;
    int64_t *scratch = fc_workspace(FC_OWN, MOST * sizeof *scratch);
    if (!scratch) return FC_NO_MEMORY;
    for (int64_t i = begin; i < end; i++) {
        int status = fc_called_off();
        if (status) return status;
        scratch[i - begin] = job->from[i] * job->from[i];
    }
    for (int64_t i = begin; i < end; i++) job->to[i] = scratch[i - begin];
    return 0;
}

/* One job; 0 where its results are right or it was called off. */
static int run(int64_t count, double cycles, int threads, int status_allowed) {
    int64_t from[MOST], to[MOST] = {0};
    for (int64_t i = 0; i < count; i++) from[i] = i + threads;
    int status = fc_parallel(count, cycles, threads, square, &(squares){from, to}), wrong = 0;
    if (status) return status != status_allowed;
    for (int64_t i = 0; i < count; i++) wrong += to[i] != (i + threads) * (i + threads);
    return wrong;
}

static int asked, asked_wrong;

/* Makes a call itself; ends every fifth job. */
static int answer(void) {
    asked_wrong += run(50, SHORT, 3, 0);
    return ++asked % 5 == 0;
}

static void *call(void *failures) {
    for (int i = 0; i < ROUNDS; i++) *(int *)failures += run(1 + i * 7 % MOST, SHORT, 2 + i % 3, 0);
    return NULL;
}

static int check(const char *layer) {
    pthread_t callers[CALLERS];
    int failures[CALLERS] = {0}, sum = 0;
    for (int i = 0; i < CALLERS; i++) pthread_create(&callers[i], NULL, call, &failures[i]);
    fc_ask_in_long_calls(answer, (unsigned long)pthread_self(), 1);
    asked = asked_wrong = 0;
    for (int i = 0; i < ROUNDS; i++) sum += run(1 + i * 7 % MOST, LONG, 2 + i % 3, FC_INTERRUPTED);
    fc_ask_in_long_calls(NULL, 0, 0);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL), sum += failures[i];
    sum += asked_wrong + (asked < 5);
    printf("%s: asked %d times, %d failures so far\n", layer, asked, sum);
    return sum;
}

int main(void) { return check_layers(check) != 0; }
