"""Channels as pixels, and back: `pixel_shuffle`, `pixel_unshuffle`, `channel_shuffle`.

Each is a transposed copy, which is NumPy's with every backend.
"""

from __future__ import annotations

from typing import SupportsIndex

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution.arrays import images
from fastconv.execution.memory import empty
from fastconv.pieces import pieces
from fastconv.problem.dtypes import float_result
from fastconv.problem.layout import batch_shape, channels_last, check_layout, image_sizes
from fastconv.typing import Array, ArrayLike, BackendName, Layout

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(
    x: ArrayLike,
    upscale_factor: SupportsIndex,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Make every r * r channels the r * r pixels that a pixel becomes: the end of sub-pixel convolution.

    ``y[c, i * r + a, j * r + b] = x[(c * r + a) * r + b, i, j]``; its gradient is `pixel_unshuffle`.

    Parameters
    ----------
    x : array_like
        ``(N, C * r * r, H, W)``, ``(N, H, W, C * r * r)`` with ``layout="NHWC"``, or one image; any real dtype.
    upscale_factor : int
        The r of these shapes.
    layout : {"NCHW", "NHWC"}
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C, H * r, W * r)`` or ``(N, H * r, W * r, C)``, of the dtype of `x`.

    Raises
    ------
    ValueError, TypeError
        If r * r does not divide the channels, or options or dtypes do not fit.

    References
    ----------
    W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network", 2016.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pixel_shuffle(np.arange(4).reshape(4, 1, 1), 2)
    array([[[0, 1],
            [2, 3]]])
    """
    return shuffled("pixel_shuffle", "x", x, upscale_factor, layout, backend)


def pixel_unshuffle(
    x: ArrayLike,
    downscale_factor: SupportsIndex,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Make every r x r pixels the r * r channels of one pixel: the inverse of `pixel_shuffle`, and its gradient.

    Parameters
    ----------
    x : array_like
        ``(N, C, H * r, W * r)``, ``(N, H * r, W * r, C)`` with ``layout="NHWC"``, or one image; any real dtype.
    downscale_factor : int
        The r of these shapes.
    layout, backend
        As for `pixel_shuffle`.

    Returns
    -------
    ndarray
        ``(N, C * r * r, H, W)`` or ``(N, H, W, C * r * r)``, of the dtype of `x`.

    Raises
    ------
    ValueError, TypeError
        If r does not divide height and width, or options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.pixel_unshuffle(np.array([[[0, 1], [2, 3]]]), 2).ravel()
    array([0, 1, 2, 3])
    """
    return unshuffled("pixel_unshuffle", "x", x, downscale_factor, layout, backend)


def channel_shuffle(
    x: ArrayLike, groups: SupportsIndex, *, layout: Layout = "NCHW", backend: BackendName | None = None
) -> Array:
    """Deal the channels of groups out: the first of each group, then the second of each, and so on.

    ``y[k * groups + g] = x[g * (C // groups) + k]``.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or one image; any real dtype.
    groups : int
    layout, backend
        As for `pixel_shuffle`.

    Returns
    -------
    ndarray
        Of the shape and dtype of `x`.

    Raises
    ------
    ValueError, TypeError
        If `groups` does not divide the channels, or options or dtypes do not fit.

    References
    ----------
    X. Zhang, X. Zhou, M. Lin and J. Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile
    Devices", 2018.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.channel_shuffle(np.arange(6).reshape(6, 1, 1), 2).ravel()
    array([0, 3, 1, 4, 2, 5])
    """
    return dealt("channel_shuffle", "x", x, groups, layout, backend)


def shuffled(
    op: str, name: str, x: ArrayLike, factor: SupportsIndex, layout: Layout, backend: BackendName | None,
    *, gradient: bool = False,
) -> Array:  # fmt: skip
    """`pixel_shuffle` of the argument `name`; a gradient is floating-point."""
    array, batched = _read(op, name, x, layout, backend)
    r = arguments.integer(op, "upscale_factor", factor, 1)
    batch, channels, (height, width) = image_sizes(array.shape, layout)
    if channels % (r * r):
        raise ValueError(
            f"{op}: {name} has {channels} channels, which upscale_factor={r} squared does not divide"
        )
    c = channels // (r * r)
    if channels_last(layout):
        view = array.reshape(batch, height, width, c, r, r).transpose(0, 1, 4, 2, 5, 3)
    else:
        view = array.reshape(batch, c, r, r, height, width).transpose(0, 1, 4, 2, 5, 3)
    return _copied(op, view, batch_shape(layout, batch, c, (height * r, width * r)), batched, gradient)


def unshuffled(
    op: str, name: str, x: ArrayLike, factor: SupportsIndex, layout: Layout, backend: BackendName | None,
    *, gradient: bool = False,
) -> Array:  # fmt: skip
    """`pixel_unshuffle` of the argument `name`; a gradient is floating-point."""
    array, batched = _read(op, name, x, layout, backend)
    r = arguments.integer(op, "downscale_factor", factor, 1)
    batch, c, (height, width) = image_sizes(array.shape, layout)
    if height % r or width % r:
        raise ValueError(
            f"{op}: {name} has images of {height}x{width} pixels, which downscale_factor={r} does not divide"
        )
    h, w = height // r, width // r
    if channels_last(layout):
        view = array.reshape(batch, h, r, w, r, c).transpose(0, 1, 3, 5, 2, 4)
    else:
        view = array.reshape(batch, c, h, r, w, r).transpose(0, 1, 3, 5, 2, 4)
    return _copied(op, view, batch_shape(layout, batch, c * r * r, (h, w)), batched, gradient)


def dealt(
    op: str, name: str, x: ArrayLike, groups: SupportsIndex, layout: Layout, backend: BackendName | None,
    *, gradient: bool = False,
) -> Array:  # fmt: skip
    """`channel_shuffle` of the argument `name`; its gradient undoes it."""
    array, batched = _read(op, name, x, layout, backend)
    count = arguments.integer(op, "groups", groups, 1)
    batch, channels, size = image_sizes(array.shape, layout)
    if channels % count:
        raise ValueError(f"{op}: {name} has {channels} channels, which groups={count} does not divide")
    parts = (channels // count, count) if gradient else (count, channels // count)
    if channels_last(layout):
        view = array.reshape(batch, *size, *parts).swapaxes(3, 4)
    else:
        view = array.reshape(batch, *parts, *size).swapaxes(1, 2)
    return _copied(op, view, array.shape, batched, gradient)


def _read(
    op: str, name: str, x: ArrayLike, layout: Layout, backend: BackendName | None
) -> tuple[Array, bool]:
    check_layout(op, layout)
    array, batched = images(op, name, x, layout)
    resolve(op, backend)
    return array, batched


def _copied(op: str, view: Array, shape: tuple[int, ...], batched: bool, gradient: bool) -> Array:
    dtype = float_result(view.dtype) if gradient else view.dtype.newbyteorder("=")
    result = empty(op, shape, dtype)
    target = result.reshape(view.shape)
    for own in pieces(target.size, *target.shape):
        target[own] = view[own]
    return result if batched else result[0]
