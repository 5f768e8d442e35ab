"""Convolution, transposed and deformable. Weights that are constants are planned: prepared once for all calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.table import ALWAYS, Reading, Type, operation, upgrade
from fastconv.graph.operations.windows import Pads, Windows, split
from fastconv.ops.conv import conv2d
from fastconv.ops.deform import deform_conv2d
from fastconv.ops.plan import Conv2dPlan, ConvTranspose2dPlan, plan_conv2d, plan_conv_transpose2d
from fastconv.ops.transpose import conv_transpose2d
from fastconv.typing import Array

_MOST_PLANS = 16  # of one node: by the padding, which "same" lets depend on the size


def as_image(x: Array) -> Array:
    """A signal as an image of one row."""
    return x[:, :, np.newaxis] if x.ndim == 3 else x


def row(windows: Windows) -> Windows:
    """The windows of a signal as those of an image of one row."""
    if len(windows.kernel) == 2:
        return windows
    pads = None if windows.pads is None else ((0, 0), *windows.pads)
    return Windows(
        (1, *windows.kernel),
        (1, *windows.strides),
        (1, *windows.dilations),
        pads,
        windows.auto_pad,
        windows.ceil,
    )


def _as_before(y: Array, rank: int) -> Array:
    return y[:, :, 0] if rank == 3 else y


def convolved(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, weight = inputs[:2]
    assert x is not None
    assert weight is not None
    if x.shape is None or weight.shape is None or not all(isinstance(k, int) for k in weight.shape):
        return [Type(x.dtype)]
    windows = Windows.of(weight.shape[2:], attributes)
    return [Type(x.dtype, (x.shape[0], weight.shape[0], *windows.shape(x.shape[2:])))]


def _constants(inputs: Sequence[Value | None]) -> tuple[Any, Any] | None:
    """Weight and bias of images or signals where both are constants."""
    weight, bias = inputs[1], inputs[2] if len(inputs) > 2 else None
    if weight is None or not weight.is_constant or weight.constant.ndim not in (3, 4):
        return None
    if bias is not None and not bias.is_constant:
        return None
    return weight.constant, None if bias is None else bias.constant


def _planned(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Callable[..., Any] | None:
    constants = _constants(inputs)
    if constants is None:
        return None
    weight, bias = constants
    windows, plans = row(Windows.of(weight.shape[2:], attributes)), dict[Pads, Conv2dPlan]()
    group, activation = attributes.get("group", 1), _activation(attributes)

    def run(x: Array, weight_: Any = None, bias_: Any = None, residual: Array | None = None) -> Array:
        image = as_image(x)
        padding = windows.padding(image.shape[2:])
        plan = plans.get(padding)
        if plan is None:
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            options: Any = (windows.strides, padding, windows.dilations, group)
            made = plan_conv2d(as_image(weight), bias, *options, activation=activation)
            plan = plans.setdefault(padding, made)
        return _as_before(plan(image, residual=None if residual is None else as_image(residual)), x.ndim)

    return run


@operation("Conv", rule=convolved, prepare=_planned)
def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    windows = Windows.of(weight.shape[2:], attributes)
    if x.ndim == 5:
        return _volume(x, weight, bias, windows, group)
    windows, image = row(windows), as_image(x)
    options: Any = (windows.strides, windows.padding(image.shape[2:]), windows.dilations, group)
    return _as_before(conv2d(image, as_image(weight), bias, *options), x.ndim)


# The activations of a fused convolution that the library has, by its words, and their parameters' defaults.
_FUSED: dict[str, tuple[str, tuple[float, ...]]] = {
    "": ("", ()),
    "Relu": ("relu", ()),
    "Sigmoid": ("sigmoid", ()),
    "Tanh": ("tanh", ()),
    "LeakyRelu": ("leaky_relu", (0.01,)),
    "Clip": ("clip", (-math.inf, math.inf)),
}


def _activation(attributes: dict[str, Any]) -> Any:
    word, defaults = _FUSED[attributes.get("activation", "")]
    if not defaults:
        return word or None
    given = tuple(attributes.get("activation_params") or ())
    return (word, *given, *defaults[len(given) :])


@operation("com.microsoft.FusedConv", rule=convolved, prepare=_planned)
def fused_convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] | None = None,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """A convolution with what follows it: the sum with a residual, and an activation."""
    windows = row(
        Windows.of(
            weight.shape[2:],
            {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides},
        )
    )
    image = as_image(x)
    options: Any = (windows.strides, windows.padding(image.shape[2:]), windows.dilations, group)
    word = _activation({"activation": activation, "activation_params": activation_params})
    added = None if residual is None else as_image(residual)
    y = conv2d(image, as_image(weight), bias, *options, activation=word, residual=added)
    return _as_before(y, x.ndim)


@upgrade("com.microsoft.FusedConv", to=ALWAYS)
def activations_of_the_library(reading: Reading) -> None:
    name, weight = reading.attributes.get("activation", ""), reading.input(1)
    if name not in _FUSED:
        reading.refuse(f"the activation {name!r}")
    if weight is not None and weight.shape is not None and len(weight.shape) > 4:
        reading.refuse("three spatial axes")


def _volume(x: Array, weight: Array, bias: Array | None, windows: Windows, group: int) -> Array:
    """Three spatial axes: for each slice of the kernel a convolution of images, which are added up."""
    stride, dilation, padding = windows.strides, windows.dilations, windows.padding(x.shape[2:])
    depth = windows.counts(x.shape[2:])[0]
    padded = np.pad(x, ((0, 0), (0, 0), padding[0], (0, 0), (0, 0)))
    options: Any = (stride[1:], padding[1:], dilation[1:], group)
    y: Array | None = None
    for place in range(weight.shape[2]):
        first = place * dilation[0]
        part = padded[:, :, first : first + (depth - 1) * stride[0] + 1 : stride[0]]
        images = part.swapaxes(1, 2).reshape(-1, x.shape[1], *x.shape[3:])
        y = conv2d(images, weight[:, :, place], None if place else bias, *options, residual=y)
    assert y is not None
    return y.reshape(len(x), depth, *y.shape[1:]).swapaxes(1, 2)


def transposed_padding(
    windows: Windows, sizes: tuple[int, ...], attributes: dict[str, Any]
) -> tuple[Pads, tuple[int, ...], tuple[int, ...]]:
    """Padding, output padding as far as the strides allow it, and zeros beyond, of each axis."""
    rank = len(sizes)
    more = tuple(attributes.get("output_padding") or (0,) * rank)
    shape = attributes.get("output_shape")
    if shape is not None:
        shape = tuple(shape)[-rank:]
    elif windows.pads is None:
        shape = tuple(n * s for n, s in zip(sizes, windows.strides, strict=True))
    if shape is None:
        assert windows.pads is not None
        return (*_allowed(windows.pads, more, windows),)
    axes = zip(sizes, windows.extents, windows.strides, shape, more, strict=True)
    total = [(n - 1) * s + e + extra - out for n, e, s, out, extra in axes]
    after = windows.auto_pad == "SAME_UPPER"
    pads = tuple(split(max(pad, 0), after) for pad in total)
    extras = tuple(extra + max(-pad, 0) for extra, pad in zip(more, total, strict=True))
    return (*_allowed(pads, extras, windows),)


def _allowed(
    pads: Pads, more: tuple[int, ...], windows: Windows
) -> tuple[Pads, tuple[int, ...], tuple[int, ...]]:
    most = [max(s, d) - 1 for s, d in zip(windows.strides, windows.dilations, strict=True)]
    inner = tuple(map(min, more, most))
    return pads, inner, tuple(m - i for m, i in zip(more, inner, strict=True))


def _transposed_plans(
    inputs: Sequence[Value | None], attributes: dict[str, Any]
) -> Callable[..., Any] | None:
    constants = _constants(inputs)
    if constants is None:
        return None
    weight, bias = constants
    windows = Windows.of(weight.shape[2:], attributes)
    plans = dict[tuple[Pads, tuple[int, ...]], ConvTranspose2dPlan]()
    group = attributes.get("group", 1)

    def run(x: Array, *_: Array) -> Any:
        padding, more, beyond = transposed_padding(windows, x.shape[2:], attributes)
        if any(beyond):
            return transposed(x, weight, bias, **attributes)
        plan = plans.get((padding, more))
        if plan is None:
            if len(plans) >= _MOST_PLANS:
                plans.clear()
            made = plan_conv_transpose2d(as_image(weight), bias, *_options(windows, padding, more, group))
            plan = plans.setdefault((padding, more), made)
        return _as_before(plan(as_image(x)), x.ndim)

    return run


def _options(windows: Windows, padding: Pads, more: tuple[int, ...], group: int) -> Any:
    """The arguments of a transposed convolution of images, or of signals as images of one row."""
    wide = row(windows)
    if len(padding) == 1:
        padding, more = ((0, 0), *padding), (0, *more)
    return wide.strides, padding, more, group, wide.dilations


def _transposed_type(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, weight = inputs[:2]
    assert x is not None
    assert weight is not None
    shape = weight.shape
    if x.shape is None or shape is None or not all(isinstance(size, int) for size in shape[1:]):
        return [Type(x.dtype)]
    kernel: Any = shape[2:]
    windows, filters = Windows.of(kernel, attributes), shape[1]
    assert isinstance(filters, int)
    sizes: list[Size] = [None] * len(kernel)
    spatial = x.shape[2:]
    if all(isinstance(size, int) for size in spatial):
        known: Any = spatial
        padding, more, beyond = transposed_padding(windows, known, attributes)
        axes = zip(known, windows.strides, windows.extents, padding, more, beyond, strict=True)
        sizes = [(n - 1) * s + e - sum(pads) + inner + outer for n, s, e, pads, inner, outer in axes]
    return [Type(x.dtype, (x.shape[0], filters * attributes.get("group", 1), *sizes))]


@operation("ConvTranspose", rule=_transposed_type, prepare=_transposed_plans)
def transposed(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    given = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    windows = Windows.of(weight.shape[2:], given)
    shapes = {"output_padding": output_padding, "output_shape": output_shape}
    padding, more, beyond = transposed_padding(windows, x.shape[2:], shapes)
    own = None if any(beyond) else bias  # beyond the windows there is the bias alone
    if x.ndim == 5:
        y = _transposed_volume(x, weight, own, windows, padding, more, group)
    else:
        options = _options(windows, padding, more, group)
        y = _as_before(conv_transpose2d(as_image(x), as_image(weight), own, *options), x.ndim)
    if not any(beyond):
        return y
    y = np.pad(y, ((0, 0), (0, 0), *((0, n) for n in beyond)))
    return y if bias is None else y + bias.reshape((-1,) + (1,) * (x.ndim - 2))


def _transposed_volume(
    x: Array,
    weight: Array,
    bias: Array | None,
    windows: Windows,
    padding: Pads,
    more: tuple[int, ...],
    group: int,
) -> Array:
    stride, dilation = windows.strides, windows.dilations
    depth = (x.shape[2] - 1) * stride[0] + windows.extents[0] + more[0]
    images = x.swapaxes(1, 2).reshape(-1, x.shape[1], *x.shape[3:])
    options: Any = (stride[1:], padding[1:], more[1:], group, dilation[1:])
    y: Array | None = None
    for place in range(weight.shape[2]):
        part = conv_transpose2d(images, weight[:, :, place], None, *options)
        if y is None:
            y = np.zeros((len(x), depth, *part.shape[1:]), part.dtype)
        first = place * dilation[0]
        y[:, first : first + (x.shape[2] - 1) * stride[0] + 1 : stride[0]] += part.reshape(
            len(x), x.shape[2], *part.shape[1:]
        )
    assert y is not None
    before, after = padding[0]
    result: Array = y[:, before : depth - after].swapaxes(1, 2)
    return result if bias is None else result + bias.reshape(-1, 1, 1, 1)


@operation("DeformConv", rule=convolved)
def deformable(
    x: Array,
    weight: Array,
    offset: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    offset_group: int = 1,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    windows = Windows.of(weight.shape[2:], {"dilations": dilations, "pads": pads, "strides": strides})
    options: Any = (windows.strides, windows.padding(x.shape[2:]), windows.dilations, mask)
    return deform_conv2d(x, offset, weight, bias, *options)
