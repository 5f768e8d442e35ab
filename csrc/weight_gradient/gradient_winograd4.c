/* Gradient of a convolution's weights by Winograd's algorithm with tiles of 4x4 outputs. Called through
 * `gradients.def`. */
#define M 4
#include "base/types.h"
#include "weight_gradient/gradient_winograd.h"
#include "weight_gradient/kernel.h"

const fc_gradient_kernel FC_NAME(gradient_winograd4) = {accepts, cost, run, error};
