"""The list of all operations: a row for each says what whoever deals with all of them needs to know.

Adding an operation adds its function and its row here. `autograd`, the benchmarks and the tests read this list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastconv.ops.conv import conv1d, conv2d, depthwise_conv2d, separable_conv2d
from fastconv.ops.deform import deform_conv2d
from fastconv.ops.dense import dense
from fastconv.ops.norm import local_response_norm
from fastconv.ops.normalise import batch_norm, group_norm, instance_norm, layer_norm
from fastconv.ops.pad2d import pad2d
from fastconv.ops.plan import plan_conv2d, plan_conv_transpose2d, plan_depthwise_conv2d
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

# What is the derivative like? `linear`: in x; `pick`: one pixel of every window; the others have rules of their own.
Kind = Literal[
    "convolution", "deformable", "linear", "pick", "random_pick", "window_norm", "channel_norm", "product",
    "softmax", "normalised",
]  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One public operation.

    Attributes
    ----------
    function : callable
        What users call as ``fastconv.<name>``.
    kind : str
        What its derivative is like.
    arrays : tuple of str
        The array arguments that it can be differentiated by, in the function's order.
    plan : callable or None
        The function that prepares its weights.
    """

    function: Callable[..., Any]
    kind: Kind
    arrays: tuple[str, ...] = ("x",)
    plan: Callable[..., Any] | None = None


_OPERANDS = "x", "weight", "bias", "residual"
_SEPARABLE = "x", "depthwise_weight", "pointwise_weight", "bias", "residual"
_DEFORMABLE = "x", "offset", "weight", "bias", "mask"

OPERATIONS: dict[str, Operation] = {
    row.function.__name__: row
    for row in (
        Operation(conv2d, "convolution", _OPERANDS, plan_conv2d),
        Operation(depthwise_conv2d, "convolution", _OPERANDS, plan_depthwise_conv2d),
        Operation(separable_conv2d, "convolution", _SEPARABLE),
        Operation(conv_transpose2d, "convolution", _OPERANDS, plan_conv_transpose2d),
        Operation(conv1d, "convolution", _OPERANDS),
        Operation(conv_transpose1d, "convolution", _OPERANDS),
        Operation(deform_conv2d, "deformable", _DEFORMABLE),
        Operation(unfold, "linear"),
        Operation(fold, "linear"),
        Operation(max_pool2d, "pick"),
        Operation(avg_pool2d, "linear"),
        Operation(lp_pool2d, "window_norm"),
        Operation(adaptive_avg_pool2d, "linear"),
        Operation(adaptive_max_pool2d, "pick"),
        Operation(global_avg_pool2d, "linear"),
        Operation(global_max_pool2d, "pick"),
        Operation(fractional_max_pool2d, "pick"),
        Operation(stochastic_pool2d, "random_pick"),
        Operation(max_unpool2d, "linear"),
        Operation(pad2d, "linear"),
        Operation(resize2d, "linear"),
        Operation(pixel_shuffle, "linear"),
        Operation(pixel_unshuffle, "linear"),
        Operation(channel_shuffle, "linear"),
        Operation(local_response_norm, "channel_norm"),
        Operation(batch_norm, "normalised", ("x", "weight", "bias")),
        Operation(group_norm, "normalised", ("x", "weight", "bias")),
        Operation(instance_norm, "normalised", ("x", "weight", "bias")),
        Operation(layer_norm, "normalised", ("x", "weight", "bias")),
        Operation(dense, "product", ("x", "weight", "bias")),
        Operation(softmax, "softmax"),
        Operation(log_softmax, "softmax"),
    )
}
