"""Maximum pooling: NaN wins, the last one of several; else the first of the largest. Called by `pool.py`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types

from fastconv.backends.numba.compile import device, kernel, unsigned
from fastconv.backends.numba.lines import copy
from fastconv.backends.numba.simd import make_sweep
from fastconv.typing import Array


class PoolShape(NamedTuple):
    """Plain numbers of a pooling."""

    channels: int
    height: int
    width: int
    rows: int  # of results
    columns: int
    row_step: int  # between the pixels of a window
    column_step: int
    own: int  # 1 where every plane has windows of its own, else 0
    channels_last: int
    whole: int  # windows of a row from this one ...
    whole_end: int  # ... up to this one are `stride` apart and have `kernel` pixels each
    stride: int
    kernel: int


class WindowBounds(NamedTuple):
    """First pixel and end of every window along each axis, flat: (1 or planes, results)."""

    row_start: Array
    row_stop: Array
    column_start: Array
    column_stop: Array


@device
def places(plane: int, i: int, s: PoolShape) -> tuple[int, int]:
    """Where in memory a plane of the image and row `i` of its results start."""
    if s.channels_last == 1:
        image, channel = plane // s.channels, plane % s.channels
        return (
            image * s.height * s.width * s.channels + channel,
            (image * s.rows + i) * s.columns * s.channels + channel,
        )
    return plane * s.height * s.width, (plane * s.rows + i) * s.columns


@device
def spans(s: PoolShape, channels: int) -> tuple[int, int, int]:
    """How the whole windows of a row are taken together: so many times, so many results, from pixels so far apart."""
    count = s.whole_end - s.whole
    if s.stride == 1:
        return min(count, 1), count * channels, 1
    if channels == 1:
        return min(count, 1), count, s.stride
    return count, channels, 1


@kernel
def max_rows(start: int, stop: int, x: Any, out: Any, s: PoolShape, w: WindowBounds, channels: int) -> None:
    """Without indices. An item is a row of results; channels first, `channels` is 1 and planes count as images."""
    width = s.width * channels
    line = np.empty(width, x.dtype)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        copy(x, (image * s.height + w.row_start[i]) * width, 1, width, line, 0)
        for row in range(w.row_start[i] + s.row_step, w.row_stop[i], s.row_step):
            _raise(x, (image * s.height + row) * width, 1, width, line, 0)
        to = item * s.columns * channels
        groups, length, step = spans(s, channels)
        for group in range(groups):
            origin = (w.column_start[s.whole] + group * s.stride) * channels
            at = to + (s.whole + group) * channels
            copy(line, origin, step, length, out, at)
            for _ in range(1, s.kernel):
                origin += s.column_step * channels
                _raise(line, origin, step, length, out, at)
        j = 0
        while j < s.columns:
            if s.whole <= j < s.whole_end:
                j = s.whole_end
                continue
            c, at = w.column_start[j], to + j * channels
            if channels == 1:
                best = line[c]
                # Not a range: with a step, that would cost a division.
                while c < w.column_stop[j]:
                    value = line[c]
                    best = value if value > best or value != value else best
                    c += s.column_step
                out[at] = best
            else:
                copy(line, c * channels, 1, channels, out, at)
                while c < w.column_stop[j]:
                    _raise(line, c * channels, 1, channels, out, at)
                    c += s.column_step
            j += 1


def _larger(builder: Any, dtype: Any, best: Any, value: Any) -> Any:
    if isinstance(dtype, types.Float):
        larger = builder.fcmp_ordered(">", value, best)
        wins = builder.or_(larger, builder.fcmp_unordered("uno", value, value))
    elif dtype.signed:
        wins = builder.icmp_signed(">", value, best)
    else:
        wins = builder.icmp_unsigned(">", value, best)
    return builder.select(wins, value, best)


_raise_row, _raise_half = make_sweep(_larger, 1), make_sweep(_larger, 2)


@device
def _raise(source: Any, origin: int, step: int, count: int, target: Any, start: int) -> None:
    """Each of `count` numbers in `target` to that in `source`, if that is larger or NaN."""
    if step == 1:
        _raise_row(source, origin, count, target, start)
    elif step == 2:
        _raise_half(source, origin, count, target, start)
    else:
        first, to, stride = unsigned(origin), unsigned(start), unsigned(step)
        for i in range(unsigned(count)):
            value, best = source[first + stride * i], target[to + i]
            target[to + i] = value if value > best or value != value else best


@kernel
def max_channels(
    start: int, stop: int, x: Any, out: Any, indices: Any, s: PoolShape, w: WindowBounds
) -> None:
    """Channels last, with indices. An item is a row of results of an image."""
    channels = unsigned(s.channels)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        for j in range(s.columns):
            to = unsigned((item * s.columns + j) * s.channels)
            first = True
            for row in range(w.row_start[i], w.row_stop[i], s.row_step):
                for column in range(w.column_start[j], w.column_stop[j], s.column_step):
                    position = row * s.width + column
                    origin = unsigned((image * s.height * s.width + position) * s.channels)
                    for c in range(channels):
                        value, best = x[origin + c], out[to + c]
                        wins = first or value > best or value != value
                        indices[to + c] = position if wins else indices[to + c]
                        out[to + c] = value if wins else best
                    first = False


@kernel
def max_windows(start: int, stop: int, x: Any, out: Any, indices: Any, s: PoolShape, w: WindowBounds) -> None:
    """Pixel by pixel, in both layouts; `indices` may be empty. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        down, across = plane * s.own * s.rows + i, plane * s.own * s.columns
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            first, last = w.column_start[across + j], w.column_stop[across + j]
            found = w.row_start[down] * s.width + first
            best = x[origin + found * pixel]
            for row in range(w.row_start[down], w.row_stop[down], s.row_step):
                column = first
                while column < last:
                    value = x[origin + (row * s.width + column) * pixel]
                    if value > best or value != value:
                        best, found = value, row * s.width + column
                    column += s.column_step
            out[to + j * pixel] = best
            if indices.size > 0:
                indices[to + j * pixel] = found
