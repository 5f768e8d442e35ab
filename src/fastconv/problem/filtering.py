"""Filters of pictures as backends see them that have kernels for them: sizes, borders and weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.caches import constant
from fastconv.typing import Array


class Window(NamedTuple):
    """How the windows of a picture (images, rows, pixels, channels) lie, and what they see beyond its edges.

    Parameters
    ----------
    kernel : (int, int)
        Rows and pixels of a window.
    before : int
        Pixels that windows reach before the first one of a row.
    rows, columns : ndarray of int64
        For each row, and each pixel of a row, that windows see the one of the picture, or -1 for the constant.
    constant : float
    between : dtype, optional
        Of what lies between a pass along the columns and one along the rows; None: as it is computed.
    saturate : bool
        Integers are rounded and kept in range, else cut off and wrapped.
    """

    kernel: tuple[int, int]
    before: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    constant: float
    between: np.dtype[Any] | None = None
    saturate: bool = False


class Weights(NamedTuple):
    """A kernel of two axes.

    `order` says for integers that are cut off in which order to sum in float64 what is within `doubt` of one: row and
    pixel of a product, of what is added to its first factor, with that sign (0: nothing), and `order_weights`.
    """

    weights: NDArray[np.float64]
    order: NDArray[np.int64]
    order_weights: NDArray[np.float64]
    doubt: float


@constant
def picture_types() -> tuple[np.dtype[Any], ...]:
    """What these kernels read and write."""
    return tuple(np.dtype(name) for name in ("u1", "i2", "u2", "f4", "f8"))


@constant
def summed_types() -> tuple[np.dtype[Any], ...]:
    """What those of sums and means do, row by row."""
    return (*picture_types(), *(np.dtype(name) for name in ("i1", "i4", "u4", "i8")))


def is_picture(x: Array) -> bool:
    """Do the numbers of a row lie next to each other, as the kernels want them?"""
    return x.ndim == 4 and x.strides[2:] == (x.shape[3] * x.itemsize, x.itemsize)
