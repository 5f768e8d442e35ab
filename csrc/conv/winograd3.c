/* Winograd convolution with tiles of 3x3 outputs. Called through `kernels.def`. */
#define M 3
#include "base/types.h"
#include "conv/kernel.h"
#include "conv/winograd.h"

const fc_conv_kernel FC_NAME(winograd3) = {
    .accepts = accepts,
    .cost = cost,
    .weight_bytes = weight_bytes,
    .workspace_bytes = workspace_bytes,
    .prepare = prepare,
    .run = run_all,
    .error = error,
    .run_once = run_once,
    .flops = flops,
};
