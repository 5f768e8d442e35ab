"""Pooling by tables of windows, one axis after the other where the reducer allows it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastconv.backends.numpy.geometry import fill, memory_order
from fastconv.backends.numpy.sums import total
from fastconv.pieces import pieces
from fastconv.problem.pooling import PoolProblem, Windows
from fastconv.typing import Array

_ALL = slice(None)


class Spans(NamedTuple):
    """Windows along one axis, as `Tables` has them: `start` and `stop` are (N or 1, C or 1, O)."""

    start: Array
    stop: Array
    step: int
    divisor: Array

    def part(self, images: slice, channels: slice, outputs: slice = _ALL) -> Spans:
        if self.own:
            start, stop = self.start[images, channels, outputs], self.stop[images, channels, outputs]
        else:
            start, stop = self.start[..., outputs], self.stop[..., outputs]
        return Spans(start, stop, self.step, self.divisor[outputs])

    def moved(self, distance: int) -> Spans:
        return self._replace(start=self.start + distance, stop=self.stop + distance)

    @property
    def own(self) -> bool:
        """Whether every plane has windows of its own."""
        return self.start.shape[:2] != (1, 1)


def _spans(windows: Windows, planes: tuple[int, int]) -> Spans:
    start, stop, divisor = windows.tables()
    shape = (*(planes if windows.own else (1, 1)), windows.count)
    return Spans(start.reshape(shape), stop.reshape(shape), windows.step, divisor)


def pool(problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None) -> None:
    """Fill `out`, and `indices` where given; all arrays are (N, C, H, W) views."""
    planes = x.shape[0], x.shape[1]
    rows, columns = _spans(problem.rows, planes), _spans(problem.columns, planes)
    # In NHWC planes lie within one another.
    cut = (*planes, out.shape[2]) if x.strides[1] >= x.strides[3] else (planes[0], out.shape[2])
    elements = max(x.size, out.size)
    # Pieces that follow each other reduce the columns of the rows that both see.
    least = 4 * problem.rows.longest * (elements // max(1, math.prod(cut)))
    for images, *some, lines in pieces(elements, *cut, least=least):
        own = images, *(some or [slice(0, planes[1])])
        windows = rows.part(own[0], own[1], lines)
        first = min(int(windows.start.min()), x.shape[2] - 1)
        last = max(int(windows.stop.max()), first + 1)
        at, samples = (None if a is None else a[*own, lines] for a in (indices, uniforms))
        _pool(
            problem, x[*own, first:last], windows.moved(-first), columns.part(*own), out[*own, lines], at, samples
        )  # fmt: skip
        if at is not None:
            at += first * problem.size[1]


def _pool(
    problem: PoolProblem,
    x: Array,
    rows: Spans,
    columns: Spans,
    out: Array,
    indices: Array | None,
    uniforms: Array | None,
) -> None:
    if problem.reducer == "max":
        _max(problem, x, rows, columns, out, indices)
    elif problem.reducer == "sample":
        assert uniforms is not None
        x = x.astype(np.float64)
        for n, c, h, w in pieces(out.size, *out.shape):
            at = None if indices is None else indices[n, c, h, w]
            spans = rows.part(n, c, h), columns.part(n, c, w)
            _sample(problem, x[n, c], *spans, out[n, c, h, w], at, uniforms[n, c, h, w])
    elif problem.reducer == "weighted":
        x = x.astype(np.float64)
        fill(out, _quotient, _sum(x * x, rows, columns), _sum(x, rows, columns))
    else:
        divisors = rows.divisor[:, np.newaxis], columns.divisor
        if problem.reducer == "sum":
            dtype = x.dtype
            fill(
                out,
                lambda s, row, column: s / (row * column).astype(dtype),
                _sum(x, rows, columns),
                *divisors,
            )
        else:  # powers leave the range of float32 long before their means do
            power, powers = problem.power, np.empty(x.shape)
            fill(powers, lambda values: np.abs(values.astype(np.float64)) ** power, x)
            sums = _sum(powers, rows, columns)
            fill(out, lambda s, row, column: (s / (row * column)) ** (1 / power), sums, *divisors)


def _quotient(sums: Array, weights: Array) -> Array:
    return np.divide(sums, weights, out=np.zeros_like(weights), where=weights != 0)


def _elements(x: Array, spans: Spans, axis: int) -> Iterator[tuple[Array, Array, Array]]:
    """For the first, second, ... pixel of every window: its values, its position, and whether it exists."""
    start, stop = (np.expand_dims(a, 5 - axis) for a in (spans.start, spans.stop))
    length = -int((-(stop - start) // spans.step).min())
    for i in range(length):
        at = start + i * spans.step
        exists, position = at < stop, np.minimum(at, stop - 1)
        if spans.own:
            yield np.take_along_axis(x, position, axis), position, exists
        elif x.flags.c_contiguous:
            yield np.take(x, position.ravel(), axis), position, exists
        else:  # where `np.take` would copy all of `x` for each element
            yield x[(slice(None),) * axis + (position.ravel(),)], position, exists


def _cut(x: Array, spans: Spans, axis: int) -> Iterator[tuple[tuple[slice, ...], Array, Spans]]:
    """Pieces of what `x` becomes along an axis, with what they see and their windows."""
    shape = list(x.shape)
    shape[axis] = spans.start.shape[2]
    order = memory_order(x)
    for cut in pieces(math.prod(shape), *(shape[a] for a in order)):
        own = tuple(cut[order.index(a)] for a in range(4))
        seen = tuple(_ALL if a == axis else own[a] for a in range(4))
        yield own, x[seen], spans.part(own[0], own[1], own[axis])


def _sum(x: Array, rows: Spans, columns: Spans) -> Array:
    for axis, spans in ((3, columns), (2, rows)):
        result = np.empty([*x.shape[:axis], spans.start.shape[2], *x.shape[axis + 1 :]], x.dtype)
        for own, seen, windows in _cut(x, spans, axis):
            result[own] = total(np.where(exists, v, 0) for v, _, exists in _elements(seen, windows, axis))
        x = result
    return x


def _max(
    problem: PoolProblem, x: Array, rows: Spans, columns: Spans, out: Array, indices: Array | None
) -> None:
    """Columns first, so that equal maxima go to the first in row-major order."""
    shape = (*x.shape[:3], columns.start.shape[2])
    best, column = np.empty(shape, x.dtype), np.empty(shape, np.int64)
    for own, seen, windows in _cut(x, columns, 3):
        best[own], column[own] = _max_axis(seen, windows, 3)
    for own, seen, windows in _cut(best, rows, 2):
        out[own], row = _max_axis(seen, windows, 2)
        if indices is not None:
            seen_at = own[0], own[1], _ALL, own[3]
            indices[own] = row * problem.size[1] + np.take_along_axis(column[seen_at], row, axis=2)


def _max_axis(x: Array, spans: Spans, axis: int) -> tuple[Array, Array]:
    best: Any = None
    where: Any = None
    for values, position, exists in _elements(x, spans, axis):
        if best is None:
            best, where = values, np.broadcast_to(position, values.shape)
            continue
        # `values != values` is NaN; the last NaN wins, as in PyTorch.
        wins = exists & ((values > best) | (values != values))
        best, where = np.where(wins, values, best), np.where(wins, position, where)
    return best, where


def _sample(
    problem: PoolProblem,
    x: Array,
    rows: Spans,
    columns: Spans,
    out: Array,
    indices: Array | None,
    uniforms: Array,
) -> None:
    """Element by element in row-major order, until the running sum exceeds the sampled share of the last one."""
    whole: Any = 0.0
    for value, _, exists in _row_major(problem, x, rows, columns):
        whole = whole + np.where(exists, value, 0.0)
    running, best = np.zeros_like(whole), np.zeros_like(whole)
    found = np.zeros(whole.shape, bool)
    where: Any = None
    for value, at, exists in _row_major(problem, x, rows, columns):
        if where is None:
            where = np.broadcast_to(at, whole.shape)
        running += np.where(exists, value, 0.0)
        # The whole total too, as a share may have been rounded up to it.
        wins = ~found & exists & ((running > uniforms * whole) | ((running == whole) & (whole > 0)))
        best, where, found = np.where(wins, value, best), np.where(wins, at, where), found | wins
    out[...] = best
    if indices is not None:
        indices[...] = where


def _row_major(
    problem: PoolProblem, x: Array, rows: Spans, columns: Spans
) -> Iterator[tuple[Array, Array, Array]]:
    """For every element of the windows in turn: its values, flat positions, and whether it exists."""
    for values, row, row_exists in _elements(x, rows, 2):
        for value, column, exists in _elements(values, columns, 3):
            yield value, row * problem.size[1] + column, exists & row_exists
