/* Gradient of a convolution's weights by Winograd's algorithm with tiles of 3x3 outputs. Called through
 * `gradients.def`. */
#define M 3
#include "base/types.h"
#include "weight_gradient/gradient_winograd.h"
#include "weight_gradient/kernel.h"

const fc_gradient_kernel FC_NAME(gradient_winograd3) = {accepts, cost, run, error};
