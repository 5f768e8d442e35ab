"""Gaussian filters and their derivatives: `gaussian_filter`, `gaussian_filter1d`, and what is made of them."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering.application import NanPolicy
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike
from fastconv.ndimage.derivatives import generic_gradient_magnitude, generic_laplace, saturated
from fastconv.ndimage.linear import Line, correlate1d, line_filter
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["gaussian_filter", "gaussian_filter1d", "gaussian_gradient_magnitude", "gaussian_laplace"]


def gaussian_weights(sigma: float, order: int, radius: int) -> Array:
    """A Gaussian sampled from `-radius` to `radius`, of sum 1, or its derivative of that order."""
    if order < 0:
        raise ValueError(f"order must be non-negative, not {order}")
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    weights = weights / weights.sum()
    if not order:
        return np.asarray(weights)
    # The derivative is a polynomial times the Gaussian: each step maps q to q' - q * x / sigma^2.
    polynomial = np.polynomial.Polynomial([1.0])
    for _ in range(order):
        polynomial = polynomial.deriv() - polynomial * np.polynomial.Polynomial([0.0, 1 / (sigma * sigma)])
    return np.asarray(polynomial(x.astype(float)) * weights)


def gaussian_filter1d(
    input: ArrayLike,
    sigma: SupportsFloat,
    axis: SupportsIndex = -1,
    order: int = 0,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Correlate with a Gaussian, or with a derivative of one, along one axis.

    Parameters
    ----------
    input : array_like
    sigma : float
        Standard deviation, in pixels.
    axis : int
    order : int
        0 smooths, 1, 2, ... is that derivative.
    output, mode, cval, saturate, nan_policy, progress, backend
        As for `correlate1d`; derivatives cannot be interpolated.
    truncate : float
        The kernel ends so many standard deviations from its middle.
    radius : int, optional
        It ends so many pixels from its middle, whatever `truncate`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter1d(np.array([0.0, 0, 1, 0, 0]), 0.5).round(3)
    array([0.   , 0.106, 0.787, 0.106, 0.   ])
    """
    weights = _weights(sigma, order, truncate, radius)
    return correlate1d(
        input, weights, axis, output, mode, cval,
        saturate=saturate, nan_policy=nan_policy, progress=progress, backend=backend,
    )  # fmt: skip


def _weights(sigma: SupportsFloat, order: int, truncate: float, radius: int | None) -> Array:
    """Those that the filter along one axis correlates with."""
    spread = float(sigma)
    reach: Any = int(truncate * spread + 0.5) if radius is None else radius
    if isinstance(reach, float) or not hasattr(reach, "__index__") or operator.index(reach) < 0:
        raise ValueError(f"Radius must be a nonnegative integer, not {radius!r}")
    return gaussian_weights(spread, order, operator.index(reach))[::-1]


def gaussian_filter(
    input: ArrayLike,
    sigma: SupportsFloat | Iterable[float],
    order: int | Iterable[int] = 0,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Iterable[int] | None = None,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Smooth with a Gaussian, or take derivatives of the smoothed array, along several axes.

    Parameters
    ----------
    input : array_like
    sigma, order, mode, radius : scalar or sequence
        As for `gaussian_filter1d`; one value for all of `axes`, or one for each.
    output, cval, truncate, saturate, nan_policy, progress, backend
        As for `gaussian_filter1d`.
    axes : int or sequence of int, optional
        Those to smooth along; all by default.

    Returns
    -------
    ndarray

    Notes
    -----
    As in SciPy, what lies between two axes has the dtype of the result: integers are cut off after every axis. With
    ``saturate=True`` they are rounded once, at the end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_filter(np.arange(50, step=2).reshape(5, 5), sigma=1)
    array([[ 4,  6,  8,  9, 11],
           [10, 12, 14, 15, 17],
           [20, 22, 24, 25, 27],
           [29, 31, 33, 34, 36],
           [35, 37, 39, 40, 42]])
    """
    x = read.array(input)
    places = read.check_axes(axes, x.ndim)
    given = [
        read.for_each(value, len(places), name)
        for value, name in ((order, "order"), (sigma, "sigma"), (mode, "mode"), (radius, "radius"))
    ]

    steps = [
        Line(_weights(sigma, order, truncate, radius), place, mode, cval, saturate, backend)
        for place, order, sigma, mode, radius in zip(places, *given, strict=True)
        if sigma > 1e-15
    ]
    linear = line_filter("gaussian_filter", steps, x.ndim, cval, nan_policy, saturate)
    return linear.applied(x, output, progress)


def gaussian_laplace(
    input: ArrayLike,
    sigma: SupportsFloat | Iterable[float],
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    *,
    axes: AxesLike = None,
    **kwargs: Any,
) -> Array:
    """The sum of the second derivatives along all axes, of an array smoothed with a Gaussian.

    Parameters
    ----------
    input, sigma, output, mode, cval, axes
        As for `gaussian_filter`.
    **kwargs
        More arguments of `gaussian_filter`; with ``saturate=True`` the terms are added up before they are rounded.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> spot = np.zeros((5, 5))
    >>> spot[2, 2] = 1
    >>> ndimage.gaussian_laplace(spot, 1)[2].round(3)
    array([ 0.055, -0.096, -0.318, -0.096,  0.055])
    """
    x, saturate = read.array(input), kwargs.pop("saturate", False)
    spreads = _spreads(sigma, axes, x.ndim)

    def second(x: Array, axis: int, output: OutputLike, mode: BorderName, cval: complex) -> Array:
        order = [2 if i == axis else 0 for i in range(x.ndim)]
        return gaussian_filter(x, spreads, order, output, mode, cval, **kwargs)

    def whole(output: OutputLike) -> Array:
        return generic_laplace(x, second, output, mode, cval, axes=axes)

    return saturated(whole, x, output) if saturate else whole(output)


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: SupportsFloat | Iterable[float],
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    *,
    axes: AxesLike = None,
    **kwargs: Any,
) -> Array:
    """The length of the gradient of an array smoothed with a Gaussian.

    Parameters
    ----------
    input, sigma, output, mode, cval, axes
        As for `gaussian_filter`.
    **kwargs
        More arguments of `gaussian_filter`; with ``saturate=True`` the terms are added up before they are rounded.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_gradient_magnitude(np.arange(9.0).reshape(3, 3), 1, mode="nearest").round(2)
    array([[1.54, 1.63, 1.54],
           [2.24, 2.3 , 2.24],
           [1.54, 1.63, 1.54]])
    """
    x, saturate = read.array(input), kwargs.pop("saturate", False)
    spreads = _spreads(sigma, axes, x.ndim)

    def first(x: Array, axis: int, output: OutputLike, mode: BorderName, cval: complex) -> Array:
        order = [1 if i == axis else 0 for i in range(x.ndim)]
        return gaussian_filter(x, spreads, order, output, mode, cval, **kwargs)

    def whole(output: OutputLike) -> Array:
        return generic_gradient_magnitude(x, first, output, mode, cval, axes=axes)

    return saturated(whole, x, output) if saturate else whole(output)


def _spreads(sigma: SupportsFloat | Iterable[float], axes: AxesLike, ndim: int) -> list[float]:
    places = read.check_axes(axes, ndim)
    return read.spread(read.for_each(sigma, len(places), "sigma"), places, ndim, 0)
