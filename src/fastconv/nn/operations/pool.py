"""Poolings of images, by maxima, means and norms."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv import grad
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.symbols import Drawing, Symbol, is_last
from fastconv.ops.pool import avg_pool2d, lp_pool2d, max_pool2d
from fastconv.ops.pool_adaptive import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
)
from fastconv.ops.pool_random import fractional_max_pool2d, stochastic_pool2d
from fastconv.problem.options import padding as read_padding
from fastconv.typing import Array

Function = Callable[..., Any]


def pair(value: Any) -> tuple[int, int]:
    """A number for both axes, or one for each."""
    return (int(value), int(value)) if np.ndim(value) == 0 else (int(value[0]), int(value[1]))


def _accepted(function: Function, options: dict[str, Any]) -> dict[str, Any]:
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in known}


def _picking(name: str, forward: Function, gradient: Function, emit: Function | None) -> Operation:
    """One whose outputs are pixels of the windows."""

    def record(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
        y, indices = forward(x, return_indices=True, **options)
        size, back = x.shape, _accepted(gradient, options)
        return y, lambda slope: (gradient(slope, indices, size, **back),)

    return Operation(name, forward, record, emit)


def _averaging(name: str, forward: Function, gradient: Function, emit: Function | None) -> Operation:
    """A linear one, whose gradient needs nothing of its input but the shape."""

    def record(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
        size = x.shape
        return forward(x, **options), lambda slope: (gradient(slope, size, **options),)

    return Operation(name, forward, record, emit)


def _windows(options: dict[str, Any]) -> dict[str, Any]:
    kernel = pair(options["kernel_size"])
    stride = kernel if options.get("stride") is None else pair(options["stride"])
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": stride}
    padding = read_padding("pooling", options.get("padding", 0))
    if padding == "same":
        attributes["auto_pad"] = "SAME_UPPER"
    elif padding == "full":
        raise ValueError("pooling with padding='full' has no form as a graph")
    elif padding != "valid":
        top, bottom, left, right = padding
        attributes["pads"] = top, left, bottom, right
    if options.get("ceil_mode"):
        attributes["ceil_mode"] = 1
    return attributes


def _between(drawing: Drawing, x: Symbol, layout: Any, draw: Callable[[Symbol], Symbol]) -> Symbol:
    last = is_last({"layout": layout})
    return drawing.back(draw(drawing.images(x, last)), last)


def _emit_max(drawing: Drawing, x: Symbol, *, layout: Any, **options: Any) -> Symbol:
    attributes = _windows(options) | {"dilations": pair(options.get("dilation", 1))}
    return _between(drawing, x, layout, lambda image: drawing.node("MaxPool", [image], **attributes))


def _emit_avg(drawing: Drawing, x: Symbol, *, layout: Any, **options: Any) -> Symbol:
    attributes: dict[str, Any] = _windows(options) | {
        "count_include_pad": int(options.get("count_include_pad", True))
    }
    divisor = options.get("divisor_override")

    def draw(image: Symbol) -> Symbol:
        if divisor is None:
            return drawing.node("AveragePool", [image], **attributes)
        area = attributes["kernel_shape"][0] * attributes["kernel_shape"][1]
        whole = drawing.node("AveragePool", [image], **attributes | {"count_include_pad": 1})
        return drawing.node("Mul", [whole, drawing.constant(area / divisor, x.dtype)])

    return _between(drawing, x, layout, draw)


def _emit_lp(drawing: Drawing, x: Symbol, *, layout: Any, **options: Any) -> Symbol:
    power = float(options["norm_type"])
    if power != int(power) or int(power) % 2:
        raise ValueError(f"lp_pool2d with norm_type={power:g} has no form as a graph: even integers have")
    attributes = _windows(options) | {"p": int(power)}
    return _between(drawing, x, layout, lambda image: drawing.node("LpPool", [image], **attributes))


def _emit_global(node: str) -> Function:
    def emit(drawing: Drawing, x: Symbol, *, layout: Any, keepdims: bool = True) -> Symbol:
        if not keepdims:
            image = drawing.images(x, is_last({"layout": layout}))
            return drawing.node("Flatten", [drawing.node(node, [image])])
        return _between(drawing, x, layout, lambda image: drawing.node(node, [image]))

    return emit


def _bounds(size: int, count: int) -> list[tuple[int, int]]:
    """PyTorch's adaptive windows."""
    return [(o * size // count, -(-(o + 1) * size // count)) for o in range(count)]


def _emit_adaptive(node: str, general: Callable[[Drawing, Symbol, Sequence[int]], Symbol]) -> Function:
    def emit(drawing: Drawing, x: Symbol, *, layout: Any, output_size: Any) -> Symbol:
        def draw(image: Symbol) -> Symbol:
            size = image.shape[2:]
            wanted = [output_size] * 2 if np.ndim(output_size) == 0 and output_size else list(output_size)
            counts = [have if want is None else int(want) for want, have in zip(wanted, size, strict=True)]
            if counts == [1, 1]:
                return drawing.node(f"Global{node}", [image])
            if not all(isinstance(length, int) for length in size):
                raise ValueError(f"adaptive pooling to {counts} of an image whose size is not known")
            if any(length % count for length, count in zip(size, counts, strict=True)):
                return general(drawing, image, counts)
            kernel = tuple(length // count for length, count in zip(size, counts, strict=True))
            return drawing.node(node, [image], kernel_shape=kernel, strides=kernel)

        return _between(drawing, x, layout, draw)

    return emit


def _average_as_products(drawing: Drawing, image: Symbol, counts: Sequence[int]) -> Symbol:
    """Windows of different sizes: a product with a matrix of weights along each axis."""
    matrices = []
    for size, count in zip(image.shape[2:], counts, strict=True):
        matrix = np.zeros((count, size))
        for row, (start, stop) in zip(matrix, _bounds(size, count), strict=True):
            row[start:stop] = 1 / (stop - start)
        matrices.append(matrix.astype(image.dtype))
    rows = drawing.node("MatMul", [drawing.symbol(matrices[0], image), image])
    return drawing.node("MatMul", [rows, drawing.symbol(matrices[1].T, image)])


def _maximum_in_parts(drawing: Drawing, image: Symbol, counts: Sequence[int]) -> Symbol:
    """Windows of different sizes: the maxima of slices along each axis, put together."""
    for axis, count in zip((2, 3), counts, strict=True):
        parts = []
        for start, stop in _bounds(image.shape[axis], count):
            bounds = [drawing.constant([value]) for value in (start, stop, axis)]
            part = drawing.node("Slice", [image, *bounds])
            parts.append(drawing.node("ReduceMax", [part, drawing.constant([axis])], keepdims=1))
        image = drawing.node("Concat", parts, axis=axis)
    return image


MAX_POOL2D = _picking("max_pool2d", max_pool2d, grad.max_pool2d, _emit_max)
ADAPTIVE_MAX_POOL2D = _picking(
    "adaptive_max_pool2d",
    adaptive_max_pool2d,
    grad.adaptive_max_pool2d,
    _emit_adaptive("MaxPool", _maximum_in_parts),
)
GLOBAL_MAX_POOL2D = _picking(
    "global_max_pool2d", global_max_pool2d, grad.global_max_pool2d, _emit_global("GlobalMaxPool")
)
FRACTIONAL_MAX_POOL2D = _picking(
    "fractional_max_pool2d", fractional_max_pool2d, grad.fractional_max_pool2d, None
)
AVG_POOL2D = _averaging("avg_pool2d", avg_pool2d, grad.avg_pool2d, _emit_avg)
ADAPTIVE_AVG_POOL2D = _averaging(
    "adaptive_avg_pool2d",
    adaptive_avg_pool2d,
    lambda slope, size, *, layout, output_size: grad.adaptive_avg_pool2d(slope, size, layout=layout),
    _emit_adaptive("AveragePool", _average_as_products),
)
GLOBAL_AVG_POOL2D = _averaging(
    "global_avg_pool2d", global_avg_pool2d, grad.global_avg_pool2d, _emit_global("GlobalAveragePool")
)


def _record_lp(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
    return lp_pool2d(x, **options), lambda slope: (grad.lp_pool2d(slope, x, **options),)


LP_POOL2D = Operation("lp_pool2d", lp_pool2d, _record_lp, _emit_lp)


def _record_stochastic(needs: tuple[bool, ...], x: Array, **options: Any) -> tuple[Array, Pullback]:
    if not options["training"]:
        raise ValueError("stochastic pooling has a gradient in training mode only, where it picks pixels")
    y, indices = stochastic_pool2d(x, return_indices=True, **options)
    size, layout = x.shape, options["layout"]
    return y, lambda slope: (grad.stochastic_pool2d(slope, indices, size, layout=layout),)


STOCHASTIC_POOL2D = Operation("stochastic_pool2d", stochastic_pool2d, _record_stochastic)
