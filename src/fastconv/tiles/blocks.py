"""The values of a network, and the blocks that layers are given of them: a view where it can be, else one copy.

Along each axis a block is stretches of pixels: of the value, there and back again at a border, or of the fill value.
Its pixels are copied from wherever they are, the borders from within the value, straight to their place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.execution.memory import empty
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.tiles.axes import Interval, Stretch
from fastconv.typing import Array


class Piece(NamedTuple):
    """The pixels of an axis from `start` to `stop`: in the arrays of this number, from their pixel `at` on."""

    start: int
    stop: int
    number: int
    at: int


class Part(NamedTuple):
    """A part of a block along an axis, and where its pixels are: nowhere, where they are the fill value."""

    target: slice
    number: int | None = None
    source: slice = slice(0)

    @property
    def is_view(self) -> bool:
        size = self.target.stop - self.target.start
        return (
            self.number is not None and self.source.step == 1 and self.source.stop - self.source.start == size
        )


class Mosaic:
    """The pixels of a value that are there, in one array or in a grid of several.

    Attributes
    ----------
    axes : tuple of int
        The spatial axes, from the end.
    arrays : dict of tuple to ndarray
        By their numbers along these.
    pieces : list of list of Piece
        For each of these, in ascending order.
    """

    def __init__(
        self, axes: tuple[int, ...], arrays: dict[tuple[int, ...], Array], pieces: list[list[Piece]]
    ) -> None:
        self.axes, self.arrays, self.pieces = axes, arrays, pieces

    @classmethod
    def of(cls, array: Array, axes: tuple[int, ...], held: Sequence[list[Interval]]) -> Mosaic:
        """Of one array, which has these intervals side by side."""
        pieces = []
        for along in held:
            ends = [0, *itertools.accumulate(stop - start for start, stop in along)]
            pieces.append([Piece(*own, 0, at) for own, at in zip(along, ends, strict=False)])
        return cls(axes, {(0,) * len(axes): array}, pieces)

    @property
    def dtype(self) -> Any:
        return next(iter(self.arrays.values())).dtype

    def whole(self) -> Array:
        """All pixels that are there, side by side."""
        along = [[Stretch(p.stop - p.start, p.start, 1) for p in pieces] for pieces in self.pieces]
        return self.block(along)

    def block(self, along: Sequence[Sequence[Stretch]], fill: float | None = None) -> Array:
        """The stretches of each axis, side by side; shares memory with the value where that is possible."""
        parts = [_parts(own, pieces) for own, pieces in zip(along, self.pieces, strict=True)]
        first = next(iter(self.arrays.values()))
        dtype = _with_room_for(fill, first.dtype)
        if all(len(own) == 1 and own[0].is_view for own in parts):
            return self._source([own[0] for own in parts], first.ndim).astype(dtype, copy=False)
        shape = list(first.shape)
        for axis, own in zip(self.axes, parts, strict=True):
            shape[axis] = own[-1].target.stop
        block = empty("tiles", tuple(shape), dtype, "a tile")
        for place in itertools.product(*parts):
            target = _index(self.axes, [part.target for part in place], block.ndim)
            block[target] = (
                fill if any(part.number is None for part in place) else self._source(place, block.ndim)
            )
        return block

    def _source(self, place: Sequence[Part], ndim: int) -> Array:
        numbers: Any = tuple(part.number for part in place)
        cut: Array = self.arrays[numbers][_index(self.axes, [part.source for part in place], ndim)]
        return cut

    def pixel_bytes(self) -> int:
        """The bytes of a pixel, all its channels together."""
        array = next(iter(self.arrays.values()))
        return int(array.nbytes // math.prod(array.shape[axis] for axis in self.axes))


def _with_room_for(fill: float | None, dtype: Any) -> Any:
    """That of the block: what does not hold the fill value becomes what the convolution would make of it before it
    pads."""
    wider = compute_dtype(float_result(dtype))
    if not fill or wider == dtype:
        return dtype
    with np.errstate(all="ignore"):
        holds = float(np.array(fill).astype(dtype)) == fill  # as float64: half precision would round both
    return dtype if holds or (np.isnan(fill) and dtype.kind not in "biu") else wider


def _index(axes: tuple[int, ...], parts: Sequence[slice], ndim: int) -> tuple[slice, ...]:
    index = [slice(None)] * ndim
    for axis, part in zip(axes, parts, strict=True):
        index[axis] = part
    return tuple(index)


def part_of(x: Array, axes: tuple[int, ...], parts: Sequence[Interval]) -> Array:
    """A view of these intervals."""
    cut: Array = x[_index(axes, [slice(*part) for part in parts], x.ndim)]
    return cut


def _parts(stretches: Sequence[Stretch], pieces: Sequence[Piece]) -> list[Part]:
    """Stretches cut where one array ends and another begins."""
    parts: list[Part] = []
    begin = 0
    for count, first, step in stretches:
        if first is None:
            parts.append(Part(slice(begin, begin + count)))
        else:
            parts += _copies(slice(begin, begin + count), first, step, pieces)
        begin += count
    return parts


def _copies(target: slice, first: int, step: int, pieces: Sequence[Piece]) -> list[Part]:
    count = target.stop - target.start
    last = first + step * (count - 1)
    low, high = min(first, last), max(first, last) + 1
    parts = []
    for start, stop, number, at in pieces:
        a, b = max(start, low), min(stop, high)
        if a >= b:
            continue
        shift = at - start
        if step == 0:
            parts.append(Part(target, number, slice(a + shift, b + shift, 1)))
        elif step == 1:
            begin = target.start + a - first
            parts.append(Part(slice(begin, begin + b - a), number, slice(a + shift, b + shift, 1)))
        else:
            begin = target.start + first - (b - 1)
            end = a + shift - 1
            backwards = slice(b + shift - 1, end if end >= 0 else None, -1)
            parts.append(Part(slice(begin, begin + b - a), number, backwards))
    assert sum(part.target.stop - part.target.start for part in parts) == count, "pixels are missing"
    return sorted(parts, key=lambda part: part.target.start)
