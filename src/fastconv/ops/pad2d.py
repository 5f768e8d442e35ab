"""Padding of images: `pad2d`."""

from __future__ import annotations

from typing import Any, SupportsFloat

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution.arrays import images, native
from fastconv.execution.padding import pad_image
from fastconv.problem import options as opt
from fastconv.problem.layout import check_layout, plane_size
from fastconv.problem.padding import whole_borders
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName, Layout, PaddingMode, SidesLike

__all__ = ["pad2d"]


def pad2d(
    x: ArrayLike,
    padding: SidesLike,
    mode: PaddingMode = "zeros",
    value: SupportsFloat = 0.0,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Pad the two spatial axes of an image or of a batch of images.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or one image without `N`; any real dtype.
    padding : int, pair, or pair of pairs
        Pixels on every side; ``(vertical, horizontal)``; or ``((top, bottom), (left, right))``.
    mode : {"zeros", "reflect", "replicate", "circular", "symmetric", "constant"}
        Where the new pixels come from: `value`; the image mirrored without its edge pixel; its edge pixel;
        its other end; or the image mirrored with its edge pixel. Sides longer than the image go on with its pattern,
        as those of `numpy.pad` do.
    value : number
        What modes ``"zeros"`` and ``"constant"`` pad with, rounded as the dtype of `x` does; integers need an integer
        that they can hold.
    layout : {"NCHW", "NHWC"}
    backend : str, optional

    Returns
    -------
    ndarray
        Of the dtype of `x`, larger by `padding`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pad2d(np.array([[[1, 2, 3]]]), ((0, 1), (2, 0)), mode="replicate")
    array([[[1, 1, 1, 2, 3],
            [1, 1, 1, 2, 3]]])
    """
    op = "pad2d"
    check_layout(op, layout)
    arguments.choice(op, "mode", mode, opt.PADDING_MODES)
    array, batched = images(op, "x", x, layout)
    sides = opt.padding_in_numbers(op, padding)
    engine = resolve(op, backend)
    dtype = array.dtype.newbyteorder("=")
    fill = _fill(op, value, dtype)
    if fill is None:
        raise ValueError(f"{op}: value is {echo(value)}, which the dtype {dtype} of x cannot hold")
    borders = whole_borders(plane_size(array.shape, layout), sides)
    result = pad_image(op, engine, native(array, dtype), borders, mode, fill, layout, "the result")
    return result if batched else result[0]


def _fill(op: str, value: SupportsFloat, dtype: np.dtype[Any]) -> Any:
    """`value` as a number of `dtype`, or None where that has none."""
    number = arguments.number(op, "value", value)
    if dtype.kind in "fV":  # bfloat16 is of a kind of its own
        with np.errstate(over="ignore"):
            rounded = dtype.type(number)
        return rounded if np.isfinite(rounded) or not np.isfinite(number) else None
    if not number.is_integer():
        return None
    whole = int.__int__(value.__index__()) if arguments.is_integer(value) else int(number)  # type: ignore[attr-defined]
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return dtype.type(whole) if least <= whole <= most else None
