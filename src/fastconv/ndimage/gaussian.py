"""Gaussian filters and their derivatives: `gaussian_filter`, `gaussian_filter1d`, and what is made of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from fastconv.caches import kept_up_to
from fastconv.execution.memory import check_memory, memory_errors
from fastconv.filtering import arguments as read
from fastconv.filtering.application import LinearFilter, check_saturate
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.known import kept_filters
from fastconv.filtering.missing import NanPolicy
from fastconv.filtering.parts import apply
from fastconv.ndimage.derivatives import generic_gradient_magnitude, generic_laplace, saturated
from fastconv.ndimage.linear import Line, line_filter
from fastconv.progress import ProgressLike
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["gaussian_filter", "gaussian_filter1d", "gaussian_gradient_magnitude", "gaussian_laplace"]

_OPTIONS = {"truncate", "radius", "nan_policy", "backend"}  # of a derivative of several axes


@kept_up_to(1 << 20)
def gaussian_weights(sigma: float, order: int, radius: int) -> Array:
    """A Gaussian sampled from `-radius` to `radius`, of sum 1, or its derivative of that order."""
    if order < 0:
        raise ValueError(f"order must be non-negative, not {order}")
    x = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 / (sigma * sigma) * x**2)
    weights = weights / weights.sum()
    if not order:
        weights.flags.writeable = False
        return np.asarray(weights)
    # The derivative is a polynomial times the Gaussian: each step maps q to q' - q * x / sigma^2. Summed up as by
    # SciPy: the last bit of a weight may decide where sums of integers are cut off.
    powers = np.arange(order + 1)
    step = np.diag(powers[1:], 1) + np.diag(np.full(order, -1 / (sigma * sigma)), -1)
    polynomial: Array = np.eye(1, order + 1)[0]
    for _ in range(order):
        polynomial = step.dot(polynomial)
    values: Array = (x[:, None] ** powers).dot(polynomial) * weights
    values.flags.writeable = False
    return values


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
    x = read.array(input)
    linear = _smoother_along(
        x.ndim, sigma, axis, order, mode, cval, truncate, radius, saturate, nan_policy, backend
    )  # fmt: skip
    return linear.applied(x, output, progress)


@kept_filters
def _smoother_along(
    ndim: int,
    sigma: SupportsFloat,
    axis: SupportsIndex,
    order: int,
    mode: BorderName,
    cval: complex,
    truncate: float,
    radius: int | None,
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """`gaussian_filter1d` of arrays with so many axes."""
    op = "gaussian_filter1d"
    weights = _weights(op, sigma, order, truncate, radius)
    line = Line(weights, read.check_axis(axis, ndim), ndim, mode, cval, saturate, backend)
    _check_orders(op, [order], nan_policy)
    return line_filter(op, [line], ndim, cval, nan_policy, saturate, backend)


def _check_orders(op: str, orders: Iterable[int], nan_policy: NanPolicy) -> None:
    """The weights of a derivative sum to 0, or to what a sampled Gaussian leaves of that."""
    if nan_policy == "interpolate" and any(orders):
        raise ValueError(
            f"{op}: nan_policy is 'interpolate', but the weights of a derivative sum to 0: needs 'omit' or 'propagate'"
        )


def _weights(op: str, sigma: SupportsFloat, order: int, truncate: float, radius: int | None) -> Array:
    """Those that the filter along one axis correlates with."""
    order = read.integer(order, "order")
    if radius is None:
        read.check_real(truncate, "truncate")
    try:
        spread = float(sigma)
    except (TypeError, ValueError) as error:
        raise type(error)(f"sigma must be a real number, not {echo(sigma)}") from None
    if radius is None and not math.isfinite(truncate * spread):
        kind = OverflowError if math.isinf(truncate * spread) else ValueError
        raise kind(f"sigma is {sigma} and truncate {truncate}, but both need to be finite")
    reach: Any = int(truncate * spread + 0.5) if radius is None else radius
    if isinstance(reach, float) or not hasattr(reach, "__index__") or operator.index(reach) < 0:
        given = (
            f"{radius!r}"
            if radius is not None
            else f"{reach}, from sigma {spread:g} and truncate {truncate:g}"
        )
        raise ValueError(f"Radius must be a nonnegative integer, not {given}")
    pixels = operator.index(reach)
    # As float64 and, while they are computed, their places, exponents and values.
    check_memory(op, (4, 2 * pixels + 1), 8, f"the kernel of sigma {spread:g}, with what it is made of,")
    with memory_errors(op):
        return gaussian_weights(spread, order, pixels)[::-1]


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
    linear = _smoother(
        "gaussian_filter", x.ndim, sigma, order, mode, cval, truncate=truncate, radius=radius, axes=axes,
        saturate=saturate, nan_policy=nan_policy, backend=backend,
    )  # fmt: skip
    if linear.weights:
        read.check_complex(x, output)
    return linear.applied(x, output, progress)


@kept_filters
def _smoother(
    op: str,
    ndim: int,
    sigma: SupportsFloat | Iterable[float],
    order: int | Iterable[int],
    mode: ModeLike,
    cval: complex,
    *,
    truncate: float = 4.0,
    radius: int | Iterable[int] | None = None,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    backend: BackendName | None = None,
) -> LinearFilter:
    """`gaussian_filter` of arrays with so many axes."""
    places = read.check_axes(axes, ndim)
    given = [
        read.for_each(value, len(places), name)
        for value, name in ((order, "order"), (sigma, "sigma"), (mode, "mode"), (radius, "radius"))
    ]
    for each in given[1]:
        read.check_real(each, "sigma")
    steps = [
        Line(_weights(op, sigma, order, truncate, radius), place, ndim, mode, cval, saturate, backend)
        for place, order, sigma, mode, radius in zip(places, *given, strict=True)
        if sigma > 1e-15
    ]
    _check_orders(op, given[0], nan_policy)
    return line_filter(op, steps, ndim, cval, nan_policy, saturate, backend)


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
    return _of_derivatives(
        "gaussian_laplace", generic_laplace, 2, input, sigma, output, mode, cval, axes, kwargs
    )


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

    Notes
    -----
    The array is smoothed along `axes` only. SciPy's smooths along the others, too, where `sigma` is a number.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.gaussian_gradient_magnitude(np.arange(9.0).reshape(3, 3), 1, mode="nearest").round(2)
    array([[1.54, 1.63, 1.54],
           [2.24, 2.3 , 2.24],
           [1.54, 1.63, 1.54]])
    """
    return _of_derivatives(
        "gaussian_gradient_magnitude", generic_gradient_magnitude, 1, input, sigma, output, mode, cval, axes, kwargs
    )  # fmt: skip


def _of_derivatives(
    op: str,
    combined: Callable[..., Array],
    order: int,
    input: ArrayLike,
    sigma: SupportsFloat | Iterable[float],
    output: OutputLike,
    mode: ModeLike,
    cval: complex,
    axes: AxesLike,
    options: dict[str, Any],
) -> Array:
    """What is made of the derivatives of that order along each axis; `options` are those of `gaussian_filter`."""
    x = read.array(input)
    progress, saturate = options.pop("progress", None), options.pop("saturate", False)
    check_saturate(op, saturate)
    read.check_complex(x, output)
    places = read.check_axes(axes, x.ndim)
    spreads = read.spread(read.for_each(sigma, len(places), "sigma"), places, x.ndim, 0)
    modes = read.for_each(mode, len(places), "mode")
    for name in options.keys() - _OPTIONS:
        raise TypeError(f"{op}() got an unexpected keyword argument {name!r}")
    smoothers = {
        axis: _smoother(
            op, x.ndim, spreads, [order if i == axis else 0 for i in range(x.ndim)], each, cval, **options
        )
        for axis, each in zip(places, modes, strict=True)
    }

    def derivative(x: Array, axis: int, output: OutputLike, mode: BorderName, cval: complex) -> Array:
        return smoothers[axis].applied(x, output)

    def into(x: Array, out: Array) -> Array | None:
        def whole(output: OutputLike) -> Array:
            return combined(x, derivative, output, modes, cval, axes=places)

        result = saturated(whole, x, out) if saturate else whole(out)
        return np.ma.getmaskarray(result) if np.ma.isMaskedArray(result) else None

    first = None
    if len(set(modes)) == 1 and x.ndim and spreads[0] > 1e-15:
        # As SciPy's, each derivative has one border for all axes.
        radii = read.for_each(options.get("radius"), x.ndim, "radius")
        taps = _weights(op, spreads[0], order, options.get("truncate", 4.0), radii[0]).size
        first = reach(taps, 0, read.border(modes[0]))
    elif x.ndim and spreads[0] <= 1e-15:
        first = Reach()
    is_complex = x.dtype.kind == "c"
    room = 8 if saturate else x.itemsize
    return apply(op, into, first, x, output, progress, complex_result=is_complex, room=room)
