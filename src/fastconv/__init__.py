"""Convolution and pooling of NumPy arrays, as fast as this processor can.

The public names are those in `__all__`; `fastconv.geometry` holds the arithmetic of shapes, `fastconv.grad` the
gradients.
"""

from fastconv import geometry, grad
from fastconv.backends import (
    BackendUnavailableError,
    algorithms,
    available_backends,
    get_backend,
    set_backend,
    use_backend,
)
from fastconv.config import show_config
from fastconv.conv import conv1d, conv2d, depthwise_conv2d, separable_conv2d
from fastconv.deform import deform_conv2d
from fastconv.memory import clear_cache, get_cache_size, set_cache_size
from fastconv.norm import fold_batch_norm, local_response_norm
from fastconv.pad import pad2d
from fastconv.plan import (
    Conv2dPlan,
    ConvTranspose2dPlan,
    DepthwiseConv2dPlan,
    plan_conv2d,
    plan_conv_transpose2d,
    plan_depthwise_conv2d,
)
from fastconv.pool import avg_pool2d, lp_pool2d, max_pool2d, max_unpool2d
from fastconv.pool_adaptive import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
)
from fastconv.pool_random import fractional_max_pool2d, stochastic_pool2d
from fastconv.precision import get_precision, set_precision, use_precision
from fastconv.threads import get_num_threads, num_threads, set_num_threads
from fastconv.transpose import conv_transpose1d, conv_transpose2d
from fastconv.unfold import fold, unfold

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailableError",
    "Conv2dPlan",
    "ConvTranspose2dPlan",
    "DepthwiseConv2dPlan",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "algorithms",
    "available_backends",
    "avg_pool2d",
    "clear_cache",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "deform_conv2d",
    "depthwise_conv2d",
    "fold",
    "fold_batch_norm",
    "fractional_max_pool2d",
    "geometry",
    "get_backend",
    "get_cache_size",
    "get_num_threads",
    "get_precision",
    "global_avg_pool2d",
    "global_max_pool2d",
    "grad",
    "local_response_norm",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "num_threads",
    "pad2d",
    "plan_conv2d",
    "plan_conv_transpose2d",
    "plan_depthwise_conv2d",
    "separable_conv2d",
    "set_backend",
    "set_cache_size",
    "set_num_threads",
    "set_precision",
    "show_config",
    "stochastic_pool2d",
    "unfold",
    "use_backend",
    "use_precision",
]
