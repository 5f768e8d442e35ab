/* Chooses the instruction set once, and a convolution kernel for each problem; everything that Cython calls and that
 * has variants goes through here. */
#include <stddef.h>
#include <string.h>

#include "base/parallel.h"
#include "conv/kernel.h"
#include "fastconv.h"
#include "table.h"
#include "weight_gradient/kernel.h"

/* Compilers ask the processor about most instructions, but GCC 9 and 10 not about these. */
#if defined(__x86_64__)
#include <cpuid.h>
static int has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}
#endif

/* May it run here? One line for each instruction set; FC_ISAS, which comes from CMakeLists.txt, lists those of this
 * build, lowest first, as FC_ISA(name). */
#define RUNS_baseline 1
#define RUNS_avx2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
#define RUNS_avx512                                                                                                    \
    (RUNS_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&                           \
     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd"))

typedef int pool_function(const fc_pool *p, const void *x, void *out, int64_t *indices, const double *uniforms,
                          int threads);
typedef int half_function(const void *from, void *to, int64_t count, int threads);
typedef int extrema_function(const fc_filter *f, int largest, const void *x, void *out, int threads);
typedef int network_function(const fc_filter *f, const int64_t *offsets, int64_t count, const int32_t *exchanges,
                             int64_t steps, int64_t place, const void *x, void *out, int threads);

#define FC_ISA(name)                                                                                                   \
    extern const fc_table table_##name##_f32, table_##name##_f64;                                                      \
    extern pool_function pool_##name##_f32;                                                                            \
    extern half_function to_floats_##name##_f32, to_halves_##name##_f32;                                               \
    extern extrema_function filter_extrema_##name##_f32;                                                               \
    extern network_function filter_network_##name##_f32;
FC_ISAS
#undef FC_ISA

typedef struct {
    const char *name;
    const fc_table *tables[2]; /* FC_F32, FC_F64 */
    pool_function *pool;
    half_function *to_floats, *to_halves;
    extrema_function *extrema;
    network_function *network;
} isa;

#define FC_ISA(name)                                                                                                   \
    {#name,                                                                                                            \
     {&table_##name##_f32, &table_##name##_f64},                                                                       \
     pool_##name##_f32,                                                                                                \
     to_floats_##name##_f32,                                                                                           \
     to_halves_##name##_f32,                                                                                           \
     filter_extrema_##name##_f32,                                                                                      \
     filter_network_##name##_f32},
static const isa isas[] = {FC_ISAS};
#undef FC_ISA

static int selected;

int fc_isa_count(void) { return (int)(sizeof isas / sizeof *isas); }

const char *fc_isa_name(int i) { return isas[i].name; }

int fc_isa_runs_here(int i) {
#define FC_ISA(name) RUNS_##name,
    const int here[] = {FC_ISAS};
#undef FC_ISA
    return here[i] != 0;
}

void fc_select_isa(int i) { selected = i; }

static const fc_table *table_of(int dtype) { return isas[selected].tables[dtype]; }

const fc_operations *fc_operations_of(int dtype) { return &table_of(dtype)->operations; }

const char *fc_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

const char *fc_flags(void) { return FC_FLAGS; }

static const char *const kernel_names[] = {
#define FC_KERNEL(name, textbook) #name,
#include "conv/kernels.def"
#undef FC_KERNEL
};

static const int kernel_is_textbook[] = {
#define FC_KERNEL(name, textbook) textbook,
#include "conv/kernels.def"
#undef FC_KERNEL
};

static const fc_conv_kernel *kernel_of(const fc_conv *p, int kernel) { return table_of(p->dtype)->conv[kernel]; }

int fc_conv_kernel_count(void) { return (int)(sizeof kernel_names / sizeof *kernel_names); }

const char *fc_conv_kernel_name(int kernel) { return kernel_names[kernel]; }

int fc_conv_kernel_is_textbook(int kernel) { return kernel_is_textbook[kernel]; }

int fc_conv_accepts(const fc_conv *p, int kernel) {
    return kernel_of(p, kernel)->accepts(p) && fc_conv_error(p, kernel) <= (p->strict ? 3 : 8);
}

double fc_conv_cost(const fc_conv *p, int kernel) { return kernel_of(p, kernel)->cost(p); }

double fc_conv_error(const fc_conv *p, int kernel) {
    return kernel_is_textbook[kernel] ? 1 : kernel_of(p, kernel)->error(p);
}

double fc_conv_flops(const fc_conv *p, int kernel) {
    return kernel_of(p, kernel)->flops ? kernel_of(p, kernel)->flops(p) : 0;
}

/* The cheapest of `count` kernels that accept a problem. The number of threads has no say: results must not depend on
 * it. */
static int cheapest(const fc_conv *p, int count, int (*accepts)(const fc_conv *p, int kernel),
                    double (*cost)(const fc_conv *p, int kernel)) {
    int best = -1;
    double least = 0;
    for (int k = 0; k < count; k++) {
        if (!accepts(p, k)) continue;
        double own = cost(p, k);
        if (best < 0 || own < least) best = k, least = own;
    }
    return best;
}

int fc_conv_choose(const fc_conv *p) { return cheapest(p, fc_conv_kernel_count(), fc_conv_accepts, fc_conv_cost); }

static int textbook_accepts(const fc_conv *p, int kernel) {
    return kernel_is_textbook[kernel] && kernel_of(p, kernel)->accepts(p);
}

/* The kernel for the textbook sum of an image of a usual size, without padding. */
static int usual_sum(const fc_conv *p) {
    enum { SIDE = 64, FARTHEST = 64 };
    fc_conv q = *p;
    q.batch = 1, q.once = 0, q.pad_top = q.pad_left = 0;
    int64_t *steps[] = {&q.stride_h, &q.stride_w, &q.dilation_h, &q.dilation_w};
    for (int i = 0; i < 4; i++)
        if (*steps[i] > FARTHEST) *steps[i] = FARTHEST; /* no size may overflow */
    q.out_height = q.out_width = SIDE;
    q.height = (SIDE - 1) * q.stride_h + (q.kernel_h - 1) * q.dilation_h + 1;
    q.width = (SIDE - 1) * q.stride_w + (q.kernel_w - 1) * q.dilation_w + 1;
    return cheapest(&q, fc_conv_kernel_count(), textbook_accepts, fc_conv_cost);
}

static int adds_in_turn(const fc_conv *p, int kernel) {
    const fc_conv_kernel *k = kernel_of(p, kernel);
    return !k->in_turn || k->in_turn(p);
}

int fc_conv_sums_alike(const fc_conv *p, int kernel) {
    if (!textbook_accepts(p, kernel)) return 0;
    int usual = usual_sum(p);
    if (adds_in_turn(p, usual) || !textbook_accepts(p, usual)) return adds_in_turn(p, kernel);
    return kernel == usual;
}

size_t fc_conv_weight_bytes(const fc_conv *p, int kernel) { return kernel_of(p, kernel)->weight_bytes(p); }

int64_t fc_conv_weight_form(const fc_conv *p, int kernel) {
    const fc_conv_kernel *k = kernel_of(p, kernel);
    return k->weight_form ? k->weight_form(p) : 0;
}

int fc_conv_sums_rows(const fc_conv *p, int kernel, const fc_epilogue *e) {
    const fc_conv_kernel *k = kernel_of(p, kernel);
    return k->sums_rows && k->sums_rows(p, e);
}

size_t fc_conv_workspace_bytes(const fc_conv *p, int kernel, int threads) {
    return kernel_of(p, kernel)->workspace_bytes(p, threads);
}

int fc_conv_prepares(const fc_conv *p, int kernel) { return kernel_of(p, kernel)->prepare != NULL; }

int fc_conv_prepare(const fc_conv *p, int kernel, const void *weight, void *packed, int threads) {
    const fc_conv_kernel *k = kernel_of(p, kernel);
    if (k->prepare) return k->prepare(p, weight, packed, threads);
    memcpy(packed, weight, k->weight_bytes(p));
    return 0;
}

int fc_conv_run(const fc_conv *p, int kernel, const void *x, const void *packed, const fc_epilogue *e, void *out,
                int threads) {
    return p->batch ? kernel_of(p, kernel)->run(p, x, packed, e, out, threads) : 0;
}

int fc_conv_run_once(const fc_conv *p, int kernel, const void *x, const void *weight, void *packed,
                     const fc_epilogue *e, void *out, int threads) {
    const fc_conv_kernel *k = kernel_of(p, kernel);
    if (!p->batch) return 0;
    if (!k->prepare) return k->run(p, x, weight, e, out, threads);
    if (k->run_once) return k->run_once(p, x, weight, packed, e, out, threads);
    int status = k->prepare(p, weight, packed, threads);
    return status ? status : k->run(p, x, packed, e, out, threads);
}

/* ---- the gradient of the weights ---- */

static const char *const gradient_names[] = {
#define FC_GRADIENT(name, textbook) #name,
#include "weight_gradient/gradients.def"
#undef FC_GRADIENT
};

static const fc_gradient_kernel *gradient_of(const fc_conv *p, int kernel) {
    return table_of(p->dtype)->gradients[kernel];
}

int fc_gradient_count(void) { return (int)(sizeof gradient_names / sizeof *gradient_names); }

const char *fc_gradient_name(int kernel) { return gradient_names[kernel]; }

int fc_gradient_accepts(const fc_conv *p, int kernel) {
    const fc_gradient_kernel *k = gradient_of(p, kernel);
    // Transforms carry what is not finite, and the rounding of large numbers, to taps that do not see them.
    return k->accepts(p) && (!k->error || (!p->strict && k->error(p) <= 8));
}

double fc_gradient_cost(const fc_conv *p, int kernel) { return gradient_of(p, kernel)->cost(p); }

int fc_gradient_choose(const fc_conv *p) {
    return cheapest(p, fc_gradient_count(), fc_gradient_accepts, fc_gradient_cost);
}

int fc_gradient_run(const fc_conv *p, int kernel, const void *x, const void *gradient, void *weights, void *bias,
                    int threads) {
    return gradient_of(p, kernel)->run(p, x, gradient, weights, bias, threads);
}

/* ---- pooling ---- */

int fc_pool_run(const fc_pool *given, const void *x, void *out, int64_t *indices, const double *uniforms, int threads) {
    if (!given->batch) return 0;
    fc_pool plane = *given; /* one channel is a plane in either layout */
    plane.layout = FC_NCHW;
    const fc_pool *p = given->channels == 1 ? &plane : given;
    if ((p->type == FC_P_F32 || p->type == FC_P_F64) && !indices) {
        int status = fc_operations_of(p->type - FC_P_F32)->pool_planes(p, x, out, threads);
        if (status != FC_NOT_MINE) return status;
    }
    return isas[selected].pool(p, x, out, indices, uniforms, threads);
}

/* ---- filters ---- */

int fc_filter_extrema(const fc_filter *f, int largest, const void *x, void *out, int threads) {
    return isas[selected].extrema(f, largest, x, out, threads);
}

int fc_filter_network(const fc_filter *f, const int64_t *offsets, int64_t count, const int32_t *exchanges,
                      int64_t steps, int64_t place, const void *x, void *out, int threads) {
    return isas[selected].network(f, offsets, count, exchanges, steps, place, x, out, threads);
}

/* ---- half precision ---- */

int fc_to_floats(const void *halves, void *floats, int64_t count, int threads) {
    return isas[selected].to_floats(halves, floats, count, threads);
}

int fc_to_halves(const void *floats, void *halves, int64_t count, int threads) {
    return isas[selected].to_halves(floats, halves, count, threads);
}

/* ---- the limits of the processor ---- */

typedef struct {
    const fc_operations *operations;
    int probe;
    char *memory;
    int64_t stride, bytes, repeats;
    double *work; /* of each thread */
} probe_job;

static int probe_work(const void *context, int64_t begin, int64_t end) {
    const probe_job *j = context;
    int status = 0;
    for (int64_t i = begin; i < end && !status; i++)
        status = j->operations->probe(j->probe, j->memory ? j->memory + i * j->stride : NULL, j->bytes, j->repeats,
                                      &j->work[i]);
    return status;
}

int fc_probe(int isa, int dtype, int probe, void *memory, int64_t stride, int64_t bytes, int64_t repeats, int threads,
             double *work, double *seconds) {
    double each[FC_MOST_THREADS];
    if (threads > FC_MOST_THREADS) threads = FC_MOST_THREADS;
    probe_job j = {&isas[isa].tables[dtype]->operations, probe, memory, stride, bytes, repeats, each};
    int status = fc_together(threads, probe_work, &j, seconds);
    *work = 0;
    for (int i = 0; i < threads && !status; i++) *work += each[i];
    return status;
}
