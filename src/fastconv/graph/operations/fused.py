"""Fused operations, which optimised graphs hold in place of several nodes of ONNX. Made by `fastconv.graph.passes`.

Their activations are the library's words (`fastconv.conv2d`), with the parameters of `leaky_relu` and `clip` beside,
and `prelu`, whose parameters are a slope for each channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from fastconv.graph.graph import Value
from fastconv.graph.operations.activations import hard_sigmoid
from fastconv.graph.operations.control import Body
from fastconv.graph.operations.conv import activation_of, convolve, convolved, planned
from fastconv.graph.operations.conv_transpose import convolve_transposed, planned_transposed, transposed_type
from fastconv.graph.operations.rules import broadcast, same
from fastconv.graph.operations.table import ALWAYS, Prepare, Reading, Type, operation, upgrade
from fastconv.graph.operations.windows import AutoPad, Windows
from fastconv.ops.dense import dense
from fastconv.ops.plan import plan_conv2d
from fastconv.ops.shuffle import channel_shuffle
from fastconv.problem.options import activation as read_activation
from fastconv.typing import Array


def _then_activated(prepare: Prepare) -> Prepare:
    def prepared(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Callable[..., Any] | None:
        run = prepare(inputs, attributes)
        return None if run is None else lambda *values: after_activation(run(*values), attributes)

    return prepared


def after_activation(y: Array, attributes: dict[str, Any], axis: int = 1) -> Array:
    """What a layer, whose channels are along that axis, does to its result besides the activations that the library
    knows.

    In place: a layer's result is its own.
    """
    if attributes.get("activation") == "prelu":
        slopes = np.array(attributes["activation_params"], y.dtype)
        shape = [1] * y.ndim
        shape[axis] = -1
        np.multiply(y, slopes.reshape(shape), out=y, where=y < 0)
    if affine := attributes.get("affine"):
        y *= affine[0]
        y += affine[1]
    return y


@operation("fastconv.Conv", rule=convolved, prepare=_then_activated(planned))
def fused_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] | None = None,
    affine: tuple[float, ...] | None = None,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """A convolution with what follows it: the sum with an array of the output's shape, an activation, and the product
    and the sum with the numbers of `affine`."""
    given = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    own = {"activation": activation, "activation_params": activation_params, "affine": affine}
    y = convolve(x, weight, bias, Windows.of(weight.shape[2:], given), group, activation_of(own), residual)
    return after_activation(y, own)


@operation("fastconv.ConvTranspose", rule=transposed_type, prepare=_then_activated(planned_transposed))
def fused_transposed(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] | None = None,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """A transposed convolution and an activation."""
    given: dict[str, Any] = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads}
    given |= {"strides": strides, "output_padding": output_padding, "output_shape": output_shape}
    given |= {"activation": activation, "activation_params": activation_params}
    return after_activation(convolve_transposed(x, weight, bias, given), given)


def _dense_type(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, weight = inputs[:2]
    assert x is not None
    assert weight is not None
    if x.shape is None or weight.shape is None:
        return [Type(x.dtype)]
    return [Type(x.dtype, (*x.shape[:-1], weight.shape[0]))]


def _planned_dense(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Callable[..., Any] | None:
    """As the convolution of single pixels that it is."""
    weight, bias = inputs[1], inputs[2] if len(inputs) > 2 else None
    if weight is None or not weight.is_constant or (bias is not None and not bias.is_constant):
        return None
    kernels = weight.constant[:, :, None, None]
    plan = plan_conv2d(kernels, None if bias is None else bias.constant, activation=activation_of(attributes))
    filters = len(kernels)

    def run(x: Array, *_: Any) -> Any:
        rows = x.shape[:-1]
        y = plan(x.reshape(math.prod(rows), x.shape[-1], 1, 1)).reshape(*rows, filters)
        return after_activation(y, attributes, -1)

    return run


@operation("fastconv.Dense", rule=_dense_type, prepare=_planned_dense)
def fused_dense(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] | None = None,
) -> Any:
    """`fastconv.dense`: `x` (..., in), `weight` (out, in)."""
    given = {"activation": activation, "activation_params": activation_params}
    return after_activation(dense(x, weight, bias, activation=activation_of(given)), given, -1)


@operation("fastconv.ChannelShuffle", rule=same)
def shuffled_channels(x: Array, *, groups: int) -> Any:
    """`fastconv.channel_shuffle` of images."""
    return channel_shuffle(x, groups)


def _elementwise_type(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    """All numbers are of one dtype; beside them there may be truth values."""
    dtypes = [value.dtype for value in inputs if value is not None and value.dtype != np.bool_]
    return [Type(dtypes[0] if dtypes else None, broadcast(inputs, attributes)[0].shape)]


@operation("fastconv.Elementwise", rule=_elementwise_type)
def elementwise(*values: Array, body: Body) -> Any:
    """A graph of elementwise operations with broadcasting: an input of it for each of the node's, and one output.

    Its constants have no axes.
    """
    return body(*values)[0]


@upgrade("fastconv.Conv", "fastconv.ConvTranspose", "fastconv.Dense", to=ALWAYS)
def activations_of_the_library(reading: Reading) -> None:
    read_activation(reading.operation, activation_of(reading.attributes))


# The activations of ONNX Runtime's fused convolutions, by the library's words, and their parameters' defaults.
_FUSED: dict[str, tuple[str, tuple[float, ...]]] = {
    "": ("", ()),
    "Relu": ("relu", ()),
    "Sigmoid": ("sigmoid", ()),
    "Tanh": ("tanh", ()),
    "LeakyRelu": ("leaky_relu", (0.01,)),
    "Clip": ("clip", (-math.inf, math.inf)),
}


@operation("com.microsoft.FusedConv", rule=convolved)
def with_hard_sigmoid(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    activation: Literal["HardSigmoid"],
    activation_params: tuple[float, ...] | None = None,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """Of ONNX Runtime's activations the one that is none of the library's."""
    given = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    y = convolve(x, weight, bias, Windows.of(weight.shape[2:], given), group, None, residual)
    return hard_sigmoid(y, **dict(zip(("alpha", "beta"), activation_params or (), strict=False)))


@upgrade("com.microsoft.FusedConv", to=ALWAYS)
def fused_by_onnx_runtime(reading: Reading) -> None:
    name = reading.attributes.get("activation", "")
    if name == "HardSigmoid":
        return
    reading.attributes.pop("activation", None)
    if name not in _FUSED:
        reading.refuse(f"the activation {name!r}")
    word, defaults = _FUSED[name]
    given = tuple(reading.attributes.pop("activation_params", ()))
    reading.operation = "fastconv.Conv"
    reading.attributes["activation"] = word
    if defaults:
        reading.attributes["activation_params"] = (*given, *defaults[len(given) :])
