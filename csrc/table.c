/* The table of what one instruction set offers for one floating-point type. Read by dispatch.c. */
#include "base/types.h"
#include "conv/kernel.h"
#include "table.h"
#include "weight_gradient/kernel.h"

#define FC_KERNEL(name, textbook) extern const fc_conv_kernel FC_NAME(name);
#include "conv/kernels.def"
#undef FC_KERNEL
#define FC_GRADIENT(name, textbook) extern const fc_gradient_kernel FC_NAME(name);
#include "weight_gradient/gradients.def"
#undef FC_GRADIENT

#define FC_KERNEL(name, textbook) &FC_NAME(name),
static const fc_conv_kernel *const conv[] = {
#include "conv/kernels.def"
};
#undef FC_KERNEL

#define FC_GRADIENT(name, textbook) &FC_NAME(name),
static const fc_gradient_kernel *const gradients[] = {
#include "weight_gradient/gradients.def"
};
#undef FC_GRADIENT

#define FC_OPERATION(name, parameters) .name = FC_NAME(name),
const fc_table FC_NAME(table) = {
    .conv = conv,
    .gradients = gradients,
    .operations =
        {
#include "operations.def"
        },
};
#undef FC_OPERATION
