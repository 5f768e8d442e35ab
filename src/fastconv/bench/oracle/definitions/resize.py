"""Resized images and the gradient: a matrix for each axis, made pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.bench.oracle.definitions.common import Array, Definition, Part, computed


def resize2d(
    x: Array,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    *,
    coordinates: str | None = None,
) -> Definition:
    rows, columns = _matrices(x.shape[2:], size, scale_factor, mode, align_corners, antialias, coordinates)
    shape = *x.shape[:2], len(rows), len(columns)
    return computed(shape, lambda: _products(x, rows, columns))


def resize2d_gradient(
    grad_output: Array,
    x: Array,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    *,
    coordinates: str | None = None,
) -> Definition:
    rows, columns = _matrices(x.shape[2:], size, scale_factor, mode, align_corners, antialias, coordinates)
    return computed(x.shape, lambda: _products(grad_output, rows.T, columns.T))


def _products(x: Array, rows: Array, columns: Array) -> Part:
    def product(x: Array, rows: Array, columns: Array) -> Array:
        result: Array = rows @ x.astype(np.float64) @ columns.T
        return result

    return product(x, rows, columns), product(np.abs(x), np.abs(rows), np.abs(columns))


def _matrices(
    before: tuple[int, ...],
    size: Any,
    factor: Any,
    mode: str,
    align_corners: bool,
    antialias: bool,
    where: Any,
) -> list[Array]:
    where = where or (
        "align_corners" if align_corners else "asymmetric" if mode == "nearest" else "half_pixel"
    )
    result = []
    for axis, n in enumerate(before):
        if size is not None:
            out = size if isinstance(size, int) else size[axis]
            scale = n / out
        else:
            own = factor[axis] if isinstance(factor, (tuple, list)) else factor
            out, scale = math.floor(n * own), 1 / own
        result.append(np.array([_row(o, n, out, scale, mode, where, antialias) for o in range(out)]))
    return result


def _row(o: int, n: int, out: int, scale: float, mode: str, where: str, antialias: bool) -> Array:
    """The weights of the n pixels in output o."""
    place = {
        "align_corners": o * (n - 1) / max(out - 1, 1),
        "asymmetric": o * scale,
        "half_pixel": (o + 0.5) * scale - 0.5,
    }[where]
    row = np.zeros(n)
    if mode == "nearest":
        nearest = math.floor(place) if where == "asymmetric" else math.floor(place + 0.5)
        row[min(max(nearest, 0), n - 1)] = 1
        return row
    stretch = max(scale, 1.0) if antialias else 1.0
    for pixel in range(math.floor(place - 2 * stretch) - 1, math.ceil(place + 2 * stretch) + 2):
        weight = _shape(abs(pixel - place) / stretch, mode, -0.5 if antialias else -0.75)
        if not antialias:
            row[min(max(pixel, 0), n - 1)] += weight
        elif 0 <= pixel < n:
            row[pixel] += weight
    return row / row.sum() if antialias else row


def _shape(d: float, mode: str, a: float) -> float:
    if mode == "linear":
        return max(1 - d, 0.0)
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0
