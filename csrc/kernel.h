/* The tables of what one instruction set offers for one floating-point type. Kernel sources define the rows, `ops.c` the
 * table, `dispatch.c` reads it. */
#ifndef FC_KERNEL_H
#define FC_KERNEL_H

#include "base/types.h"

/* One convolution algorithm; `kernels.def` lists them. */
typedef struct {
    int (*accepts)(const fc_conv *p);
    double (*cost)(const fc_conv *p); /* cycles, where two threads share the work */
    size_t (*weight_bytes)(const fc_conv *p);
    size_t (*workspace_bytes)(const fc_conv *p, int threads);
    int (*prepare)(const fc_conv *p, const void *weight, void *packed, int threads);
    int (*run)(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads);
    double (*error)(const fc_conv *p); /* NULL where it computes the textbook sum */
    /* `prepare` and `run` in one, with room for `packed`; NULL where that saves nothing. */
    int (*run_once)(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e, void *out,
                    int threads);
} fc_conv_kernel;

/* One algorithm for the gradient of a convolution's weights; `gradients.def` lists them. weights[k, c, r, s] = sum of gradient[n, k, i, j] * x[n, c, i * stride + r * dilation - pad, ...] over n, i, j, of a plain
 * convolution; bias[k] = sum of gradient[n, k, i, j], where `bias` is not NULL. `weights` has the user's layout. */
typedef struct {
    int (*accepts)(const fc_conv *p);
    double (*cost)(const fc_conv *p); /* cycles, where two threads share the work */
    int (*run)(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads);
    double (*error)(const fc_conv *p); /* NULL where it computes the textbook sum */
} fc_gradient_kernel;

/* Everything that one instruction set offers for one floating-point type. */
typedef struct {
    const fc_conv_kernel *const *conv;
    const fc_gradient_kernel *const *gradients;
    int (*deform)(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
                  const void *weight, const void *bias, void *out, int threads);
    int (*fold)(const fc_conv *p, const void *columns, void *out, int threads);
    int (*norm)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int64_t size, double alpha,
                double beta, double k, int layout, int threads);
    int (*pool_planes)(const fc_pool *p, const void *x, void *out, int threads);
    int (*channel_sums)(const void *x, void *out, int64_t batch, int64_t channels, int64_t pixels, int layout,
                        int threads);
    int (*activation_gradient)(int activation, double a, double b, const void *gradient, const void *value,
                               int from_output, void *out, int64_t count, int threads);
    int (*pool_gradient)(const fc_pool *p, const void *gradient, void *out, int threads);
    int (*scatter_add)(const void *values, const int64_t *indices, void *out, int64_t batch, int64_t channels,
                       int64_t rows, int64_t columns, int64_t height, int64_t width, int layout, int threads);
    int (*pad_gradient)(const void *gradient, void *out, int64_t planes, int64_t height, int64_t width, int64_t inner,
                        const int64_t *rows, int64_t row_count, const int64_t *columns, int64_t column_count,
                        int threads);
    int (*norm_gradient)(const void *x, const void *gradient, void *out, int64_t batch, int64_t channels,
                         int64_t pixels, int64_t size, double alpha, double beta, double k, int layout, int threads);
    int (*deform_gradient)(const fc_conv *p, const void *x, const void *offset, const void *mask, int64_t offset_groups,
                           const void *weight, const void *gradient, void *grad_x, void *grad_offset, void *grad_weight,
                           void *grad_mask, int threads);
    double (*probe)(int probe, void *memory, int64_t bytes, int64_t repeats);
} fc_ops;

/* What `pool_planes` returns for a problem that is not of its kind. */
enum { FC_NOT_MINE = -1 };

#endif
