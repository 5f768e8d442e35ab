"""Maximum pooling: NaN wins, the last one of several; else the first of the largest. Called by `pool.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.backends.numba.compile import device, kernel


@device
def places(plane: int, i: int, s: Any) -> tuple[int, int]:
    """Where in memory a plane of the image and row `i` of its results start."""
    if s.channels_last == 1:
        image, channel = plane // s.channels, plane % s.channels
        return (
            image * s.height * s.width * s.channels + channel,
            (image * s.rows + i) * s.columns * s.channels + channel,
        )
    return plane * s.height * s.width, (plane * s.rows + i) * s.columns


@kernel
def max_rows(
    start: int, stop: int, x: Any, out: Any, s: Any, row_start: Any, row_stop: Any, column_start: Any, column_stop: Any
) -> None:
    """Channels first, without indices. An item is a row of results of a plane."""
    line = np.empty(s.width, x.dtype)
    width = np.uintp(s.width)
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        origin = np.uintp((plane * s.height + row_start[i]) * s.width)
        for c in range(width):
            line[c] = x[origin + c]
        for row in range(row_start[i] + s.row_step, row_stop[i], s.row_step):
            origin = np.uintp((plane * s.height + row) * s.width)
            for c in range(width):
                value = x[origin + c]
                line[c] = value if value > line[c] or value != value else line[c]
        for j in range(s.columns):
            best = line[column_start[j]]
            for c in range(column_start[j] + s.column_step, column_stop[j], s.column_step):
                value = line[c]
                best = value if value > best or value != value else best
            out[item * s.columns + j] = best


@kernel
def max_channels(
    start: int, stop: int, x: Any, out: Any, indices: Any, s: Any,
    row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
) -> None:  # fmt: skip
    """Channels last; `indices` may be empty. An item is a row of results of an image."""
    channels = np.uintp(s.channels)
    for item in range(start, stop):
        i, image = item % s.rows, item // s.rows
        for j in range(s.columns):
            to = np.uintp((item * s.columns + j) * s.channels)
            first = True
            for row in range(row_start[i], row_stop[i], s.row_step):
                for column in range(column_start[j], column_stop[j], s.column_step):
                    position = row * s.width + column
                    origin = np.uintp((image * s.height * s.width + position) * s.channels)
                    if first:
                        for c in range(channels):
                            out[to + c] = x[origin + c]
                        if indices.size > 0:
                            for c in range(channels):
                                indices[to + c] = position
                        first = False
                    elif indices.size > 0:
                        for c in range(channels):
                            value, best = x[origin + c], out[to + c]
                            wins = value > best or value != value
                            indices[to + c] = position if wins else indices[to + c]
                            out[to + c] = value if wins else best
                    else:
                        for c in range(channels):
                            value, best = x[origin + c], out[to + c]
                            out[to + c] = value if value > best or value != value else best


@kernel
def max_windows(
    start: int, stop: int, x: Any, out: Any, indices: Any, s: Any,
    row_start: Any, row_stop: Any, column_start: Any, column_stop: Any,
) -> None:  # fmt: skip
    """Pixel by pixel, in both layouts; `indices` may be empty. An item is a row of results of a plane."""
    pixel = s.channels if s.channels_last == 1 else 1
    for item in range(start, stop):
        i, plane = item % s.rows, item // s.rows
        own = plane if s.own_windows == 1 else 0
        origin, to = places(plane, i, s)
        for j in range(s.columns):
            first_column, last_column = column_start[own * s.columns + j], column_stop[own * s.columns + j]
            first_row = row_start[own * s.rows + i]
            found = first_row * s.width + first_column
            best = x[origin + found * pixel]
            for row in range(first_row, row_stop[own * s.rows + i], s.row_step):
                for column in range(first_column, last_column, s.column_step):
                    value = x[origin + (row * s.width + column) * pixel]
                    if value > best or value != value:
                        best, found = value, row * s.width + column
            out[to + j * pixel] = best
            if indices.size > 0:
                indices[to + j * pixel] = found
