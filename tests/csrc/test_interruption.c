/* Long calls that are asked whether they are to end: they go on, or end soon, and afterwards the next one is right.
 * Prints a line for each instruction set and layer of threads; exit status 1 on a failure. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastconv.h"
#include "layers.h"

static float *fill(int64_t count) {
    float *array = malloc((size_t)count * sizeof *array);
    for (int64_t i = 0; i < count; i++) array[i] = (float)(i * 37 % 101) / 101 - 0.5f;
    return array;
}

static int kernel_named(const char *name) {
    int k = 0;
    while (strcmp(fc_conv_kernel_name(k), name)) k++;
    return k;
}

/* The kernel that takes them. */
static int kernel(void) { return kernel_named("direct_channels"); }

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

/* ---- one plane, whose parts are long ---- */

enum { PLANE_HEIGHT = 12000, PLANE_WIDTH = 1200, ASKED_BEFORE_END = 10 };

/* Ends the call when there were more questions than it has parts. */
static int answer_late(void) { return ++asked.count == ASKED_BEFORE_END; }

static int convolve_plane(int kernel_size, const float *x, float *out) {
    fc_conv p = {.batch = 1,
                 .channels = 1,
                 .height = PLANE_HEIGHT,
                 .width = PLANE_WIDTH,
                 .filters = 1,
                 .kernel_h = kernel_size,
                 .kernel_w = kernel_size,
                 .stride_h = 1,
                 .stride_w = 1,
                 .pad_top = kernel_size / 2,
                 .pad_left = kernel_size / 2,
                 .dilation_h = 1,
                 .dilation_w = 1,
                 .groups = 1,
                 .out_height = PLANE_HEIGHT,
                 .out_width = PLANE_WIDTH};
    const float w[49] = {0};
    _Alignas(64) float packed[64];
    fc_epilogue e = {.activation = FC_LINEAR};
    int depthwise = kernel_named("depthwise");
    fc_conv_prepare(&p, depthwise, w, packed, 1);
    return fc_conv_run(&p, depthwise, x, packed, &e, out, 1);
}

static int pool_plane(int kernel_size, const float *x, float *out) {
    fc_windows w = {.kind = FC_SLIDING, .step = 1, .kernel = kernel_size, .stride = 1};
    fc_pool p = {.batch = 1,
                 .channels = 1,
                 .height = PLANE_HEIGHT,
                 .width = PLANE_WIDTH,
                 .rows = w,
                 .columns = w,
                 .type = FC_P_F32,
                 .reducer = FC_MAX};
    p.rows.size = PLANE_HEIGHT, p.rows.count = PLANE_HEIGHT - kernel_size + 1;
    p.columns.size = PLANE_WIDTH, p.columns.count = PLANE_WIDTH - kernel_size + 1;
    return fc_pool_run(&p, x, out, NULL, NULL, 1);
}

/* On one thread, which asks whenever it may: those who ask only between the parts of a plane come to no end before all
 * is done. */
static int check_one_plane(void) {
    static const struct {
        const char *name;
        int (*run)(int kernel_size, const float *x, float *out);
        int kernel_size;
    } calls[] = {{"depthwise", convolve_plane, 3},
                 {"depthwise", convolve_plane, 7},
                 {"max", pool_plane, 2},
                 {"max", pool_plane, 3}};
    const int64_t pixels = (int64_t)PLANE_HEIGHT * PLANE_WIDTH, late = pixels / 12; /* within the first part */
    float *x = calloc((size_t)pixels, sizeof *x), *out = calloc((size_t)pixels, sizeof *out);
    int failures = 0;
    fc_ask_in_long_calls(answer_late, (unsigned long)pthread_self(), 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        asked.count = 0, out[0] = out[late] = 1;
        int status = calls[i].run(calls[i].kernel_size, x, out);
        if (status == FC_INTERRUPTED && asked.count == ASKED_BEFORE_END && out[0] == 0 && out[late] == 1) continue;
        printf("one plane: %s of %d: asked %d times, status %d, the first row is %sdone, a late one %sdone\n",
               calls[i].name, calls[i].kernel_size, asked.count, status, out[0] ? "not " : "", out[late] ? "not " : "");
        failures++;
    }
    fc_ask_in_long_calls(NULL, 0, 0);
    free(x), free(out);
    return failures;
}

static int check_layer(const char *layer) {
    int failures = 0;
    for (int isa = 0; isa < fc_isa_count(); isa++) {
        if (!fc_isa_runs_here(isa)) continue;
        fc_select_isa(isa);
        failures += check() + check_one_plane();
        printf("%s, %s: %d failures so far\n", fc_isa_name(isa), layer, failures);
    }
    return failures;
}

int main(void) { return check_layers(check_layer) != 0; }
