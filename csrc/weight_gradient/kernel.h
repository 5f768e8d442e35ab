/* What a kernel for the gradient of a convolution's weights is: the table of functions that each file of
 * `gradients.def` defines. Included by the kernels, by the gradient of deformable convolution, which uses one of them,
 * and by the tables (table.h). */
#ifndef FC_GRADIENT_KERNEL_H
#define FC_GRADIENT_KERNEL_H

#include "fastconv.h"

/* One algorithm; `gradients.def` lists them. With g the gradient of a plain convolution's output,
 *   weights[k, c, r, s] = sum of g[n, k, i, j] * x[n, c, i * stride + r * dilation - pad, ...] over n, i, j,
 *   bias[k] = sum of g[n, k, i, j], where `bias` is not NULL.
 * `weights` has the user's layout. */
typedef struct {
    int (*accepts)(const fc_conv *p);
    double (*cost)(const fc_conv *p); /* cycles, where two threads share the work */
    int (*run)(const fc_conv *p, const void *x, const void *gradient, void *weights, void *bias, int threads);
    double (*error)(const fc_conv *p); /* NULL where it computes the textbook sum */
} fc_gradient_kernel;

#endif
