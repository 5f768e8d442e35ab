/* Winograd convolution with tiles of 3x3 outputs. Called through `kernels.def`. */
#define M 3
#include "base/types.h"
#include "conv/kernel.h"
#include "conv/winograd.h"

const fc_conv_kernel FC_NAME(winograd3) = {accepts, cost,  weight_bytes, workspace_bytes, prepare,
                                           run_all, error, run_once,     flops,           NULL};
