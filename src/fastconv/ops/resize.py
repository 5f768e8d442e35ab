"""Images of another size: `resize2d`."""

from __future__ import annotations

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, images, native
from fastconv.execution.memory import memory_errors
from fastconv.execution.resizing import read_resizing, resize
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import batch_shape, check_layout, image_sizes
from fastconv.problem.resize import Coordinates, Mode
from fastconv.typing import Array, ArrayLike, BackendName, Layout, PairLike, RatioLike

__all__ = ["resize2d"]


def resize2d(
    x: ArrayLike,
    size: PairLike | None = None,
    scale_factor: RatioLike | None = None,
    mode: Mode = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    *,
    coordinates: Coordinates | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Interpolate images at the pixels of a larger or smaller one: PyTorch's ``interpolate``.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or one image; integers are promoted together with
        float32.
    size : int or pair of int, optional
        Height and width of the result; either this or `scale_factor`.
    scale_factor : float or pair of float, optional
        The result has ``floor(H * factor)`` rows, and columns likewise.
    mode : {"nearest", "linear", "cubic"}
        The pixel that is nearest; the 2 or 4 nearest of each axis, weighted by linear or cubic interpolation. Pixels
        outside are those of the border.
    align_corners : bool
        Short for ``coordinates="align_corners"``.
    antialias : bool
        Whether a shrunk image takes the weights' shape over all pixels that an output covers, as Pillow does.
    coordinates : {"half_pixel", "align_corners", "asymmetric"}, optional
        Where output o lies: at ``(o + 0.5) * scale - 0.5``, so that images cover each other; at
        ``o * (H - 1) / (oH - 1)``, so that their corner pixels do; at ``o * scale``. By default the first, but the last
        with ``mode="nearest"``, which then rounds down. PyTorch's ``"nearest-exact"`` is ``"half_pixel"``.
    layout : {"NCHW", "NHWC"}
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C, oH, oW)`` or ``(N, oH, oW, C)``.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    References
    ----------
    R. Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981; its parameter is -0.75, with
    `antialias` -0.5.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.resize2d(np.array([[[0.0, 4.0]]]), (1, 4), mode="linear")
    array([[[0., 1., 3., 4.]]])
    """
    op = "resize2d"
    check_layout(op, layout)
    array, batched = images(op, "x", x, layout)
    batch, channels, before = image_sizes(array.shape, layout)
    how = read_resizing(op, before, size, scale_factor, mode, align_corners, antialias, coordinates)
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    shape = batch_shape(layout, batch, channels, how.after)
    result = Result(op, shape, dtype, out, array, batched=batched)
    if batch:
        with memory_errors(op):
            resize(op, engine, native(array, compute_dtype(dtype)), how, layout, result.buffer)
    return result.value()
