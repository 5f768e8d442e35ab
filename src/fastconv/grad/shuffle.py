"""Gradients of what only moves channels and pixels: the way back."""

from __future__ import annotations

from typing import SupportsIndex

from fastconv.ops.shuffle import dealt, shuffled, unshuffled
from fastconv.typing import Array, ArrayLike, BackendName, Layout

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def pixel_shuffle(
    grad_output: ArrayLike,
    upscale_factor: SupportsIndex,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.pixel_shuffle`: `grad_output` put back.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    upscale_factor, layout, backend
        Those of the forward call.

    Returns
    -------
    ndarray
        Of the shape of the forward call's `x`, and of the dtype of `grad_output`; integers are promoted
        together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.pixel_unshuffle`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.pixel_shuffle(np.array([[[0, 1], [2, 3]]]), 2).ravel()
    array([0., 1., 2., 3.])
    """
    return unshuffled(
        "grad.pixel_shuffle", "grad_output", grad_output, upscale_factor, layout, backend, gradient=True
    )


def pixel_unshuffle(
    grad_output: ArrayLike,
    downscale_factor: SupportsIndex,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.pixel_unshuffle`: `grad_output` put back.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    downscale_factor, layout, backend
        Those of the forward call.

    Returns
    -------
    ndarray
        Of the shape of the forward call's `x`, and of the dtype of `grad_output`; integers are promoted
        together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.pixel_shuffle`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.pixel_unshuffle(np.arange(4).reshape(4, 1, 1), 2)
    array([[[0., 1.],
            [2., 3.]]])
    """
    return shuffled(
        "grad.pixel_unshuffle", "grad_output", grad_output, downscale_factor, layout, backend, gradient=True
    )


def channel_shuffle(
    grad_output: ArrayLike,
    groups: SupportsIndex,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.channel_shuffle`: `grad_output` put back.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    groups, layout, backend
        Those of the forward call.

    Returns
    -------
    ndarray
        Of the shape and dtype of `grad_output`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `fastconv.channel_shuffle`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.channel_shuffle(np.array([0, 3, 1, 4, 2, 5]).reshape(6, 1, 1), 2).ravel()
    array([0., 1., 2., 3., 4., 5.])
    """
    return dealt("grad.channel_shuffle", "grad_output", grad_output, groups, layout, backend, gradient=True)
