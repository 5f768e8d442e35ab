/* What a convolution kernel is: the table of functions that each file of `kernels.def` defines. Included by the
 * kernels, by deformable convolution, which uses one of them, and by the tables (table.h). */
#ifndef FC_CONV_KERNEL_H
#define FC_CONV_KERNEL_H

#include <stddef.h>

#include "fastconv.h"

/* One convolution algorithm; `kernels.def` lists them. */
typedef struct {
    int (*accepts)(const fc_conv *p);
    double (*cost)(const fc_conv *p); /* cycles, where two threads share the work */
    size_t (*weight_bytes)(const fc_conv *p);
    size_t (*workspace_bytes)(const fc_conv *p, int threads);
    /* NULL where the user's weights are ready as they are. */
    int (*prepare)(const fc_conv *p, const void *weight, void *packed, int threads);
    int (*run)(const fc_conv *p, const void *x, const void *packed, const fc_epilogue *e, void *out, int threads);
    double (*error)(const fc_conv *p); /* NULL where it computes the textbook sum */
    /* Of a textbook sum: does each output begin with 0, add products one by one, tap after tap by the numbers of the
     * kernel's elements and each tap's channels in turn, and the bias last? Kernels that do have the same bits. NULL
     * where it always does. Images of other sizes change neither this nor, where it says no and the kernel does any
     * large image, what `accepts` says. */
    int (*in_turn)(const fc_conv *p);
    /* `prepare` and `run` in one, with room for `packed`; NULL where that saves nothing. */
    int (*run_once)(const fc_conv *p, const void *x, const void *weight, void *packed, const fc_epilogue *e, void *out,
                    int threads);
    /* Multiplications and additions of its sums of products, once the data is transformed; NULL where these are the
     * textbook's. */
    double (*flops)(const fc_conv *p);
    /* Tells prepared weights apart that differ with the image's size; NULL where they do not. */
    int64_t (*weight_form)(const fc_conv *p);
    /* Does it make such an epilogue's `row_sums`? NULL where it never does. */
    int (*sums_rows)(const fc_conv *p, const fc_epilogue *e);
} fc_conv_kernel;

#endif
