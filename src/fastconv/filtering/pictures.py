"""Filters of arrays as filters of pictures, for backends that have kernels for these: nothing is copied or padded.

Called by the sums, the means, the extrema and the ranks, each of which has another way for what no picture fits: other
types, windows along axes that do not follow each other, rows that are not in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastconv.backends import resolve
from fastconv.backends.protocol import Filters
from fastconv.caches import kept_up_to
from fastconv.filtering.blocks import Reach
from fastconv.problem.filtering import Window, is_picture, picture_types
from fastconv.problem.padding import Border, sources
from fastconv.typing import Array, BackendName

_SHORT = 64  # neighbours in memory from which windows along an axis before them are windows down a column


class Pictures(NamedTuple):
    """An array and its result as pictures, what computes them, and which axes of the array are rows and pixels."""

    filters: Filters
    x: Array
    out: Array
    window: Window
    axes: tuple[int | None, int | None]


def as_pictures(
    x: Array, out: Array, reaches: Sequence[Reach], constant: float, backend: BackendName | None
) -> Pictures | None:
    """Both as pictures; None where no picture fits, or where the backend has no kernels for them."""
    filters = resolve("filter", backend).filters
    axes = [axis for axis, reach in enumerate(reaches) if reach.extent]
    if x.shape != out.shape or any(min(reach.before, reach.after) < 0 for reach in reaches):
        return None  # a part of all windows, or more of them than there are pixels
    if filters is None or not out.size or not 1 <= len(axes) <= 2 or axes[-1] - axes[0] != len(axes) - 1:
        return None
    inner = math.prod(x.shape[axes[-1] + 1 :])
    row_axis: int | None = axes[0]
    pixel_axis: int | None = axes[-1]
    if len(axes) == 2:
        shape = (math.prod(x.shape[: axes[0]]), x.shape[axes[0]], x.shape[axes[1]], inner)
    elif inner < _SHORT:
        row_axis = None
        shape = (1, math.prod(x.shape[: axes[0]]), x.shape[axes[0]], inner)
    else:
        pixel_axis = None
        shape = (math.prod(x.shape[: axes[0]]), x.shape[axes[0]], inner, 1)
    picture, result = _picture(x, shape), _picture(out, shape)
    if picture is None or result is None:
        return None
    rows = Reach() if row_axis is None else reaches[row_axis]
    pixels = Reach() if pixel_axis is None else reaches[pixel_axis]
    window = Window(
        (rows.extent + 1, pixels.extent + 1), pixels.before, _sources(shape[1], rows),
        _sources(shape[2] if pixels.extent else 0, pixels), constant,
    )  # fmt: skip
    return Pictures(filters, picture, result, window, (row_axis, pixel_axis))


def _picture(x: Array, shape: tuple[int, ...]) -> Array | None:
    view = x.view(np.uint8) if x.dtype == np.bool_ else x
    if view.dtype not in picture_types():
        return None
    view = view.reshape(shape)
    return view if is_picture(view) and np.may_share_memory(view, x) else None


@kept_up_to(1 << 20)
def _sources(size: int, reach: Reach) -> Array:
    found = sources(Border(size, reach.before, reach.after), reach.mode)
    found.flags.writeable = False
    return found
