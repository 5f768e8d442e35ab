"""The tables of a resized axis: which inputs each output is a weighted sum of, and the weights."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.caches import kept
from fastconv.typing import Array

Mode = Literal["nearest", "linear", "cubic"]
Coordinates = Literal["half_pixel", "align_corners", "asymmetric"]
MODES: tuple[Mode, ...] = ("nearest", "linear", "cubic")
COORDINATES: tuple[Coordinates, ...] = ("half_pixel", "align_corners", "asymmetric")

# Keys' parameter: PyTorch's, and with antialiasing Pillow's.
_SHARPNESS, _SHARPNESS_ANTIALIASED = -0.75, -0.5


class Taps(NamedTuple):
    """Output o is the sum of `counts[o]` inputs from `starts[o]` on, times the first of `weights[o]`."""

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: Array


@kept()
def taps(size: int, out: int, scale: float, mode: Mode, coordinates: Coordinates, antialias: bool) -> Taps:
    """Of an axis of `size` pixels that becomes `out`; `scale` is the inputs in an output pixel."""
    o = np.arange(out, dtype=np.float64)
    if coordinates == "align_corners":
        place = o * ((size - 1) / (out - 1) if out > 1 else 0.0)
    elif coordinates == "asymmetric":
        place = o * scale
    else:
        place = (o + 0.5) * scale - 0.5
        if mode == "linear" and not antialias:
            place = np.maximum(place, 0)
    if mode == "nearest":
        whole = np.floor(place if coordinates == "asymmetric" else place + 0.5)
        return table_of(np.clip(whole, 0, size - 1).astype(np.int64)[:, np.newaxis], np.ones((out, 1)), size)
    reach = 1 if mode == "linear" else 2
    wide = max(scale, 1.0) if antialias else 1.0
    first = np.floor(place - reach * wide).astype(np.int64) + (0 if antialias else 1)
    at = first[:, np.newaxis] + np.arange(int(np.ceil(2 * reach * wide)) + (2 if antialias else 0))
    distance = np.abs(at - place[:, np.newaxis]) / wide
    weights = np.maximum(1 - distance, 0) if mode == "linear" else _cubic(distance, antialias)
    if antialias:  # what lies outside has no share
        weights = np.where((at >= 0) & (at < size), weights, 0)
        weights /= weights.sum(1, keepdims=True)
    return table_of(np.clip(at, 0, size - 1), weights, size)


def _cubic(d: Array, antialias: bool) -> Array:
    """R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981."""
    a = _SHARPNESS_ANTIALIASED if antialias else _SHARPNESS
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0))


@kept()
def transposed(
    size: int, out: int, scale: float, mode: Mode, coordinates: Coordinates, antialias: bool
) -> Taps:
    """The table of the gradient: which outputs each input has a share of."""
    forward = taps(size, out, scale, mode, coordinates, antialias)
    step = np.arange(forward.weights.shape[1])
    used = step < forward.counts[:, np.newaxis]
    outputs = np.broadcast_to(np.arange(out)[:, np.newaxis], used.shape)[used]
    inputs, weights = (forward.starts[:, np.newaxis] + step)[used], forward.weights[used]
    return _rows(inputs, outputs, weights, size)


def table_of(at: NDArray[np.int64], weights: Array, size: int) -> Taps:
    """Of the inputs `at` (out, taps), some of which are one, with their `weights`."""
    out = np.broadcast_to(np.arange(len(at))[:, np.newaxis], at.shape)
    some = weights != 0
    return _rows(out[some], at[some], weights[some], len(at))


def _rows(row: Array, column: Array, weights: Array, rows: int) -> Taps:
    """Of a sparse matrix: in each row the columns from the first to the last."""
    first, last = np.full(rows, np.iinfo(np.int64).max), np.full(rows, -1)
    np.minimum.at(first, row, column)
    np.maximum.at(last, row, column)
    starts = np.where(last < 0, 0, first)
    counts = np.where(last < 0, 0, last - starts + 1)
    table = np.zeros((rows, int(counts.max())))
    np.add.at(table, (row, column - starts[row]), weights)
    return Taps(starts, counts, table)
