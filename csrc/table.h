/* What one instruction set offers for one floating-point type: table.c defines such a table for each, dispatch.c
 * chooses among them. */
#ifndef FC_TABLE_H
#define FC_TABLE_H

#include "conv/kernel.h"
#include "fastconv.h"
#include "weight_gradient/kernel.h"

typedef struct {
    const fc_conv_kernel *const *conv;          /* in the order of conv/kernels.def */
    const fc_gradient_kernel *const *gradients; /* in the order of weight_gradient/gradients.def */
    fc_operations operations;
} fc_table;

#endif
