"""Operations from their definitions, in float64, at chosen elements of the result. Called by `check.py`.

Independent of all backends: every element is a sum (or maximum) over the pixels and weights that the formula names.
Arrays are NCHW; names and options are those of `fastconv`. What draws random numbers is not here.
"""

from collections.abc import Callable

from fastconv.bench.oracle.definitions import conv, move, pool
from fastconv.bench.oracle.definitions.common import Definition, Where

__all__ = ["FORWARD", "GRADIENTS", "Definition", "Where"]

FORWARD: dict[str, Callable[..., Definition]] = {
    function.__name__: function
    for function in (
        conv.conv2d, conv.depthwise_conv2d, conv.separable_conv2d, conv.conv_transpose2d, conv.conv1d,
        conv.conv_transpose1d, move.deform_conv2d, move.unfold, move.fold, pool.max_pool2d, pool.avg_pool2d,
        pool.lp_pool2d, pool.adaptive_avg_pool2d, pool.adaptive_max_pool2d, pool.global_avg_pool2d,
        pool.global_max_pool2d, move.max_unpool2d, move.pad2d, move.local_response_norm,
    )
}  # fmt: skip
GRADIENTS: dict[str, Callable[..., tuple[Definition, ...]]] = {
    "conv2d": conv.conv2d_gradients,
    "depthwise_conv2d": conv.depthwise_conv2d_gradients,
    "conv_transpose2d": conv.conv_transpose2d_gradients,
}
