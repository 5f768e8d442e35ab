"""Filters of arrays as filters of pictures, for backends that have kernels for these: nothing is copied or padded.

Called by the sums, the means, the extrema and the ranks, each of which has another way for what no picture fits: other
types, windows along axes that do not follow each other, rows that are not in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.backends import resolve
from fastconv.backends.protocol import Filters
from fastconv.caches import kept_up_to
from fastconv.filtering.blocks import Reach
from fastconv.problem.filtering import Window, is_picture, picture_types, summed_types
from fastconv.problem.padding import Border, sources
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array, BackendName

_COPY_BYTES = 4 << 20  # for each thread, of an array whose rows are not in one piece
_MOST_CUT = 2.0**31  # sums that kernels cut off as a C cast does, to integers of up to 16 bits
_MOST_WIDE = 2.0**51  # and to larger ones
_SHORT = 64  # neighbours in memory from which windows along an axis before them are windows down a column


class KernelCall(NamedTuple):
    """How a kernel has been called: with what before the pictures, and of which shape these were.

    It can be done `again` with an array and a result that lie in memory as those did, and gives what it gave then
    whatever the numbers are; it has read and written no copy of them.
    """

    kernel: Callable[..., object]
    given: tuple[Any, ...]
    shape: tuple[int, ...]
    boolean: bool
    again: bool

    def __call__(self, x: Array, out: Array) -> None:
        result = _bytes(out).reshape(self.shape)
        self.kernel(*self.given, _bytes(x).reshape(self.shape), result)
        if self.boolean:
            _make_boolean(result)


class Pictures(NamedTuple):
    """An array and its result as pictures, what computes them, and which axes of the array are rows and pixels."""

    filters: Filters
    x: Array
    out: Array
    window: Window
    axes: tuple[int | None, int | None]
    in_place: bool  # neither is a copy

    def call(
        self, kernel: Callable[..., object], *given: Any, boolean: bool = False, again: bool = True
    ) -> KernelCall | None:
        """A kernel's call, done; None where it refuses. Afterwards numbers become 0 or 1 where they are `boolean`."""
        if kernel(*given, self.x, self.out) is False:
            return None
        if boolean:
            _make_boolean(self.out)
        return KernelCall(kernel, given, self.x.shape, boolean, again and self.in_place)


def as_pictures(
    x: Array,
    out: Array,
    reaches: Sequence[Reach],
    constant: float,
    backend: BackendName | None,
    *,
    summed: bool = False,
) -> Pictures | None:
    """Both as pictures; None where no picture fits, or where the backend has no kernels for them.

    They are `summed`, or of a type that all kernels take. An array whose rows are not in one piece, or not in the
    machine's byte order, is copied unless it is large.
    """
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
    types = summed_types() if summed else picture_types()
    result = _picture(out, shape, types)
    picture = None if result is None else _picture(x, shape, types, _COPY_BYTES * get_num_threads())
    if picture is None or result is None:
        return None
    rows = Reach() if row_axis is None else reaches[row_axis]
    pixels = Reach() if pixel_axis is None else reaches[pixel_axis]
    window = Window(
        (rows.extent + 1, pixels.extent + 1), pixels.before, _sources(shape[1], rows),
        _sources(shape[2] if pixels.extent else 0, pixels), constant,
    )  # fmt: skip
    in_place = np.may_share_memory(picture, x)
    return Pictures(filters, picture, result, window, (row_axis, pixel_axis), in_place)


def _picture(
    x: Array, shape: tuple[int, ...], types: tuple[np.dtype[Any], ...], room: int = 0
) -> Array | None:
    """A view, or a copy of up to `room` bytes."""
    view = _bytes(x)
    native = view.dtype.newbyteorder("=")
    if native not in types:
        return None
    if view.dtype == native:
        picture = view.reshape(shape)
        if is_picture(picture) and np.may_share_memory(picture, x):
            return picture
    return view.astype(native, order="C").reshape(shape) if x.nbytes <= room else None


def can_cut(dtype: np.dtype[Any], largest: float) -> bool:
    """Whether kernels cut sums of up to that off to integers of a type as a C cast does."""
    return largest < (_MOST_CUT if dtype.itemsize <= 2 else _MOST_WIDE)


def _bytes(x: Array) -> Array:
    """Kernels read and write booleans as bytes."""
    return x.view(np.uint8) if x.dtype == np.bool_ else x


def _make_boolean(out: Array) -> None:
    """The bytes of booleans become 0 or 1."""
    np.not_equal(out, 0, out=out.view(np.bool_))


@kept_up_to(1 << 20)
def _sources(size: int, reach: Reach) -> Array:
    found = sources(Border(size, reach.before, reach.after), reach.mode)
    found.flags.writeable = False
    return found
