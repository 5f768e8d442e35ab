/* Long calls that are asked whether they are to end: they go on, or end soon, and afterwards the next one is right.
 * Prints a line for each instruction set and layer of threads; exit status 1 on a failure. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"

static float *fill(int64_t count) {
    float *array = malloc((size_t)count * sizeof *array);
    for (int64_t i = 0; i < count; i++) array[i] = (float)(i * 37 % 101) / 101 - 0.5f;
    return array;
}

/* The kernel that takes them. */
static int kernel(void) {
    int k = 0;
    while (strcmp(fc_conv_kernel_name(k), "direct_channels")) k++;
    return k;
}

/* A convolution of some milliseconds, whose results are to be `want`. */
typedef struct {
    fc_conv p;
    void *x, *packed;
    float *out, *want;
} long_conv;

static long_conv open_long(int64_t channels, int64_t size) {
    long_conv c = {.p = {.batch = 1,
                         .channels = channels,
                         .height = size,
                         .width = size,
                         .filters = channels,
                         .kernel_h = 3,
                         .kernel_w = 3,
                         .stride_h = 1,
                         .stride_w = 1,
                         .dilation_h = 1,
                         .dilation_w = 1,
                         .groups = 1,
                         .out_height = size - 2,
                         .out_width = size - 2}};
    void *w = fill(channels * channels * 9);
    c.x = fill(channels * size * size), c.out = fill(channels * size * size);
    c.want = fill(channels * size * size);
    c.packed = aligned_alloc(64, (fc_conv_weight_bytes(&c.p, kernel()) + 127) & ~(size_t)63);
    fc_epilogue e = {.activation = FC_LINEAR};
    fc_conv_prepare(&c.p, kernel(), w, c.packed, 1);
    fc_conv_run(&c.p, kernel(), c.x, c.packed, &e, c.want, 1);
    free(w);
    return c;
}

static int run_long(const long_conv *c, int threads) {
    fc_epilogue e = {.activation = FC_LINEAR};
    return fc_conv_run(&c->p, kernel(), c->x, c->packed, &e, c->out, threads);
}

static int is_right(const long_conv *c) {
    size_t bytes = (size_t)(c->p.filters * c->p.out_height * c->p.out_width) * sizeof(float);
    return !memcmp(c->out, c->want, bytes);
}

static void close_long(const long_conv *c) { free(c->x), free(c->packed), free(c->out), free(c->want); }

static struct {
    int count, answer, wrong;
    long_conv inner;
} asked;

/* Convolves itself, with what memory it finds. */
static int answer(void) {
    asked.count++;
    asked.wrong += run_long(&asked.inner, 2) || !is_right(&asked.inner);
    return asked.answer;
}

/* Calls that are asked and go on, then some that end, then one that is not disturbed. */
static int check(void) {
    long_conv c = open_long(64, 64);
    asked.inner = open_long(16, 30), asked.wrong = 0;
    fc_ask_in_long_calls(answer, (unsigned long)pthread_self(), 1000000);
    int failures = 0;
    for (int threads = 1; threads <= 3; threads++) {
        asked.answer = asked.count = 0;
        for (int i = 0; i < 1000 && asked.count < 2; i++) failures += run_long(&c, threads) || !is_right(&c);
        int status = 0;
        asked.answer = 1;
        for (int i = 0; i < 1000 && !status; i++) status = run_long(&c, threads);
        asked.answer = 0;
        if (asked.count < 3 || asked.wrong || status != FC_INTERRUPTED || run_long(&c, threads) || !is_right(&c)) {
            printf("interruption: %d threads, asked %d times, status %d\n", threads, asked.count, status);
            failures++;
        }
    }
    fc_ask_in_long_calls(NULL, 0, 0);
    close_long(&c), close_long(&asked.inner);
    return failures;
}

static int check_layer(const char *layer) {
    int failures = 0;
    for (int isa = 0; isa < fc_isa_count(); isa++) {
        if (!fc_isa_runs_here(isa)) continue;
        fc_select_isa(isa);
        failures += check();
        printf("%s, %s: %d failures so far\n", fc_isa_name(isa), layer, failures);
    }
    return failures;
}

int main(void) {
    int failures = check_layer("pool");
#ifdef OPENMP_LAYER /* the path of its shared object */
    const char *reason = fc_use_openmp(OPENMP_LAYER);
    if (reason) printf("OpenMP: %s\n", reason);
    failures += reason ? 1 : check_layer("OpenMP");
#endif
    return failures != 0;
}
