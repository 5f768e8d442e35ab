"""Derivatives by small kernels: `sobel`, `prewitt`, `laplace`, and the sums that any derivative fits into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, SupportsIndex

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.arguments import AxesLike, BorderName, ModeLike, OutputLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.casting import cast
from fastconv.filtering.known import kept_filters
from fastconv.filtering.missing import NanPolicy
from fastconv.ndimage.linear import Line, correlate1d, line_filter
from fastconv.progress import ProgressLike
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["generic_gradient_magnitude", "generic_laplace", "laplace", "prewitt", "sobel"]

Derivative = Callable[..., Array]


def prewitt(
    input: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    *,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Difference of the neighbours along one axis, sum of three along the others.

    Parameters
    ----------
    input : array_like
    axis : int
    mode : str or sequence of str
        As for `correlate1d`; one for all axes, or one for each.
    output, cval, saturate, nan_policy, progress, backend
        As for `correlate1d`; differences cannot be interpolated.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.prewitt(np.arange(9).reshape(3, 3), axis=0)
    array([[ 9,  9,  9],
           [18, 18, 18],
           [ 9,  9,  9]])
    """
    return _difference(
        "prewitt", input, axis, output, mode, cval, [1, 1, 1], saturate, nan_policy, progress, backend
    )  # fmt: skip


def sobel(
    input: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    *,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Difference of the neighbours along one axis, sum of three along the others, the middle one twice.

    Parameters
    ----------
    input, axis, output, mode, cval, saturate, nan_policy, progress, backend
        As for `prewitt`.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.sobel(np.arange(9).reshape(3, 3), axis=0)
    array([[12, 12, 12],
           [24, 24, 24],
           [12, 12, 12]])
    """
    return _difference(
        "sobel", input, axis, output, mode, cval, [1, 2, 1], saturate, nan_policy, progress, backend
    )  # fmt: skip


def _difference(
    op: str,
    input: ArrayLike,
    axis: SupportsIndex,
    output: OutputLike,
    mode: ModeLike,
    cval: complex,
    across: list[int],
    saturate: bool,
    nan_policy: NanPolicy,
    progress: ProgressLike | None,
    backend: BackendName | None,
) -> Array:
    x = read.array(input)
    read.check_complex(x, output)
    linear = _lines_of(op, x.ndim, axis, mode, cval, across, saturate, nan_policy, backend)
    return linear.applied(x, output, progress)


@kept_filters
def _lines_of(
    op: str,
    ndim: int,
    axis: SupportsIndex,
    mode: ModeLike,
    cval: complex,
    across: list[int],
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """A difference along one axis, and those weights across it, as a filter of arrays with `ndim` axes."""
    place = read.check_axis(axis, ndim)
    modes = read.for_each(mode, ndim, "mode")
    steps = [Line([-1, 0, 1], place, ndim, modes[place], cval, saturate, backend)]
    steps += [Line(across, i, ndim, modes[i], cval, saturate, backend) for i in range(ndim) if i != place]
    return line_filter(op, steps, ndim, cval, nan_policy, saturate, backend)


def laplace(
    input: ArrayLike,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The sum of the second differences along all axes.

    Parameters
    ----------
    input, output, mode, cval, saturate, nan_policy, progress, backend
        As for `prewitt`.
    axes : int or sequence of int, optional
        Those to sum over; all by default.

    Returns
    -------
    ndarray

    Notes
    -----
    The window of a pixel, which missing ones reach, is a cross of itself and its neighbours along `axes`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.laplace(np.array([0, 0, 1, 0, 0]))
    array([ 0,  1, -2,  1,  0])
    """

    x = read.array(input)
    read.check_complex(x, output)
    linear = _laplacian(x.ndim, mode, cval, axes, saturate, nan_policy, backend)
    return linear.applied(x, output, progress, room=8 if saturate else x.itemsize)


@kept_filters
def _laplacian(
    ndim: int,
    mode: ModeLike,
    cval: complex,
    axes: AxesLike,
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """`laplace` of arrays with so many axes."""
    places = read.check_axes(axes, ndim)
    modes = read.for_each(mode, len(places), "mode")
    weights = np.array([1, -2, 1])

    def second(x: Array, axis: int, output: OutputLike, mode: BorderName, cval: complex) -> Array:
        return correlate1d(x, weights, axis, output, mode, cval, backend=backend)

    def run(x: Array, out: Array, cval: complex) -> None:
        def whole(output: OutputLike) -> Array:
            return generic_laplace(x, second, output, modes, cval, axes=places)

        saturated(whole, x, out) if saturate else whole(out)

    # A window is a cross: lines through its pixel.
    lines = [[Reach()] * ndim for _ in places]
    for line, place, each in zip(lines, places, modes, strict=True):
        line[place] = reach(len(weights), 0, read.border(each))
    box = [max(line[axis] for line in lines) if lines else Reach() for axis in range(ndim)]
    return LinearFilter("laplace", run, box, [weights], cval, backend, nan_policy, saturate, lines)


def generic_laplace(
    input: ArrayLike,
    derivative2: Derivative,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: AxesLike = None,
) -> Array:
    """The sum of second derivatives along all axes, whatever computes them.

    Parameters
    ----------
    input : array_like
    derivative2 : callable
        Called as ``derivative2(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``.
    output, mode, cval, axes
        As for `laplace`.
    extra_arguments, extra_keywords
        What else `derivative2` is given.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> def second(x, axis, output, mode, cval):
    ...     return ndimage.correlate1d(x, [1, -2, 1], axis, output, mode, cval)
    >>> ndimage.generic_laplace(np.array([0, 0, 1, 0, 0]), second)
    array([ 0,  1, -2,  1,  0])
    """
    _callable("derivative2", derivative2)
    x, out, places, modes = _read(input, output, mode, axes)
    keywords = extra_keywords or {}
    source = x.copy() if len(places) > 1 and np.may_share_memory(x, out) else x
    for count, (place, each) in enumerate(zip(places, modes, strict=True)):
        if not count:
            _take_mask(derivative2(source, place, out, each, cval, *extra_arguments, **keywords), out)
        else:
            out += derivative2(source, place, out.dtype, each, cval, *extra_arguments, **keywords)
    if not places:
        out[...] = x
    return out


def _callable(name: str, function: object) -> None:
    if not callable(function):
        raise TypeError(
            f"{name} must be a function of (input, axis, output, mode, cval), not {echo(function)}"
        )


def _read(
    input: ArrayLike, output: OutputLike, mode: ModeLike, axes: AxesLike
) -> tuple[Array, Array, tuple[int, ...], list[Any]]:
    """The array, where its derivatives are added up (masked where it is), their axes and borders."""
    x = read.array(input)
    out = read.result_array(output, np.ma.getdata(x))
    if isinstance(x, np.ma.MaskedArray):
        out = np.ma.MaskedArray(out, np.zeros(x.shape, bool))
    places = read.check_axes(axes, x.ndim)
    return x, out, places, read.for_each(mode, len(places), "mode")


def saturated(compute: Callable[[OutputLike], Array], input: ArrayLike, output: OutputLike) -> Array:
    """What `compute` gives into `output`, rounded and kept in range once, where its terms have been added up."""
    out = read.result_array(output, np.ma.getdata(read.array(input)))
    if out.dtype.kind not in "iu":
        return compute(output)
    wide = compute(np.float64)
    out[...] = cast(np.ma.getdata(wide), out.dtype, True)
    return read.with_mask(out, np.ma.getmaskarray(wide) if np.ma.isMaskedArray(wide) else None, output)


def _take_mask(result: Array, out: Array) -> None:
    """What a filter has put into `out` is masked as its result is."""
    if isinstance(out, np.ma.MaskedArray):
        out.mask = np.ma.getmaskarray(result)


def generic_gradient_magnitude(
    input: ArrayLike,
    derivative: Derivative,
    output: OutputLike = None,
    mode: ModeLike = "reflect",
    cval: complex = 0.0,
    extra_arguments: tuple[Any, ...] = (),
    extra_keywords: Mapping[str, Any] | None = None,
    *,
    axes: AxesLike = None,
) -> Array:
    """The length of the gradient, whatever computes the derivatives along the axes.

    Parameters
    ----------
    input : array_like
    derivative : callable
        Called as ``derivative(input, axis, output, mode, cval, *extra_arguments, **extra_keywords)``.
    output, mode, cval, axes
        As for `laplace`.
    extra_arguments, extra_keywords
        What else `derivative` is given.

    Returns
    -------
    ndarray

    Notes
    -----
    As in SciPy, squares and their sum have the dtype of the result: those of small integers wrap.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.generic_gradient_magnitude(np.arange(9.0).reshape(3, 3), ndimage.sobel)[1]
    array([24.33105012, 25.29822128, 24.33105012])
    """
    _callable("derivative", derivative)
    x, out, places, modes = _read(input, output, mode, axes)
    keywords = extra_keywords or {}
    source = x.copy() if len(places) > 1 and np.may_share_memory(x, out) else x
    for count, (place, each) in enumerate(zip(places, modes, strict=True)):
        if not count:
            _take_mask(derivative(source, place, out, each, cval, *extra_arguments, **keywords), out)
            np.multiply(out, out, out)
        else:
            slope = derivative(source, place, out.dtype, each, cval, *extra_arguments, **keywords)
            np.multiply(slope, slope, slope)
            out += slope
    if places:
        np.sqrt(np.ma.getdata(out), np.ma.getdata(out), casting="unsafe")
    else:
        out[...] = x
    return out
