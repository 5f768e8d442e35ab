"""Operations and their gradients from their definitions, in float64, at any elements of the result.

Called by the check of ``fastconv bench`` at some elements, and by the tests at all. Independent of what they judge:
nothing but NumPy is used here, and every element is a sum (or a maximum) over the pixels and weights that its formula
names. Arrays are NCHW; names, order and meaning of the arguments are those of `fastconv`.
"""

from collections.abc import Callable
from typing import Any

from fastconv.bench.oracle.definitions import (
    conv,
    conv_gradients,
    deform,
    dense,
    move,
    normalise,
    pointwise,
    pool,
    pool_gradients,
    resize,
    shuffle,
    softmax,
)
from fastconv.bench.oracle.definitions.common import Array, Box, Definition, full_box

__all__ = ["FORWARD", "GRADIENTS", "Array", "Box", "Definition", "full_box"]

# By the operation's name: a `Definition` of its result, or those of values and indices.
FORWARD: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        conv.conv2d, conv.depthwise_conv2d, conv.separable_conv2d, conv.conv_transpose2d, conv.conv1d,
        conv.conv_transpose1d, deform.deform_conv2d, move.unfold, move.fold, pool.max_pool2d, pool.avg_pool2d,
        pool.lp_pool2d, pool.adaptive_avg_pool2d, pool.adaptive_max_pool2d, pool.global_avg_pool2d,
        pool.global_max_pool2d, pool.fractional_max_pool2d, pool.stochastic_pool2d, move.max_unpool2d, move.pad2d,
        pointwise.local_response_norm, dense.dense,
        normalise.batch_norm, normalise.group_norm, normalise.instance_norm, normalise.layer_norm,
        softmax.softmax, softmax.log_softmax,
        shuffle.pixel_shuffle, shuffle.pixel_unshuffle, shuffle.channel_shuffle, resize.resize2d,
    )
}  # fmt: skip


def _one(gradient: Callable[..., Definition]) -> Callable[..., tuple[Definition]]:
    return lambda **given: (gradient(**given),)


def _of_picks(forward: Callable[..., Any]) -> Callable[..., tuple[Definition]]:
    """Of an operation that takes one pixel of each window: that pixel gets the gradient."""

    def gradient(grad_output: Array, x: Array, **options: Any) -> tuple[Definition]:
        _, index = forward(x, **options, return_indices=True)
        return (pool_gradients.by_pick(grad_output, index, x.shape),)

    return gradient


# By the operation's name: the definitions of all its gradients, of the operation's arguments and `grad_output`, which
# are given by their names.
GRADIENTS: dict[str, Callable[..., tuple[Definition | None, ...]]] = {
    "conv2d": conv_gradients.conv2d_gradients,
    "depthwise_conv2d": conv_gradients.depthwise_conv2d_gradients,
    "separable_conv2d": conv_gradients.separable_conv2d_gradients,
    "conv_transpose2d": conv_gradients.conv_transpose2d_gradients,
    "conv1d": conv_gradients.conv1d_gradients,
    "conv_transpose1d": conv_gradients.conv_transpose1d_gradients,
    "deform_conv2d": deform.deform_conv2d_gradients,
    "unfold": _one(move.unfold_gradient),
    "fold": _one(move.fold_gradient),
    "max_pool2d": _of_picks(pool.max_pool2d),
    "avg_pool2d": _one(pool_gradients.avg_pool2d_gradient),
    "lp_pool2d": _one(pool_gradients.lp_pool2d_gradient),
    "adaptive_avg_pool2d": _one(pool_gradients.adaptive_avg_pool2d_gradient),
    "adaptive_max_pool2d": _of_picks(pool.adaptive_max_pool2d),
    "global_avg_pool2d": _one(pool_gradients.adaptive_avg_pool2d_gradient),
    "global_max_pool2d": _of_picks(pool.global_max_pool2d),
    "fractional_max_pool2d": _of_picks(pool.fractional_max_pool2d),
    "stochastic_pool2d": _of_picks(pool.stochastic_pool2d),
    "max_unpool2d": _one(move.max_unpool2d_gradient),
    "pad2d": _one(move.pad2d_gradient),
    "local_response_norm": _one(pointwise.local_response_norm_gradient),
    "dense": dense.dense_gradients,
    "resize2d": _one(resize.resize2d_gradient),
    "pixel_shuffle": _one(shuffle.pixel_shuffle_gradient),
    "pixel_unshuffle": _one(shuffle.pixel_unshuffle_gradient),
    "channel_shuffle": _one(shuffle.channel_shuffle_gradient),
    "batch_norm": normalise.batch_norm_gradients,
    "group_norm": normalise.group_norm_gradients,
    "instance_norm": normalise.instance_norm_gradients,
    "layer_norm": normalise.layer_norm_gradients,
    "softmax": _one(softmax.softmax_gradient),
    "log_softmax": _one(softmax.log_softmax_gradient),
}
