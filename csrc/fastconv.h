/* The structs and entry points of the C kernels: the only header that Cython sees.
 *
 * Arrays are C-contiguous and aligned to their elements; shapes have been checked by the caller. Every entry
 * point that does work returns 0, FC_NO_MEMORY, FC_INTERRUPTED or FC_FORKED; those that say so, another status. Kernels
 * see this header through base/types.h. */
#ifndef FASTCONV_H
#define FASTCONV_H

#include <stddef.h>
#include <stdint.h>

enum { FC_MOST_THREADS = 1024 }; /* of one call; settings/threads.py allows as many */
enum { FC_NOT_MINE = -1, FC_NO_MEMORY = 1, FC_OUT_OF_RANGE, FC_NOT_TOGETHER, FC_INTERRUPTED, FC_FORKED, FC_OVERFLOW };
enum { FC_NCHW, FC_NHWC };
enum { FC_F32, FC_F64 };
enum {
    FC_LINEAR,
    FC_RELU,
    FC_CLIP,
    FC_LEAKY_RELU,
    FC_SIGMOID,
    FC_TANH,
    FC_SILU,
    FC_HARDSWISH,
    FC_GELU,
    /* Of networks' convolutions only: */
    FC_SCALED_HARDSWISH, /* times a, plus b */
    FC_CHANNEL_PRELU     /* below 0 times slopes[channel] */
};

/* A convolution; with `transposed`, its input gradient: x then has the shape of its output, out that of its input. */
typedef struct {
    int64_t batch, channels, height, width;
    int64_t filters, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w, groups;
    int64_t out_height, out_width;
    int layout, dtype, transposed, strict;
    int once;           /* are the weights prepared for this call alone? */
    int planar_weights; /* are the user's weights those of NCHW, whatever the layout? */
    /* Of the NHWC images that the results are some channels of; 0: they are all. Kernels whose results are written by
     * store_tile.h, winograd.h or im2col.c can do that. */
    int64_t out_channels;
    int rescaled; /* do kernels of direct.h pack the images as the epilogue's scale and shift say? */
    /* The predicted cost of the kernel that runs, kept by who makes the call again and again; 0: run asks for it. */
    double cycles;
} fc_conv;

enum { FC_SUMMED = 64 };
/* What happens to a finished sum: + bias[channel], + residual (of the output's shape), activation; and, where
 * fc_conv_sums_rows says so, each channel's results are added up along rows, in pieces of FC_SUMMED pixels, to
 * `row_sums` (batch, rows, pieces, channels), or NULL. What happens before to images that kernels of direct.h see
 * through one tap: they are multiplied with a number for each image and channel, their `gate`, or NULL; or, where the
 * convolution is `rescaled`, a channel's pixels become max(x * scale[channel] + shift[channel], 0). */
typedef struct {
    const void *bias, *residual, *slopes, *gate, *scale, *shift;
    void *row_sums;
    int activation;
    double a, b;
} fc_epilogue;

/* ---- instruction sets: chosen once, before anything else is called ---- */
int fc_isa_count(void);
const char *fc_isa_name(int isa); /* lowest first */
int fc_isa_runs_here(int isa);
void fc_select_isa(int isa);

/* The families of processors that the predicted costs know, and the one in use: what this is, or what a test selects,
 * which forgets then what was chosen and prepared before. */
int fc_processor_count(void);
const char *fc_processor_name(int row);
const char *fc_processor_source(int row);
int fc_processor_row(const char *vendor, int family, int model); /* by what CPUID says */
int fc_selected_processor(void);
void fc_select_processor(int row);
const char *fc_compiler(void);
const char *fc_flags(void);

/* ---- convolution ---- */
int fc_conv_kernel_count(void);
const char *fc_conv_kernel_name(int kernel);
int fc_conv_kernel_is_textbook(int kernel);         /* a NaN reaches only the outputs whose window holds it */
int fc_conv_accepts(const fc_conv *p, int kernel);  /* can it do that, as precisely as is wanted? */
double fc_conv_cost(const fc_conv *p, int kernel);  /* predicted cycles, where two threads share the work */
double fc_conv_error(const fc_conv *p, int kernel); /* predicted, in multiples of the textbook sum's */
double fc_conv_flops(const fc_conv *p, int kernel); /* what it computes; 0 where that is the textbook's sum */
int fc_conv_choose(const fc_conv *p);
/* Is it one of the kernels for the textbook sum whose bits are the same for a pixel of a large image and of a part of
 * it alone? They depend on neither the batch, the image's size, its padding nor `once`. */
int fc_conv_sums_alike(const fc_conv *p, int kernel);
size_t fc_conv_weight_bytes(const fc_conv *p, int kernel);
int64_t fc_conv_weight_form(const fc_conv *p, int kernel); /* equal where images of both sizes can share them */
size_t fc_conv_workspace_bytes(const fc_conv *p, int kernel, int threads); /* of one thread */
int fc_conv_sums_rows(const fc_conv *p, int kernel, const fc_epilogue *e); /* is that less than reading them again? */
int fc_conv_prepares(const fc_conv *p, int kernel); /* or are the user's weights ready as they are? */
int fc_conv_prepare(const fc_conv *p, int kernel, const void *weight, void *packed, int threads);
int fc_conv_run(const fc_conv *p, int kernel, const void *x, const void *packed, const fc_epilogue *e, void *out,
                int threads);
/* Prepares and runs at once; `packed` has room for the prepared weights, which it may or may not hold afterwards. */
int fc_conv_run_once(const fc_conv *p, int kernel, const void *x, const void *weight, void *packed,
                     const fc_epilogue *e, void *out, int threads);

/* ---- the gradient of a plain convolution's weights, with a batch of at least 1; that of its input is the transposed
 * convolution ---- */
int fc_gradient_count(void);
const char *fc_gradient_name(int kernel);
int fc_gradient_accepts(const fc_conv *p, int kernel);
double fc_gradient_cost(const fc_conv *p, int kernel); /* predicted cycles, where two threads share the work */
int fc_gradient_choose(const fc_conv *p);
/* `gradient` is that of the output; `weights` has the user's layout; `bias`, or NULL, takes the sums of `gradient`. */
int fc_gradient_run(const fc_conv *p, int kernel, const void *x, const void *gradient, void *weights, void *bias,
                    int threads);

/* ---- pooling ---- */
enum { FC_I8, FC_U8, FC_I16, FC_U16, FC_I32, FC_U32, FC_I64, FC_U64, FC_P_F32, FC_P_F64 };
enum { FC_MAX, FC_SUM, FC_POWER, FC_SAMPLE, FC_WEIGHTED };

enum { FC_SLIDING, FC_ADAPTIVE, FC_FRACTIONAL };

/* The `count` windows along an axis of `size` pixels; each holds a pixel.
 *
 * Sliding: window o has the pixels first + o * stride + i * step for i < kernel, as far as they are in the image. What
 * its divisor counts are the pixels, image or padding, from `counted_from` up to `counted_to`, in units of `unit`.
 * Adaptive: from floor(o * size / count) up to ceil((o + 1) * size / count). The divisor is the number of pixels.
 * Fractional: with alpha = (size - kernel) / (count - 1) and u = samples[plane], `kernel` pixels from floor((o + u) *
 * alpha) - floor(u * alpha) on; the last window ends where the image ends. */
typedef struct {
    int kind;
    int64_t size, count, step; /* step is 1 where they do not slide */
    int64_t kernel, stride, first, counted_from, counted_to;
    double unit;
    double divisor;        /* of all windows, in place of what is counted, where it is not 0 */
    const double *samples; /* of each plane, in [0, 1) */
} fc_windows;

typedef struct {
    int64_t batch, channels, height, width;
    fc_windows rows, columns;
    int layout, type, reducer;
    double power;
} fc_pool;

int fc_pool_run(const fc_pool *p, const void *x, void *out, int64_t *indices, const double *uniforms, int threads);

/* ---- filters of pictures ---- */
enum { FC_MOST_TAPS = 512, FC_MOST_NETWORK = 81 };
enum { FC_CUT, FC_SATURATE }; /* integers of a result: towards zero and wrapped; or rounded and kept in range */

/* Pictures of FC_U8, FC_I16, FC_U16 and floats, for sums and means of all but FC_U64, rows of width * channels numbers
 * in one piece, and a result of these sizes. Beyond an edge is what the tables say. Strides are in bytes.
 */
typedef struct {
    int64_t images, height, width, channels;
    int64_t x_image, x_row, out_image, out_row;
    int64_t kernel_h, kernel_w;
    int64_t before;         /* pixels that the windows of a row reach before its first one */
    const int64_t *rows;    /* height + kernel_h - 1: where a row of the windows comes from; -1 is the constant */
    const int64_t *columns; /* width + kernel_w - 1: the same of pixels, of which those within the row are themselves */
    double constant;
    int x_type, out_type;
    int between; /* the type that rows have after the first of two passes, or -1: as they are computed */
    int rounding;
} fc_filter;

/* A pass of weights over the windows of rows. Where sums are cut off, one that is within `doubt` of an integer is
 * computed again in double and in the order of `order`: (row, column, second row, second column, sign of the second,
 * or 0 where there is none), times the weight of `order_weights`. `doubt` is negative where that is not asked for. */
typedef struct {
    int64_t kernel_h, kernel_w;
    const double *weights;
    const int64_t *order;
    const double *order_weights;
    int64_t order_count;
    double doubt;
} fc_filter_pass;

/* The smallest or the largest pixel of a box; the pixel that a network of `exchanges` (low, high, keeps: 1 the smaller,
 * 2 the larger, 3 both) leaves at `place` of those at `offsets` (row, column). Both types of f are the same. */
int fc_filter_extrema(const fc_filter *f, int largest, const void *x, void *out, int threads);
int fc_filter_network(const fc_filter *f, const int64_t *offsets, int64_t count, const int32_t *exchanges,
                      int64_t steps, int64_t place, const void *x, void *out, int threads);

/* ---- data movement; item sizes 1, 2, 4 and 8 ---- */
int fc_pad(const void *x, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner, const int64_t *rows,
           int64_t row_count, const int64_t *columns, int64_t column_count, const void *value, int item, int threads);
int fc_unfold(const fc_conv *p, const void *x, void *out, int item, int threads);
int fc_scatter(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
               int64_t plane, int layout, int item, int threads);
/* Returns FC_OUT_OF_RANGE where a place is outside. */
int fc_gather(const void *x, const int64_t *indices, void *out, int64_t batch, int64_t channels, int64_t count,
              int64_t plane, int layout, int item, int threads);

/* Between half precision (IEEE 754 binary16), whose elements are uint16_t, and float. To the nearest half, ties to
 * even; returns FC_OVERFLOW, with all done, where a finite number became infinite. */
int fc_to_floats(const void *halves, void *floats, int64_t count, int threads);
int fc_to_halves(const void *floats, void *halves, int64_t count, int threads);

/* ---- elementwise chains: a few instructions for each element ---- */
enum { FC_MOST_OPERANDS = 8, FC_MOST_AXES = 8, FC_MOST_INSTRUCTIONS = 24, FC_MOST_TEMPORARIES = 6 };
enum {
    FC_ADD,
    FC_SUB,
    FC_MUL,
    FC_DIV,
    FC_LEAST,
    FC_MOST,
    FC_PRELU, /* of a and b; FC_PRELU has the slope b */
    FC_LESS,  /* truth values are lanes of ones or zeros */
    FC_LESS_EQUAL,
    FC_EQUAL,
    FC_AND, /* bit by bit, also of numbers with truth values */
    FC_AND_NOT,
    FC_OR,
    FC_XOR,
    FC_NOT,
    FC_AFFINE,       /* a * p + q */
    FC_HARD_SIGMOID, /* a * p + q within 0 and 1 */
    FC_SQRT,
    FC_ABS,
    FC_SIGN,
    FC_FLOOR,
    FC_CEIL,
    FC_ROUND,
    FC_ACTIVATE, /* the activation `which` of a, with p and q */
    FC_ELU,      /* p * (exp(a) - 1) below 0, times q everywhere */
    FC_EXP,
    FC_MISH,
    FC_SOFTPLUS,
    FC_LOG,
    FC_ERF,
    FC_POW,
    FC_FMOD, /* these are computed number by number */
    FC_MOD,
    FC_SIN,
    FC_COS,
    FC_TAN,
    FC_ASIN,
    FC_ACOS,
    FC_ATAN,
    FC_SINH,
    FC_COSH,
    FC_ASINH,
    FC_ACOSH,
    FC_ATANH
};

/* Places are those of operands, and from FC_MOST_OPERANDS on of temporaries. */
typedef struct {
    int operation, to, a, b, which;
    double p, q;
} fc_instruction;

/* The last instruction makes the result. Strides are in elements; those of an operand are 0 along axes that it is
 * broadcast along, that of the result is 1 along the last axis. */
typedef struct {
    int axes, operands, instructions;
    int truths, gives_truth; /* operands that are truth values, a bit each; and is the result one? They are bytes. */
    int64_t sizes[FC_MOST_AXES], out_strides[FC_MOST_AXES], strides[FC_MOST_OPERANDS][FC_MOST_AXES];
    fc_instruction code[FC_MOST_INSTRUCTIONS];
} fc_elementwise;

/* A region of an array as a region of another; strides are in elements. */
typedef struct {
    int axes, item;
    int64_t sizes[FC_MOST_AXES], x_strides[FC_MOST_AXES], out_strides[FC_MOST_AXES];
} fc_region;

int fc_copy(const fc_region *r, const void *x, void *out, int threads);

/* ---- other operations on floating-point arrays: those of operations.def ---- */
enum {
    FC_TOTAL,
    FC_MEAN,
    FC_SUM_OF_SIZES,
    FC_SUM_OF_SQUARES,
    FC_ROOT_OF_SQUARES,
    FC_GREATEST, /* what is no number is more and less than any */
    FC_SMALLEST,
    FC_PRODUCT
};
enum { FC_MOST_ROW_BYTES = 4 << 20 }; /* of normalise_rows: what a cache holds beside the result */

/* How parameters follow their gradients: by these, by their running mean of squares, or by running means of both. */
enum { FC_DESCENT, FC_SQUARES, FC_MOMENTS };
/* A gradient is multiplied with `scale`, kept from -limit to limit, and the parameter times `decay` is added; the
 * parameter is multiplied with `kept`, and moves by -rate times the step. `first` is what stays of the velocity, or of
 * the mean, `second` what stays of the mean of squares, whose root is multiplied with `root_scale`. */
typedef struct {
    int rule, nesterov;
    double scale, limit, decay, kept, rate, first, second, eps, root_scale;
} fc_update;
/* Arrays of `count` elements: of `state` velocity or NULL; mean of squares, and velocity or NULL; mean and that of
 * squares. */
typedef struct {
    void *weight;
    const void *gradient;
    void *state[2];
    int64_t count;
} fc_parameter;

#define FC_OPERATION(name, parameters) int(*name) parameters;
typedef struct {
#include "operations.def"
} fc_operations;
#undef FC_OPERATION

/* The operations of the chosen instruction set for a dtype. */
const fc_operations *fc_operations_of(int dtype);

/* ---- networks: steps that run one after the other ---- */
enum {
    FC_STEP_CONV,
    FC_STEP_PRODUCT, /* a convolution whose weights are the second operand; the third has room for their packing */
    FC_STEP_POOL,
    FC_STEP_ELEMENTWISE,
    FC_STEP_COPY,
    FC_STEP_PAD,
    FC_STEP_SOFTMAX,
    FC_STEP_NORMALISE, /* its operands are x, weight and bias */
    FC_STEP_LRN,
    FC_STEP_REDUCE,
    FC_STEP_PLACES,
    FC_STEP_RESAMPLE
};

typedef struct {
    fc_conv p;
    fc_epilogue epilogue; /* the residual is the second operand, the gate the third, the row sums' place the fourth */
    int kernel;
    const void *packed;
} fc_step_conv;

typedef struct {
    int64_t planes, height, width, inner, row_count, column_count;
    const int64_t *rows, *columns;
    char value[8];
    int item;
} fc_step_pad;

typedef struct {
    int64_t outer, groups, channels, run;
    double eps;
} fc_step_normalise;

typedef struct {
    int64_t outer, count, inner;
    int how, last;
} fc_step_reduce;

typedef struct {
    int64_t outer, count, inner;
    int logarithm;
} fc_step_softmax;

typedef struct {
    int64_t batch, channels, pixels, size;
    double alpha, beta, k;
} fc_step_lrn;

typedef struct {
    const int64_t *starts, *counts;
    const void *weights;
    int64_t outer, in_size, out_size, inner, taps;
} fc_step_resample;

typedef union {
    fc_step_conv conv;
    fc_pool pool;
    fc_elementwise elementwise;
    fc_region copy;
    fc_step_pad pad;
    fc_step_softmax softmax;
    fc_step_normalise normalise;
    fc_step_reduce reduce;
    fc_step_lrn lrn;
    fc_step_resample resample;
} fc_step_of;

/* Operands and the result are places: numbers of the pointers that a run is given; -1 where one is missing. Where so
 * many steps, from this one on, are `chained`, they run together, in bands of so many rows of the last one's result. */
enum { FC_MOST_CHAINED = 8 };
typedef struct {
    int kind, dtype, operands[FC_MOST_OPERANDS], out;
    int64_t chained, band;
    fc_step_of of;
} fc_step;

/* What a thread needs for such bands: bytes; -1 where these steps cannot be chained. That nobody else reads what is
 * made between is the caller's to know. */
int64_t fc_chain_bytes(const fc_step *steps, int64_t count, int64_t band);

/* `nanoseconds`, or NULL, takes the time of each step. */
int fc_network_run(const fc_step *steps, int64_t count, void *const *places, int threads, int64_t *nanoseconds);

/* ---- the limits of the processor ---- */
enum { FC_PROBE_ARITHMETIC, FC_PROBE_WRITE, FC_PROBE_READ, FC_PROBE_COPY };

/* Repeats a loop of an instruction set on so many threads at once: `work` is what they did in all, in floating-point
 * operations or in bytes read and written, and `seconds` the time from the first's start to the last's end. Thread i
 * has `bytes`, a multiple of 1024, from memory + i * stride on, which is aligned to 64; FC_PROBE_WRITE fills them once,
 * as must be done before they are read. FC_NOT_TOGETHER where the threads could not be had at the same time. */
int fc_probe(int isa, int dtype, int probe, void *memory, int64_t stride, int64_t bytes, int64_t repeats, int threads,
             double *work, double *seconds);

/* ---- interruption ---- */
/* From now on `ask` is called about every so many nanoseconds while the thread of that number (its pthread_t) is in a
 * long call, on that thread. A result other than 0 ends the call with FC_INTERRUPTED: what it was to fill is filled in
 * part. `ask` may do anything, also make calls; after a fork() within it the child's call ends with FC_FORKED where
 * other threads had parts of it. */
void fc_ask_in_long_calls(int (*ask)(void), unsigned long thread, int64_t every);

/* ---- threads: those of the pool at first ---- */
void fc_use_pool(void);
/* From now on those of OpenMP, by the shared object at that path: NULL, or why they cannot be had. In a child of
 * fork() those of the pool again. */
const char *fc_use_openmp(const char *path);
int fc_uses_openmp(void);
const char *fc_openmp_version(void); /* of this build; empty without */

/* ---- recycled memory, for large results ---- */
void *fc_recycle_alloc(size_t bytes);
void *fc_recycle_realloc(void *memory, size_t bytes);
void fc_recycle_free(void *memory);
void fc_recycle_limit(size_t bytes); /* of what is kept; 256 MiB at first */
size_t fc_recycle_bytes(void);       /* kept now */
void fc_recycle_clear(void);

#endif
