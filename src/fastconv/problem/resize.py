"""The tables of a resized axis: which inputs each output is a weighted sum of, and the weights.

A long axis has its tables made in bands, one after the other, so that they take little beside the images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.caches import kept_up_to
from fastconv.typing import Array

Mode = Literal["nearest", "linear", "cubic"]
Coordinates = Literal["half_pixel", "align_corners", "asymmetric"]
MODES: tuple[Mode, ...] = ("nearest", "linear", "cubic")
COORDINATES: tuple[Coordinates, ...] = ("half_pixel", "align_corners", "asymmetric")

# Keys' parameter: PyTorch's, and with antialiasing Pillow's.
_SHARPNESS, _SHARPNESS_ANTIALIASED = -0.75, -0.5


# Weights in the tables of a band; and bytes of tables that are kept for the next calls.
_BAND, _KEPT = 1 << 18, 16 << 20


class Taps(NamedTuple):
    """Output o is the sum of `counts[o]` inputs from `starts[o]` on, times the first of `weights[o]`."""

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    weights: Array


class Axis(NamedTuple):
    """An axis of `size` pixels that becomes `out`; `scale` is the inputs in an output pixel."""

    size: int
    out: int
    scale: float
    mode: Mode
    coordinates: Coordinates
    antialias: bool

    @property
    def wide(self) -> float:
        """How much wider the filter is than the one that images grow by."""
        return max(self.scale, 1.0) if self.antialias else 1.0

    @property
    def reach(self) -> int:
        return {"nearest": 0, "linear": 1, "cubic": 2}[self.mode]

    @property
    def taps(self) -> int:
        """Inputs of an output, those of no share among them."""
        return math.ceil(2 * self.reach * self.wide) + (2 if self.antialias else 0) or 1

    def places(self, first: int, last: int) -> Array:
        """Of the outputs from `first` to before `last`, among the inputs."""
        o = np.arange(first, last, dtype=np.float64)
        if self.coordinates == "align_corners":
            return o * ((self.size - 1) / (self.out - 1) if self.out > 1 else 0.0)
        if self.coordinates == "asymmetric":
            return o * self.scale
        places = (o + 0.5) * self.scale - 0.5
        return np.maximum(places, 0) if self.mode == "linear" and not self.antialias else places


class Band(NamedTuple):
    """Results `first` to before `last`, which the table makes of the sources from `low` to before `high`."""

    first: int
    last: int
    low: int
    high: int
    taps: Taps


def bands(axis: Axis, backwards: bool) -> tuple[Band, ...] | Iterator[Band]:
    """All the results of an axis, in order: outputs of inputs, or for the gradient inputs of outputs."""
    if max(axis.out * axis.taps, axis.size) <= _BAND:
        return _short(axis, backwards)
    return _transposed(axis) if backwards else _bands(axis)


@kept_up_to(_KEPT)
def _short(axis: Axis, backwards: bool) -> tuple[Band, ...]:
    return tuple(_transposed(axis) if backwards else _bands(axis))


def _bands(axis: Axis) -> Iterator[Band]:
    rows = max(1, _BAND // axis.taps)
    for first in range(0, axis.out, rows):
        last = min(first + rows, axis.out)
        at, weights = _inputs(axis, first, last)
        alone = last - first == axis.out
        low, high = (0, axis.size) if alone else (int(at[0].min()), int(at[-1].max()) + 1)  # places only grow
        yield Band(first, last, low, high, table_of(at - low, weights))


def _inputs(axis: Axis, first: int, last: int) -> tuple[NDArray[np.int64], Array]:
    """Of some outputs the inputs (outputs, taps), of which several may be one, and their weights."""
    places = axis.places(first, last)
    if axis.mode == "nearest":
        whole = np.floor(places if axis.coordinates == "asymmetric" else places + 0.5)
        return np.clip(whole, 0, axis.size - 1).astype(np.int64)[:, np.newaxis], np.ones((last - first, 1))
    before = np.floor(places - axis.reach * axis.wide).astype(np.int64) + (0 if axis.antialias else 1)
    offsets = np.arange(axis.taps)
    if last - first == 1 and axis.antialias:  # one filter may be many times as long as the axis
        offsets = offsets[max(0, -int(before[0])) : max(0, axis.size - int(before[0]))]
    at = before[:, np.newaxis] + offsets
    distance: Array = np.abs(at - places[:, np.newaxis])
    distance /= axis.wide
    weights = np.maximum(1 - distance, 0) if axis.mode == "linear" else _cubic(distance, axis.antialias)
    if axis.antialias:  # what lies outside has no share
        weights = np.where((at >= 0) & (at < axis.size), weights, 0)
        weights /= weights.sum(1, keepdims=True)
    return np.clip(at, 0, axis.size - 1, out=at), weights


def _cubic(d: Array, antialias: bool) -> Array:
    """R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981."""
    a = _SHARPNESS_ANTIALIASED if antialias else _SHARPNESS
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def table_of(at: NDArray[np.int64], weights: Array) -> Taps:
    """Of the inputs `at` (outputs, taps), some of which are one, with their `weights`."""
    shares = weights != 0
    starts = np.where(shares, at, np.iinfo(np.int64).max).min(1)
    counts = np.where(shares, at, -1).max(1) + 1
    starts[counts == 0] = 0
    counts -= starts
    width = int(counts.max())
    places = np.arange(len(at))[:, np.newaxis] * width + (at - starts[:, np.newaxis])
    table = np.bincount(places[shares], weights[shares], len(at) * width)
    return Taps(starts, counts, table.reshape(len(at), width))


class _Shares(NamedTuple):
    """Weights of the pairs of an input and an output, the inputs in order."""

    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]
    weights: Array

    def part(self, begin: int | None, end: int | None) -> _Shares:
        return _Shares(*(of[begin:end] for of in self))


def _transposed(axis: Axis) -> Iterator[Band]:
    """Each input is ready when the outputs that follow have no share of it."""
    waiting: list[_Shares] = []
    ready = 0
    for band in _bands(axis):
        if band.low > ready:
            shares = _in_order(waiting)
            yield from _ready(axis, shares, ready, band.low)
            waiting, ready = [shares.part(int(np.searchsorted(shares.inputs, band.low)), None)], band.low
        starts, counts, weights = band.taps
        row, tap = np.nonzero(np.arange(weights.shape[1]) < counts[:, np.newaxis])
        waiting.append(_Shares(starts[row] + tap + band.low, row + band.first, weights[row, tap]))
    yield from _ready(axis, _in_order(waiting), ready, axis.size)


def _in_order(parts: list[_Shares]) -> _Shares:
    """By inputs, and the outputs of each as they came."""
    together = _Shares(*(np.concatenate(of) for of in zip(*parts, strict=True)))
    order = np.argsort(together.inputs, kind="stable")
    return _Shares(*(of[order] for of in together))


def _ready(axis: Axis, shares: _Shares, first: int, end: int) -> Iterator[Band]:
    """The inputs from `first` to before `end`, the outputs of each in order."""
    while first < end:
        last = min(first + _BAND, end)
        begin, stop = np.searchsorted(shares.inputs, (first, last))
        yield _columns(axis, shares.part(int(begin), int(stop)), first, last)
        first = last


def _columns(axis: Axis, shares: _Shares, first: int, last: int) -> Band:
    edges = np.searchsorted(shares.inputs, np.arange(first, last + 1))
    some = edges[1:] > edges[:-1]
    starts = np.zeros(last - first, np.int64)
    ends = np.zeros(last - first, np.int64)
    starts[some], ends[some] = shares.outputs[edges[:-1][some]], shares.outputs[edges[1:][some] - 1] + 1
    low, high = (int(starts[some].min()), int(ends.max())) if some.any() else (0, 1)
    if last - first == axis.size:
        low, high = 0, axis.out
    counts = ends - starts
    width = max(1, int(counts.max()))
    row = shares.inputs - first
    table = np.zeros((last - first, width))
    table[row, shares.outputs - starts[row]] = shares.weights
    starts[some] -= low
    return Band(first, last, low, high, Taps(starts, counts, table))
