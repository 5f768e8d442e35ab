"""Pooling: the library's own where it has it, and any number of axes, dilation or padding besides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.execution.memory import check_memory
from fastconv.graph.graph import Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.conv import as_image, row
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import Type, operation
from fastconv.graph.operations.windows import AutoPad, Windows
from fastconv.ops.pool import avg_pool2d, max_pool2d
from fastconv.ops.pool_adaptive import global_avg_pool2d, global_max_pool2d
from fastconv.ops.unfold import fold
from fastconv.typing import Array

_INDEX = np.dtype(np.int64)


def pooled(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    assert x is not None
    if x.shape is None:
        return [Type(x.dtype), Type(_INDEX)]
    windows = Windows.of(attributes["kernel_shape"], attributes)
    shape = (*x.shape[:2], *windows.shape(x.shape[2:]))
    return [Type(x.dtype, shape), Type(_INDEX, shape)]


def _is_usual(x: Array, windows: Windows) -> bool:
    """Whether the library's pooling takes it: images or signals, every window with a pixel of the image."""
    pads = windows.padding(x.shape[2:])
    return x.ndim in (3, 4) and all(max(p) < e for p, e in zip(pads, windows.extents, strict=True))


def views(x: Array, windows: Windows, fill: Any) -> Any:
    """The elements of all windows, those of each along the last axes."""
    spatial = x.shape[2:]
    counts, pads = windows.counts(spatial), windows.padding(spatial)
    if 0 in counts:
        raise ValueError(f"windows of {windows.extents} do not fit an image of {spatial}, padded by {pads}")
    ends = [(c - 1) * s + e for c, s, e in zip(counts, windows.strides, windows.extents, strict=True)]
    borders = [
        (before, max(end - size - before, after))
        for (before, after), end, size in zip(pads, ends, spatial, strict=True)
    ]
    padded = np.pad(x, ((0, 0), (0, 0), *borders), constant_values=fill)
    axes = tuple(range(2, x.ndim))
    every: Any = np.lib.stride_tricks.sliding_window_view(padded, windows.extents, axes)
    starts = [slice(0, (c - 1) * s + 1, s) for c, s in zip(counts, windows.strides, strict=True)]
    index: Any = (..., *starts, *(slice(None, None, d) for d in windows.dilations))
    return every[index]


@operation("MaxPool", rule=pooled, grows=True)
def max_pool(
    x: Array,
    *,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    storage_order: int = 0,
    strides: tuple[int, ...] | None = None,
    outputs: int = 1,
) -> Any:
    given = {
        "auto_pad": auto_pad,
        "ceil_mode": ceil_mode,
        "dilations": dilations,
        "pads": pads,
        "strides": strides,
    }
    windows = Windows.of(kernel_shape, given)
    if not _is_usual(x, windows):
        if outputs > 1:
            raise ValueError(
                "MaxPool: indices of this rank, or of padding as wide as a window, are not supported"
            )
        least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
        return views(x, windows, least).max(axis=tuple(range(x.ndim, 2 * x.ndim - 2)))
    image, wide = as_image(x), row(windows)
    options: Any = (wide.kernel, wide.strides, wide.padding(image.shape[2:]), wide.dilations, windows.ceil)
    if outputs == 1:
        return max_pool2d(image, *options).reshape(*x.shape[:2], *windows.counts(x.shape[2:]))
    values, places = max_pool2d(image, *options, return_indices=True)
    height, width = image.shape[2:]
    if storage_order:
        places = places % width * height + places // width
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1)
    places = places + planes * (height * width)  # ONNX counts through the whole array
    shape = (*x.shape[:2], *windows.counts(x.shape[2:]))
    return values.reshape(shape), places.reshape(shape)


@operation("AveragePool", rule=pooled, grows=True)
def average_pool(
    x: Array,
    *,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    given = {
        "auto_pad": auto_pad,
        "ceil_mode": ceil_mode,
        "dilations": dilations,
        "pads": pads,
        "strides": strides,
    }
    windows = Windows.of(kernel_shape, given)
    shape = (*x.shape[:2], *windows.counts(x.shape[2:]))
    if _is_usual(x, windows) and set(windows.dilations) == {1}:
        image, wide = as_image(x), row(windows)
        options: Any = (
            wide.kernel,
            wide.strides,
            wide.padding(image.shape[2:]),
            windows.ceil,
            bool(count_include_pad),
        )
        return avg_pool2d(image, *options).reshape(shape)
    total = views(x, windows, 0).sum(axis=tuple(range(x.ndim, 2 * x.ndim - 2)))
    return (total / divisors(windows, x.shape[2:], bool(count_include_pad))).astype(x.dtype)


def divisors(windows: Windows, spatial: tuple[int, ...], with_padding: bool) -> Array:
    """How many elements each window counts."""
    result = np.ones((1,) * len(spatial))
    counts, pads = windows.counts(spatial), windows.padding(spatial)
    for axis, size in enumerate(spatial):
        before, after = pads[axis] if with_padding else (0, 0)
        starts = np.arange(counts[axis]) * windows.strides[axis] - pads[axis][0]
        places = starts[:, np.newaxis] + np.arange(windows.kernel[axis]) * windows.dilations[axis]
        inside = ((places >= -before) & (places < size + after)).sum(axis=1)
        result = result * inside.reshape((-1,) + (1,) * (len(spatial) - axis - 1))
    return result


@operation("LpPool", rule=pooled, grows=True)
def lp_pool(
    x: Array,
    *,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: int = 0,
    dilations: tuple[int, ...] | None = None,
    kernel_shape: tuple[int, ...],
    p: int = 2,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    given = {
        "auto_pad": auto_pad,
        "ceil_mode": ceil_mode,
        "dilations": dilations,
        "pads": pads,
        "strides": strides,
    }
    windows = Windows.of(kernel_shape, given)
    powers = np.abs(views(x, windows, 0)) ** p
    return (powers.sum(axis=tuple(range(x.ndim, 2 * x.ndim - 2))) ** (1 / p)).astype(x.dtype)


def one_pixel(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[0]
    assert x is not None
    shape = None if x.shape is None else (*x.shape[:2], *(1 for _ in x.shape[2:]))
    return [Type(x.dtype, shape)]


@operation("GlobalAveragePool", rule=one_pixel)
def global_average_pool(x: Array) -> Any:
    return global_avg_pool2d(_planes(x)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


@operation("GlobalMaxPool", rule=one_pixel)
def global_maximum_pool(x: Array) -> Any:
    return global_max_pool2d(_planes(x)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


@operation("GlobalLpPool", rule=one_pixel)
def global_lp_pool(x: Array, *, p: int = 2) -> Any:
    along = tuple(range(2, x.ndim))
    return ((np.abs(x) ** p).sum(axis=along, keepdims=True) ** (1 / p)).astype(x.dtype)


def _planes(x: Array) -> Array:
    """Channels as images, however many axes they have."""
    return x.reshape(
        *x.shape[:2], *((1, *x.shape[2:])[-2:] if x.ndim < 5 else (x.shape[2], math.prod(x.shape[3:])))
    )


def _unpooled_shape(shape: tuple[int, ...], attributes: dict[str, Any]) -> tuple[int, ...]:
    windows, spatial = Windows.of(attributes["kernel_shape"], attributes), shape[2:]
    axes = zip(spatial, windows.strides, windows.kernel, windows.padding(spatial), strict=True)
    return (*shape[:2], *((n - 1) * s + k - sum(pad) for n, s, k, pad in axes))


def _unpooled(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, wanted = shape_rules.first(inputs), shape_rules.integers(inputs, 2)
    if x.shape is None or (wanted is None and shape_rules.is_given(inputs, 2)):
        return [Type(x.dtype)]
    known = tuple(size for size in x.shape if isinstance(size, int))
    if len(known) < len(x.shape):
        Windows.of(attributes["kernel_shape"], attributes).shape(x.shape[2:])
        return [Type(x.dtype)]
    shape = _unpooled_shape(known, attributes)
    shape_rules.of_length("output sizes", wanted, len(shape))
    return [Type(x.dtype, shape if wanted is None else tuple(wanted))]


@operation("MaxUnpool", rule=_unpooled, grows=True)
def max_unpool(
    x: Array,
    indices: Array,
    output_shape: Array | None = None,
    *,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    """Indices count through an array of the size that pooling had by default, the first part of a larger one."""
    shape = _unpooled_shape(x.shape, {"kernel_shape": kernel_shape, "pads": pads, "strides": strides})
    check_memory("MaxUnpool", shape, x.dtype.itemsize)
    count = math.prod(shape)
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        raise ValueError(
            f"MaxUnpool: indices from {indices.min()} to {indices.max()}, but there are {count} places"
        )
    flat = np.zeros(count, x.dtype)
    flat[indices.ravel()] = x.ravel()
    result = flat.reshape(shape)
    if output_shape is None:
        return result
    wanted = sizes(output_shape)
    return np.pad(result, [(0, large - small) for large, small in zip(wanted, shape, strict=True)])


def _image_of_columns(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, size, kernel = (
        shape_rules.first(inputs),
        shape_rules.integers(inputs, 1),
        shape_rules.integers(inputs, 2),
    )
    if size is None or kernel is None:
        return [Type(x.dtype)]
    Windows.of(kernel, attributes).shape(tuple(size))
    channels = None if x.shape is None else x.shape[1]
    parts = math.prod(kernel)
    known = channels // parts if isinstance(channels, int) else None
    return [Type(x.dtype, (None if x.shape is None else x.shape[0], known, *size))]


@operation("Col2Im", rule=_image_of_columns, grows=True)
def columns_to_image(
    x: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    dilations: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    size, kernel = tuple(sizes(image_shape)), tuple(sizes(block_shape))
    windows = Windows.of(kernel, {"dilations": dilations, "pads": pads, "strides": strides})
    padding = windows.padding(size)
    if len(size) == 2:
        options: Any = (size, kernel, windows.dilations, padding, windows.strides)
        return fold(x, *options)
    counts = windows.counts(size)
    columns = x.reshape(len(x), -1, *kernel, *counts)
    padded: Any = np.zeros(
        (*columns.shape[:2], *(n + sum(p) for n, p in zip(size, padding, strict=True))), x.dtype
    )
    for place in np.ndindex(*kernel):
        part = tuple(
            slice(k * d, k * d + (c - 1) * s + 1, s)
            for k, d, c, s in zip(place, windows.dilations, counts, windows.strides, strict=True)
        )
        padded[(..., *part)] += columns[(slice(None), slice(None), *place)]
    return padded[(..., *(slice(before, before + n) for (before, _), n in zip(padding, size, strict=True)))]
