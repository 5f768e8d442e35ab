"""Convolution and pooling of NumPy arrays, as fast as this processor can.

The public names are those in `__all__`. `fastconv.geometry` holds the arithmetic of shapes, `fastconv.grad` the
gradients, `fastconv.ndimage` and `fastconv.signal` SciPy's filters and convolutions, `fastconv.nn` networks to build
and train, `fastconv.onnx` those from files, `fastconv.tiles` images larger than memory, `fastconv.limits` what this
machine can do at most, `fastconv.typing` the types of arguments; `fastconv.autograd`, `fastconv.dask` and
`fastconv.sklearn` need extras.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from fastconv._version import __version__ as __version__
from fastconv.backends import (
    BackendFallbackWarning,
    BackendUnavailableError,
    algorithms,
    available_backends,
    get_backend,
    set_backend,
    use_backend,
)
from fastconv.backends.threading import get_threading, set_threading
from fastconv.execution.memory import clear_cache, set_cache_size
from fastconv.first_use import importing
from fastconv.ops.conv import conv1d, conv2d, depthwise_conv2d, separable_conv2d
from fastconv.ops.deform import deform_conv2d
from fastconv.ops.dense import dense
from fastconv.ops.norm import fold_batch_norm, local_response_norm
from fastconv.ops.normalise import batch_norm, group_norm, instance_norm, layer_norm
from fastconv.ops.pad2d import pad2d
from fastconv.ops.plan import (
    Conv2dPlan,
    ConvTranspose2dPlan,
    DepthwiseConv2dPlan,
    plan_conv2d,
    plan_conv_transpose2d,
    plan_depthwise_conv2d,
)
from fastconv.ops.pool import avg_pool2d, lp_pool2d, max_pool2d, max_unpool2d
from fastconv.ops.pool_adaptive import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
)
from fastconv.ops.pool_random import fractional_max_pool2d, stochastic_pool2d
from fastconv.ops.resize import resize2d
from fastconv.ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from fastconv.ops.softmax import log_softmax, softmax
from fastconv.ops.transpose import conv_transpose1d, conv_transpose2d
from fastconv.ops.unfold import fold, unfold
from fastconv.settings.cache import get_cache_size
from fastconv.settings.precision import get_precision, set_precision, use_precision
from fastconv.settings.threads import get_num_threads, num_threads, set_num_threads
from fastconv.shown import shows

__all__ = [
    "BackendFallbackWarning",
    "BackendUnavailableError",
    "Conv2dPlan",
    "ConvTranspose2dPlan",
    "DepthwiseConv2dPlan",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "algorithms",
    "available_backends",
    "avg_pool2d",
    "batch_norm",
    "channel_shuffle",
    "clear_cache",
    "config",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "deform_conv2d",
    "dense",
    "depthwise_conv2d",
    "fold",
    "fold_batch_norm",
    "fractional_max_pool2d",
    "geometry",
    "get_backend",
    "get_cache_size",
    "get_num_threads",
    "get_precision",
    "get_threading",
    "global_avg_pool2d",
    "global_max_pool2d",
    "grad",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "log_softmax",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "num_threads",
    "pad2d",
    "pixel_shuffle",
    "pixel_unshuffle",
    "plan_conv2d",
    "plan_conv_transpose2d",
    "plan_depthwise_conv2d",
    "resize2d",
    "separable_conv2d",
    "set_backend",
    "set_cache_size",
    "set_num_threads",
    "set_precision",
    "set_threading",
    "show_config",
    "softmax",
    "stochastic_pool2d",
    "unfold",
    "use_backend",
    "use_precision",
]

# Imported on first use, as they would make `import fastconv` slower; the names in `_HOMES` come from such modules.
_ON_FIRST_USE = (
    "autograd",
    "config",
    "dask",
    "geometry",
    "grad",
    "graph",
    "limits",
    "ndimage",
    "nn",
    "onnx",
    "signal",
    "sklearn",
    "tiles",
    "tuning",
    "typing",
)
_HOMES = {"show_config": "config"}

if TYPE_CHECKING:  # `autograd`, `dask` and `sklearn` have to be imported by whoever has their extras
    from fastconv import config, geometry, grad
    from fastconv import graph as graph
    from fastconv import limits as limits
    from fastconv import ndimage as ndimage
    from fastconv import nn as nn
    from fastconv import onnx as onnx
    from fastconv import signal as signal
    from fastconv import tiles as tiles
    from fastconv import tuning as tuning
    from fastconv import typing as typing
    from fastconv.config import show_config
else:

    def __getattr__(name):
        if name in _ON_FIRST_USE:
            with importing:
                return import_module(f"fastconv.{name}")
        if name in _HOMES:
            return getattr(__getattr__(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__dir__ = shows(__name__, *_ON_FIRST_USE, "__version__")
