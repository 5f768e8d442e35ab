"""Padding of images: for each axis a table that names every output's source.

`pad2d`, and the padding modes of convolution, which pad first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import options as opt
from fastconv.arrays import Array, empty, images, native
from fastconv.backends import Backend, resolve
from fastconv.options import Sides

__all__ = ["pad2d"]


def pad2d(
    x: Any,
    padding: Any,
    mode: str = "zeros",
    value: float = 0.0,
    *,
    layout: str = "NCHW",
    backend: str | None = None,
) -> Array:
    """Pad the two spatial axes of an image or of a batch of images.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or one image without `N`; any real dtype.
    padding : int, pair, or pair of pairs
        Pixels on every side; ``(vertical, horizontal)``; or ``((top, bottom), (left, right))``.
    mode : {"zeros", "reflect", "replicate", "circular"}
        Where the new pixels come from: `value`; the image mirrored without its edge pixel; its edge pixel;
        or its other end.
    value : float
        What mode ``"zeros"`` pads with; cast to the dtype of `x`.
    layout : {"NCHW", "NHWC"}
    backend : str, optional

    Returns
    -------
    ndarray
        Of the dtype of `x`, larger by `padding`.

    Raises
    ------
    ValueError
        If `mode` is ``"reflect"`` and a side is not smaller than the image, or ``"circular"`` and larger than it.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pad2d(np.array([[[1, 2, 3]]]), ((0, 1), (2, 0)), mode="replicate")
    array([[[1, 1, 1, 2, 3],
            [1, 1, 1, 2, 3]]])
    """
    op = "pad2d"
    opt.choice(op, "layout", layout, opt.LAYOUTS)
    opt.choice(op, "mode", mode, opt.PADDING_MODES)
    array, batched = images(op, "x", x, layout)
    sides = opt.padding(op, padding)
    if isinstance(sides, str):
        raise ValueError(
            f"{op}: padding is {sides!r}, but needs numbers: there is no kernel to derive them from"
        )
    fill = opt.number(op, "value", value)
    engine = resolve(op, backend)
    dtype = array.dtype.newbyteorder("=")
    if mode == "zeros":
        try:
            with np.errstate(over="raise", invalid="raise"):
                np.array(fill).astype(dtype)
        except FloatingPointError:
            raise ValueError(f"{op}: value is {value!r}, which the dtype {dtype} of x cannot hold") from None
    shape, tables = _tables(op, array.shape, sides, mode, layout)
    if array.shape[0] == 0:
        result = empty(op, shape, dtype)
    else:
        result = _pad(op, engine, native(array, dtype), shape, tables, fill, layout)
    return result if batched else result[0]


def pad_sides(
    op: str, backend: Backend, x: Array, sides: Sides, mode: str, value: float, layout: str
) -> Array:
    """`x` padded by `sides`; `x` is what a backend takes, and so is the result."""
    shape, tables = _tables(op, x.shape, sides, mode, layout)
    return _pad(op, backend, x, shape, tables, value, layout)


def check_sides(op: str, sides: Sides, mode: str, size: tuple[int, int]) -> None:
    """Refuse sides that a mode cannot fill from an image of `size`."""
    for axis, name in enumerate(("vertical", "horizontal")):
        largest = max(sides[2 * axis : 2 * axis + 2])
        limit = {"reflect": size[axis] - 1, "circular": size[axis]}.get(mode, largest)
        if largest > limit:
            raise ValueError(
                f"{op}: {name} padding is {largest}, but mode {mode!r} allows at most {limit} "
                f"for an image of {size[axis]}"
            )


def _tables(
    op: str, shape: tuple[int, ...], sides: Sides, mode: str, layout: str
) -> tuple[tuple[int, ...], list[NDArray[np.int64]]]:
    first = 2 if layout == "NCHW" else 1
    size = shape[first], shape[first + 1]
    check_sides(op, sides, mode, size)
    result = list(shape)
    tables = []
    for axis in (0, 1):
        before, after = sides[2 * axis : 2 * axis + 2]
        result[first + axis] += before + after
        empty(op, (result[first + axis],), np.dtype(np.int64))  # refuses what memory cannot hold
        tables.append(sources(size[axis], before, after, mode))
    return tuple(result), tables


def sources(size: int, before: int, after: int, mode: str) -> NDArray[np.int64]:
    """For each pixel of a padded axis the pixel of the image that it copies, -1 for the fill value."""
    i = np.arange(-before, size + after, dtype=np.int64)
    if mode == "zeros":
        return np.where((i >= 0) & (i < size), i, -1)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "circular":
        return i % size
    i = np.abs(i)
    return np.where(i >= size, 2 * (size - 1) - i, i)


def _pad(
    op: str,
    backend: Backend,
    x: Array,
    shape: tuple[int, ...],
    tables: list[NDArray[np.int64]],
    value: float,
    layout: str,
) -> Array:
    result = empty(op, shape, x.dtype)
    backend.pad(x, tables[0], tables[1], value, layout, result)
    return result
