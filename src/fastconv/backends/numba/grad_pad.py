"""Gradient of padding: what was copied from one pixel is added up there; called by the backend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastconv.backends.numba import parallel
from fastconv.backends.numba.compile import device, kernel, read, table, unsigned, write
from fastconv.backends.numba.lines import clear, copy
from fastconv.backends.numba.move import longest_run
from fastconv.backends.numba.totals import PART, add_part, settle_every, take_all
from fastconv.problem.layout import channels_last
from fastconv.typing import Array, Layout


class Copies(NamedTuple):
    """Where the rows or columns of an image were copied to: those of `i` are ``order[ends[i] : ends[i + 1]]``."""

    order: Array
    ends: Array


class Columns(NamedTuple):
    """All columns of the padded image, a run of them that counts up by one, and what is not only there."""

    size: int
    copies: Copies
    start: int
    stop: int
    to: int  # where in the image the run starts
    others: Array  # columns of the image that have no copy, several, or one outside of the run


def pad_gradient(grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array) -> None:
    """``out[.., rows[i], columns[j]]`` is the sum of all such ``grad_output[.., i, j]``."""
    if not channels_last(layout):
        planes, (height, width), channels = out.shape[0] * out.shape[1], out.shape[2:], 1
    else:
        planes, height, width, channels = out.shape
    copies, (start, stop) = _copies(columns, width), longest_run(columns)
    in_run = np.zeros(width, bool)
    in_run[columns[start:stop]] = True
    others = table(np.flatnonzero((np.diff(copies.ends) != 1) | ~in_run))
    to = int(columns[start]) if start < stop else 0
    parallel.run(
        _add_rows, planes * height, grad_output.size, read(grad_output), _copies(rows, height),
        rows.size, height, width, channels, Columns(columns.size, copies, start, stop, to, others), write(out),
    )  # fmt: skip


def _copies(places: Array, size: int) -> Copies:
    order = np.argsort(places, kind="stable")
    return Copies(table(order), table(np.searchsorted(places[order], np.arange(size + 1))))


@kernel
def _add_rows(
    start: int, stop: int, grad: Array, own: Copies, rows: int, height: int, width: int, channels: int,
    columns: Columns, out: Array,
) -> None:  # fmt: skip
    """An item is a row of the result; channels first, `channels` is 1 and planes count as images."""
    length = columns.size * channels
    line, totals, rests = (
        np.empty(length, out.dtype),
        np.empty(length, out.dtype),
        np.empty(length, out.dtype),
    )
    for item in range(start, stop):
        row, image = item % height, item // height
        target, first, last = item * width * channels, own.ends[row], own.ends[row + 1]
        if first == last:
            clear(out, target, target + width * channels)
        elif last == first + 1:
            origin = (image * rows + int(own.order[first])) * length
            _add_columns(grad, origin, columns, channels, out, target)
        else:
            clear(line, 0, length)
            for place in range(first, last):
                settle_every(place - first, line, length, totals, rests)
                _add(grad, (image * rows + own.order[place]) * length, length, line, 0)
            take_all(last - first, line, length, totals, rests)
            _add_columns(line, 0, columns, channels, out, target)


@device
def _add_columns(line: Array, origin: int, columns: Columns, channels: int, out: Array, target: int) -> None:
    """A row of the result from the sum of its copies."""
    order, ends = columns.copies.order, columns.copies.ends
    length = (columns.stop - columns.start) * channels
    copy(line, origin + columns.start * channels, 1, length, out, target + columns.to * channels)
    for i in range(columns.others.size):
        column = columns.others[i]
        first, last, to = ends[column], ends[column + 1], target + column * channels
        clear(out, to, to + channels)
        if last - first <= PART:
            for place in range(first, last):
                _add(line, origin + order[place] * channels, channels, out, to)
            continue
        for c in range(channels):
            total, rest, part = out.dtype.type(0), out.dtype.type(0), out.dtype.type(0)
            for place in range(first, last):
                part += line[origin + order[place] * channels + c]
                if (place - first) % PART == PART - 1 or place == last - 1:
                    total, rest = add_part(total, rest, part)
                    part = out.dtype.type(0)
            out[to + c] = total + rest


@device
def _add(source: Array, origin: int, count: int, target: Array, start: int) -> None:
    first, to = unsigned(origin), unsigned(start)
    for i in range(unsigned(count)):
        target[to + i] += source[first + i]
