"""Sampling at places that are computed: grids, and regions of interest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fastconv.graph.graph import Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.resize import cubic_kernel
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.typing import Array


def _sampled(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, grid = inputs
    assert x is not None
    assert grid is not None
    if x.shape is None or grid.shape is None:
        return [Type(x.dtype)]
    return [Type(x.dtype, (*x.shape[:2], *grid.shape[1:-1]))]


@operation("GridSample", rule=_sampled)
def grid_sample(
    x: Array,
    grid: Array,
    *,
    align_corners: int = 0,
    mode: Literal["linear", "nearest", "cubic"] = "linear",
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros",
) -> Any:
    """`x` at the places of `grid`, which go from -1 to 1 along each axis, the last axis of `x` first."""
    spatial = x.shape[2:]
    places = []
    for axis, size in enumerate(spatial):
        unit = grid[..., len(spatial) - 1 - axis].astype(np.float64)
        place = (unit + 1) / 2 * (size - 1) if align_corners else ((unit + 1) * size - 1) / 2
        if padding_mode == "border" and mode != "cubic":
            place = np.clip(place, 0, size - 1)
        elif padding_mode == "reflection" and mode != "cubic":
            place = _reflected(place, size, bool(align_corners))
        places.append(place)
    if mode == "nearest":
        return _at(
            x, [np.rint(place).astype(np.int64) for place in places], padding_mode, bool(align_corners)
        )
    taps = range(-1, 3) if mode == "cubic" else range(2)
    result: Any = 0
    for corner in itertools.product(taps, repeat=len(spatial)):
        index, weight = [], np.ones(grid.shape[:-1])
        for place, tap in zip(places, corner, strict=True):
            whole = np.floor(place)
            distance = place - whole - tap
            weight = weight * (cubic_kernel(distance, -0.75) if mode == "cubic" else 1 - np.abs(distance))
            index.append(whole.astype(np.int64) + tap)
        result = result + _at(x, index, padding_mode, bool(align_corners)) * weight[:, np.newaxis]
    return np.asarray(result).astype(x.dtype)


def _reflected(place: Array, size: int, centres: bool) -> Array:
    """Folded back at the centres of the outer pixels, or at their outer edges."""
    low, high = (0.0, size - 1.0) if centres else (-0.5, size - 0.5)
    length = high - low
    if length == 0:
        return np.zeros_like(place)
    beyond = np.mod(place - low, 2 * length)
    return np.clip(low + np.minimum(beyond, 2 * length - beyond), 0, size - 1)


def _at(x: Array, index: list[Array], padding_mode: str, centres: bool) -> Array:
    """Whole pixels, (N, C, ...); those outside by the mode."""
    inside = np.ones(index[0].shape, bool)
    for axis, place in enumerate(index):
        size = x.shape[2 + axis]
        if padding_mode == "reflection":
            place = _reflected(place.astype(np.float64), size, centres).astype(np.int64)
        elif padding_mode == "zeros":
            inside &= (place >= 0) & (place < size)
        index[axis] = np.clip(place, 0, size - 1)
    batch = np.arange(len(x)).reshape((-1,) + (1,) * (index[0].ndim - 1))
    values = np.moveaxis(x, 1, -1)[(batch, *index)]
    return np.moveaxis(np.where(inside[..., np.newaxis], values, x.dtype.type(0)), -1, 1)


@upgrade("GridSample", to=20)
def modes_have_short_names(reading: Reading) -> None:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = reading.attributes.get("mode", "linear")
    reading.attributes["mode"] = names.get(mode, mode)


def _grid(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    theta, size = shape_rules.first(inputs), shape_rules.integers(inputs, 1)
    if theta.shape is None or size is None:
        return [Type(theta.dtype)]
    return [Type(theta.dtype, (theta.shape[0], *size[2:], len(size) - 2))]


@operation("AffineGrid", rule=_grid, grows=True)
def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Any:
    spatial = sizes(size)[2:]
    lines = []
    for count in reversed(spatial):
        step = np.arange(count, dtype=np.float64)
        lines.append(step * 2 / max(count - 1, 1) - 1 if align_corners else (2 * step + 1) / count - 1)
    axes = np.meshgrid(*lines[::-1], indexing="ij")[::-1]
    points = np.stack([*axes, np.ones(spatial)], -1)
    flat = points.reshape(-1, len(spatial) + 1) @ theta.astype(np.float64).transpose(0, 2, 1)
    return flat.reshape(len(theta), *spatial, len(spatial)).astype(theta.dtype)


def _aligned(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, rois = inputs[:2]
    assert x is not None
    count = None if rois is None or rois.shape is None else rois.shape[0]
    channels = None if x.shape is None else x.shape[1]
    size = (attributes.get("output_height", 1), attributes.get("output_width", 1))
    return [Type(x.dtype, (count, channels, *size))]


@operation("RoiAlign", rule=_aligned, grows=True)
def roi_align(
    x: Array,
    rois: Array,
    batch_indices: Array,
    *,
    coordinate_transformation_mode: Literal["half_pixel", "output_half_pixel"] = "half_pixel",
    mode: Literal["avg", "max"] = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Bilinear samples in each bin of each region, averaged, or the largest of them."""
    half = 0.5 if coordinate_transformation_mode == "half_pixel" else 0.0
    result = np.zeros((len(rois), x.shape[1], output_height, output_width), x.dtype)
    for number, (roi, batch) in enumerate(zip(rois, sizes(batch_indices), strict=True)):
        left, top, right, bottom = (float(side) * spatial_scale - half for side in roi)
        height, width = bottom - top, right - left
        if not half:
            height, width = max(height, 1.0), max(width, 1.0)
        ys = _samples(top, height, output_height, sampling_ratio)
        xs = _samples(left, width, output_width, sampling_ratio)
        if not ys.size or not xs.size:  # sides in the wrong order
            continue
        values = _bilinear(x[batch], ys.ravel(), xs.ravel(), mode == "max")
        bins = values.reshape(x.shape[1], *ys.shape, *xs.shape)
        result[number] = bins.max(axis=(2, 4)) if mode == "max" else bins.mean(axis=(2, 4))
    return result


def _samples(start: float, length: float, bins: int, ratio: int) -> Array:
    count = ratio if ratio > 0 else max(math.ceil(length / bins), 0)
    step = length / bins
    places = (np.arange(count) + 0.5) * step / max(count, 1)
    return start + np.arange(bins)[:, np.newaxis] * step + places


def _bilinear(image: Array, ys: Array, xs: Array, largest: bool) -> Any:
    """(C, len(ys), len(xs)); 0 where a place is more than a pixel outside. `largest`: of the weighted corners."""
    parts = []
    for places, size in ((ys, image.shape[1]), (xs, image.shape[2])):
        outside = (places < -1) | (places > size)
        place = np.clip(places, 0, size - 1)
        low = np.floor(place).astype(np.int64)
        high = np.minimum(low + 1, size - 1)
        far = place - low
        parts.append((np.stack([low, high]), np.where(outside, 0, np.stack([1 - far, far]))))
    (rows, row_weights), (columns, column_weights) = parts
    corners = [
        image[:, rows[i]][:, :, columns[j]] * (row_weights[i][:, np.newaxis] * column_weights[j])
        for i in range(2)
        for j in range(2)
    ]
    return np.max(corners, axis=0) if largest else np.sum(corners, axis=0)


@upgrade("RoiAlign", to=16)
def corners_were_the_default(reading: Reading) -> None:
    reading.attributes["coordinate_transformation_mode"] = "output_half_pixel"
