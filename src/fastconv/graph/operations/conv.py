"""Convolution, and the deformable one. Weights that are constants are planned: prepared once for all calls.

The files of transposed and of fused convolutions use what is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.table import Type, operation
from fastconv.graph.operations.windows import AutoPad, Pads, Windows
from fastconv.ops.conv import conv2d
from fastconv.ops.deform import deform_conv2d
from fastconv.ops.plan import Conv2dPlan, plan_conv2d
from fastconv.typing import Array

MOST_PLANS = 16  # of one node: by the padding, which "same" lets depend on the size


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


def as_before(y: Array, rank: int) -> Array:
    return y[:, :, 0] if rank == 3 else y


def convolved(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, weight = inputs[:2]
    assert x is not None
    assert weight is not None
    if weight.shape is not None:
        check_kernel(weight.shape, attributes)
    if x.shape is None or weight.shape is None or not all(isinstance(k, int) for k in weight.shape):
        return [Type(x.dtype)]
    group, channels = attributes.get("group", 1), (x.shape[1], weight.shape[1])
    if all(isinstance(count, int) for count in channels) and channels[0] != channels[1] * group:
        raise ValueError(f"{channels[0]} channels, but {group} groups of {channels[1]}")
    windows = Windows.of(weight.shape[2:], attributes)
    return [Type(x.dtype, (x.shape[0], weight.shape[0], *windows.shape(x.shape[2:])))]


def check_kernel(weight: tuple[Size, ...], attributes: dict[str, Any]) -> None:
    """The kernel that an attribute says is that of the weights, and there are groups."""
    kernel, group = attributes.get("kernel_shape"), attributes.get("group", 1)
    if len(weight) < 3:
        raise ValueError(f"weights of {len(weight)} axes")
    if kernel and any(
        isinstance(own, int) and own != size for own, size in zip(weight[2:], kernel, strict=False)
    ):
        raise ValueError(f"kernel_shape is {kernel}, but the weights have the shape {weight}")
    if kernel and len(kernel) != len(weight) - 2:
        raise ValueError(f"kernel_shape is {kernel}, but the weights have {len(weight)} axes")
    if group < 1:
        raise ValueError(f"{group} groups")


def constants(inputs: Sequence[Value | None]) -> tuple[Any, Any] | None:
    """Weight and bias of images or signals where both are constants."""
    weight, bias = inputs[1], inputs[2] if len(inputs) > 2 else None
    if weight is None or not weight.is_constant or weight.constant.ndim not in (3, 4):
        return None
    if bias is not None and not bias.is_constant:
        return None
    return weight.constant, None if bias is None else bias.constant


def activation_of(attributes: dict[str, Any]) -> Any:
    """The activation that the attributes of a fused operation say, as the library's functions take it: these know no
    "prelu", which is `after_activation`'s."""
    word, parameters = attributes.get("activation"), attributes.get("activation_params")
    if word == "prelu":
        return None
    return (word, *parameters) if parameters else word or None


def planned(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Callable[..., Any] | None:
    known = constants(inputs)
    if known is None:
        return None
    weight, bias = known
    windows, plans = row(Windows.of(weight.shape[2:], attributes)), dict[Pads, Conv2dPlan]()
    group, activation = attributes.get("group", 1), activation_of(attributes)

    def run(x: Array, weight_: Any = None, bias_: Any = None, residual: Array | None = None) -> Array:
        image = as_image(x)
        padding = windows.padding(image.shape[2:])
        plan = plans.get(padding)
        if plan is None:
            if len(plans) >= MOST_PLANS:
                plans.clear()
            options: Any = (windows.strides, padding, windows.dilations, group)
            made = plan_conv2d(as_image(weight), bias, *options, activation=activation)
            plan = plans.setdefault(padding, made)
        return as_before(plan(image, residual=None if residual is None else as_image(residual)), x.ndim)

    return run


@operation("Conv", rule=convolved, prepare=planned)
def convolution(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "pads": pads, "strides": strides}
    return convolve(x, weight, bias, Windows.of(weight.shape[2:], attributes), group)


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None,
    windows: Windows,
    group: int,
    activation: Any = None,
    residual: Array | None = None,
) -> Any:
    """Of signals, images or volumes."""
    if x.ndim == 5:
        return _volume(x, weight, bias, windows, group, activation, residual)
    windows, image = row(windows), as_image(x)
    options: Any = (windows.strides, windows.padding(image.shape[2:]), windows.dilations, group)
    added = None if residual is None else as_image(residual)
    y = conv2d(image, as_image(weight), bias, *options, activation=activation, residual=added)
    return as_before(y, x.ndim)


def _volume(
    x: Array,
    weight: Array,
    bias: Array | None,
    windows: Windows,
    group: int,
    activation: Any,
    residual: Array | None,
) -> Array:
    """Three spatial axes: for each slice of the kernel a convolution of images, which are added up."""
    stride, dilation, padding = windows.strides, windows.dilations, windows.padding(x.shape[2:])
    depth, last = windows.counts(x.shape[2:])[0], weight.shape[2] - 1
    padded = np.pad(x, ((0, 0), (0, 0), padding[0], (0, 0), (0, 0)))
    options: Any = (stride[1:], padding[1:], dilation[1:], group)
    y = None if residual is None else _slices(residual)
    for place in range(last + 1):
        first = place * dilation[0]
        images = _slices(padded[:, :, first : first + (depth - 1) * stride[0] + 1 : stride[0]])
        own, function = None if place else bias, activation if place == last else None
        y = conv2d(images, weight[:, :, place], own, *options, residual=y, activation=function)
    assert y is not None
    return y.reshape(len(x), depth, *y.shape[1:]).swapaxes(1, 2)


def _slices(x: Array) -> Array:
    """A volume's slices as images, those of each sample together."""
    return x.swapaxes(1, 2).reshape(-1, x.shape[1], *x.shape[3:])


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
