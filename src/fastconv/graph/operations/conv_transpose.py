"""Transposed convolution: its sizes, which ONNX lets follow from the wanted shape, and its plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.backends.numpy.activations import apply
from fastconv.graph.graph import Size, Value
from fastconv.graph.operations.conv import (
    MOST_PLANS,
    activation_of,
    as_before,
    as_image,
    check_kernel,
    constants,
    row,
)
from fastconv.graph.operations.shape_rules import of_length
from fastconv.graph.operations.table import Type, operation
from fastconv.graph.operations.windows import AutoPad, Pads, Windows, split
from fastconv.ops.plan import ConvTranspose2dPlan, plan_conv_transpose2d
from fastconv.ops.transpose import conv_transpose2d
from fastconv.problem.options import activation as read_activation
from fastconv.typing import Array


def transposed_padding(
    windows: Windows, sizes: tuple[int, ...], attributes: dict[str, Any]
) -> tuple[Pads, tuple[int, ...], tuple[int, ...]]:
    """Padding, output padding as far as the strides allow it, and zeros beyond, of each axis."""
    rank = len(sizes)
    more = tuple(attributes.get("output_padding") or (0,) * rank)
    shape = attributes.get("output_shape")
    of_length("output paddings", more, rank)
    if shape is not None and len(shape) != rank + 2:
        of_length("output sizes", shape, rank)
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


def planned_transposed(
    inputs: Sequence[Value | None], attributes: dict[str, Any]
) -> Callable[..., Any] | None:
    known = constants(inputs)
    if known is None:
        return None
    weight, bias = known
    windows = Windows.of(weight.shape[2:], attributes)
    plans = dict[tuple[Pads, tuple[int, ...]], ConvTranspose2dPlan]()
    group, activation = attributes.get("group", 1), activation_of(attributes)

    def run(x: Array, *_: Array) -> Any:
        padding, more, beyond = transposed_padding(windows, x.shape[2:], attributes)
        if any(beyond):
            return convolve_transposed(x, weight, bias, attributes)
        plan = plans.get((padding, more))
        if plan is None:
            if len(plans) >= MOST_PLANS:
                plans.clear()
            options = transposed_options(windows, padding, more, group)
            made = plan_conv_transpose2d(as_image(weight), bias, *options, activation=activation)
            plan = plans.setdefault((padding, more), made)
        return as_before(plan(as_image(x)), x.ndim)

    return run


def transposed_options(windows: Windows, padding: Pads, more: tuple[int, ...], group: int) -> Any:
    """The arguments of a transposed convolution of images, or of signals as images of one row."""
    wide = row(windows)
    if len(padding) == 1:
        padding, more = ((0, 0), *padding), (0, *more)
    return wide.strides, padding, more, group, wide.dilations


def transposed_type(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, weight = inputs[:2]
    assert x is not None
    assert weight is not None
    shape = weight.shape
    if shape is not None:
        check_kernel(shape, attributes)
    if x.shape is None or shape is None or not all(isinstance(size, int) for size in shape[1:]):
        return [Type(x.dtype)]
    kernel: Any = shape[2:]
    if len(x.shape) != len(shape):
        raise ValueError(f"weights of {len(shape)} axes for {len(x.shape)} axes")
    counts = x.shape[1], shape[0]
    if all(isinstance(count, int) for count in counts) and counts[0] != counts[1]:
        raise ValueError(f"{counts[0]} channels, but weights for {counts[1]}")
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


@operation("ConvTranspose", rule=transposed_type, prepare=planned_transposed)
def transposed(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    output_padding: tuple[int, ...] | None = None,
    output_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    given = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    given |= {"output_padding": output_padding, "output_shape": output_shape}
    return convolve_transposed(x, weight, bias, given)


def convolve_transposed(x: Array, weight: Array, bias: Array | None, attributes: dict[str, Any]) -> Any:
    """Of signals, images or volumes, with the activation that a fused one has."""
    windows, group = Windows.of(weight.shape[2:], attributes), attributes.get("group", 1)
    padding, more, beyond = transposed_padding(windows, x.shape[2:], attributes)
    activation = activation_of(attributes)
    if x.ndim < 5 and not any(beyond):
        options = transposed_options(windows, padding, more, group)
        y = conv_transpose2d(as_image(x), as_image(weight), bias, *options, activation=activation)
        return as_before(y, x.ndim)
    if x.ndim == 5:
        y = _transposed_volume(x, weight, windows, padding, more, group)
    else:
        options = transposed_options(windows, padding, more, group)
        y = as_before(conv_transpose2d(as_image(x), as_image(weight), None, *options), x.ndim)
    y = np.pad(y, ((0, 0), (0, 0), *((0, n) for n in beyond)))  # there is the bias alone
    if bias is not None:
        y = y + bias.reshape((-1,) + (1,) * (x.ndim - 2))
    function = read_activation("ConvTranspose", activation)
    return y if function is None else apply(function, y)


def _transposed_volume(
    x: Array,
    weight: Array,
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
    return y[:, before : depth - after].swapaxes(1, 2)
