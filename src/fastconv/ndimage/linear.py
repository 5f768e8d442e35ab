"""Correlation and convolution with a kernel, over all axes or along one."""

# pyright: reportAttributeAccessIssue=false
# It takes arrays that may be complex to have no parts.
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import SupportsIndex

import numpy as np

from fastconv.filtering import arguments as read
from fastconv.filtering import passes, sums
from fastconv.filtering.application import LinearFilter
from fastconv.filtering.arguments import AxesLike, BorderName, OutputLike
from fastconv.filtering.blocks import Reach, reach
from fastconv.filtering.known import kept_filters
from fastconv.filtering.lines import SeparableLike, between_lines, lines_of
from fastconv.filtering.missing import NanPolicy
from fastconv.filtering.pictures import KernelCall
from fastconv.progress import ProgressLike
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["convolve", "convolve1d", "correlate", "correlate1d"]


def correlate1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex = 0,
    *,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Correlate an array with weights along one axis.

    Parameters
    ----------
    input : array_like
    weights : array_like
        One-dimensional.
    axis : int
    output : ndarray or dtype, optional
        Where to put the result, or of which dtype it is: that of `input` by default.
    mode : {"reflect", "mirror", "nearest", "wrap", "constant"}
        What lies beyond the array: ``d c b a | a b c d | d c b a``, ``d c b | a b c d | c b a``, its edge, its other
        end, or `cval`; ``"grid-mirror"``, ``"grid-wrap"`` and ``"grid-constant"`` are other names of the first, the
        fourth and the last.
    cval : scalar
    origin : int
        How far the window of a pixel is moved to the left.
    saturate : bool
        Integers are rounded and kept within the range of their dtype; else they are cut off and wrapped, as SciPy's.
    nan_policy : {"propagate", "omit", "interpolate"}
        What becomes of windows with missing pixels, which are NaN and masked ones: they are missing, too; the sum is
        that of the other pixels; or that sum is scaled to the weight of the whole kernel, as by
        `astropy.convolution.convolve`. A window without any pixel gives NaN, or 0 where the result is of integers. With
        ``cval=nan`` the pixels beyond the array are missing for the last two.
    progress : bool or callable, optional
        Whether to show on standard error how far the work is; or ``progress(done, total)``, which is called.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        A masked array where `input` is one: masked are the missing pixels.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        If an argument does not fit, of the type that SciPy raises.

    Notes
    -----
    Sums of float32 whose result is float32 are computed in float32, all others in float64. A weight of 0 sees no pixel:
    a NaN or an infinity under it reaches no sum. Memory-mapped files, and what is larger than 1 GiB as float64, are
    done in parts of the first axis of some 32 MiB, whatever their length.

    References
    ----------
    H. Knutsson and C.-F. Westin, "Normalized and differential convolution", CVPR 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.correlate1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), weights=[1, 3])
    array([ 8, 26,  8, 12,  7, 28, 36,  9])
    >>> ndimage.correlate1d([1, np.nan, 3, 5], [0.25, 0.5, 0.25], nan_policy="interpolate")
    array([1.        , 2.        , 3.66666667, 4.5       ])
    """
    return _along(
        "correlate1d", input, weights, False, axis, output, mode, cval, origin, saturate, nan_policy, progress, backend
    )  # fmt: skip


def convolve1d(
    input: ArrayLike,
    weights: ArrayLike,
    axis: SupportsIndex = -1,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex = 0,
    *,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Convolve an array with weights along one axis: `correlate1d` with the weights reversed.

    Parameters
    ----------
    input, weights, axis, output, mode, cval, origin, saturate, nan_policy, progress, backend
        As for `correlate1d`; `origin` moves the window to the right.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.convolve1d(np.array([2, 8, 0, 4, 1, 9, 9, 0]), weights=[1, 3])
    array([14, 24,  4, 13, 12, 36, 27,  0])
    """
    return _along(
        "convolve1d", input, weights, True, axis, output, mode, cval, origin, saturate, nan_policy, progress, backend
    )  # fmt: skip


def _along(
    op: str,
    input: ArrayLike,
    weights: ArrayLike,
    turned: bool,
    axis: SupportsIndex,
    output: OutputLike,
    mode: BorderName,
    cval: complex,
    origin: SupportsIndex,
    saturate: bool,
    nan_policy: NanPolicy,
    progress: ProgressLike | None,
    backend: BackendName | None,
) -> Array:
    kernel = read.window("weights", weights)
    x, is_complex = read.array(input), kernel.dtype.kind == "c"
    if is_complex and x.dtype.kind != "c":
        _real(cval)
    linear = _along_axis(
        op, x.ndim, kernel, turned, axis, mode, cval, origin, saturate, nan_policy, backend
    )  # fmt: skip
    return linear.applied(x, output, progress, complex_result=is_complex)


@kept_filters
def _along_axis(
    op: str,
    ndim: int,
    kernel: Array,
    turned: bool,
    axis: SupportsIndex,
    mode: BorderName,
    cval: complex,
    origin: SupportsIndex,
    saturate: bool,
    nan_policy: NanPolicy,
    backend: BackendName | None,
) -> LinearFilter:
    """Weights along one axis, turned round or not, as a filter of an array with `ndim` axes."""
    shift = read.integer(origin, "origin")
    if turned:
        if not kernel.ndim:
            raise IndexError(f"weights is {kernel}, but needs one axis")
        kernel = kernel[::-1]
        shift = -shift - (1 - kernel.shape[0] % 2)
    elif kernel.dtype.kind == "c":
        kernel = kernel.conj()
    line = Line(kernel, read.check_axis(axis, ndim), ndim, mode, cval, saturate, backend, shift)
    return line_filter(op, [line], ndim, cval, nan_policy, saturate, backend)


def correlate(
    input: ArrayLike,
    weights: ArrayLike,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex | list[int] = 0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    separable: SeparableLike = "auto",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Correlate an array with a kernel of as many axes.

    Parameters
    ----------
    input : array_like
    weights : array_like
        As many axes as `axes`.
    output, mode, cval, saturate, nan_policy, progress, backend
        As for `correlate1d`; one mode for all axes.
    origin : int or sequence of int
        How far the window of a pixel is moved towards the first pixel; one for each of `axes`.
    axes : int or sequence of int, optional
        Those along which the kernel lies; all by default.
    separable : bool or "auto"
        A kernel that is a product of lines, one along each axis, is done line after line. ``"auto"`` does so for 16 and
        more weights that differ from such a product by no more than rounding does: the sum of the differences is at
        most 2e-15 of that of all magnitudes, 3e-8 where sums are of float32; and never where integers are cut off. True
        takes a kernel that differs by up to 1e-6, and refuses others with how far they are; False looks for no lines.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, RuntimeError, TypeError
        If an argument does not fit, of the type that SciPy raises.

    Notes
    -----
    Two habits of SciPy are kept: weights lie along `axes` in the order of the array's axes, whatever the order of
    `axes`; a complex kernel is conjugated. Lines are found by singular value decomposition.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> ndimage.correlate(np.arange(16).reshape(4, 4), np.ones((3, 3)))
    array([[ 15,  21,  30,  36],
           [ 39,  45,  54,  60],
           [ 75,  81,  90,  96],
           [ 99, 105, 114, 120]])
    """
    x, kernel = read.array(input), read.window("weights", weights)
    kernel = kernel.conj() if kernel.dtype.kind == "c" else kernel
    filtered = _over_axes(
        "correlate", x.ndim, kernel, mode, cval, origin, False, axes, saturate, nan_policy, separable, backend
    )  # fmt: skip
    return filtered.applied(x, output, progress, complex_result=kernel.dtype.kind == "c")


def convolve(
    input: ArrayLike,
    weights: ArrayLike,
    output: OutputLike = None,
    mode: BorderName = "reflect",
    cval: complex = 0.0,
    origin: SupportsIndex | list[int] = 0,
    *,
    axes: AxesLike = None,
    saturate: bool = False,
    nan_policy: NanPolicy = "propagate",
    separable: SeparableLike = "auto",
    progress: ProgressLike | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Convolve an array with a kernel of as many axes: the kernel is turned round before it is laid on.

    Parameters
    ----------
    input, weights, output, mode, cval, origin, axes, saturate, nan_policy, separable, progress, backend
        As for `correlate`; `origin` moves the window the other way.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import ndimage
    >>> image = np.array([[1, 2, 0, 0], [5, 3, 0, 4], [0, 0, 0, 7], [9, 3, 0, 0]])
    >>> ndimage.convolve(image, np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]]), mode="constant")
    array([[11, 10,  7,  4],
           [10,  3, 11, 11],
           [15, 12, 14,  7],
           [12,  3,  7,  0]])
    """
    x, kernel = read.array(input), read.window("weights", weights)
    filtered = _over_axes(
        "convolve", x.ndim, kernel, mode, cval, origin, True, axes, saturate, nan_policy, separable, backend
    )  # fmt: skip
    return filtered.applied(x, output, progress, complex_result=kernel.dtype.kind == "c")


@dataclass(frozen=True)
class Line:
    """Weights along one axis of an array with `ndim` axes as a pass."""

    weights: ArrayLike
    axis: int
    ndim: int
    mode: BorderName
    cval: complex
    saturate: bool = False
    backend: BackendName | None = None
    origin: int = 0

    @cached_property
    def given(self) -> Array:
        return np.asarray(self.weights)

    @cached_property
    def laid(self) -> tuple[Array, Reach]:
        """The real weights as a kernel of all axes, and how far it reaches."""
        return self._lay(self.given.real)

    def _lay(self, weights: Array) -> tuple[Array, Reach]:
        return _line(weights, self.axis, self.ndim, self.mode, self.origin)

    def __call__(self, x: Array, out: Array) -> KernelCall | None:
        if "c" in x.dtype.kind + self.given.dtype.kind:
            _by_parts(self._part, x, self.given, out, self.cval)
            return None
        return self._into(x, *self.laid, out, _real(self.cval))

    def _part(self, x: Array, weights: Array, out: Array, cval: float) -> None:
        self._into(x, *self._lay(weights), out, cval)

    def _into(self, x: Array, kernel: Array, along: Reach, out: Array, cval: float) -> KernelCall | None:
        reaches = [Reach()] * x.ndim
        reaches[self.axis] = along
        terms = partial(sums.terms_1d, kernel, self.axis)
        return _into(x, kernel, reaches, cval, out, terms, self.saturate, self.backend)


def line_filter(
    op: str,
    lines: Sequence[Line],
    ndim: int,
    cval: complex,
    nan_policy: NanPolicy,
    saturate: bool,
    backend: BackendName | None,
) -> LinearFilter:
    """Passes along different axes, one after the other, as one filter; errors in their arguments are raised here."""
    reaches = [Reach()] * ndim
    for line in lines:
        reaches[line.axis] = line.laid[1]

    def run(x: Array, out: Array, cval: complex) -> KernelCall | None:
        given = [line if line.cval == cval else replace(line, cval=cval) for line in lines]
        return passes.run(x, out, given, passes.between(x.dtype, out.dtype, saturate), two_lines, saturate)

    return LinearFilter(
        op, run, reaches, [line.given for line in lines], cval, backend, nan_policy, saturate
    )  # fmt: skip


def two_lines(first: Line, second: Line, x: Array, out: Array, whole: bool = False) -> KernelCall | None:
    """Both passes in a single way through the array; None where that would not give the same, or has no kernel.

    `whole` lines are those of one kernel: nothing is rounded between them.
    """
    if x.dtype.kind == "c" or out.dtype.kind == "c" or abs(first.axis - second.axis) != 1:
        return None
    if any(np.iscomplexobj(each) for each in (first.cval, first.given, second.given)):
        return None
    if first.cval != second.cval:
        return None
    cval = float(np.real(first.cval))
    reaches, kernels = [Reach()] * x.ndim, []
    for line in (first, second):
        kernel, reaches[line.axis] = line.laid
        kernels.append(sums.Weighing(kernel, partial(sums.terms_1d, kernel, line.axis)))
    return sums.weigh_pictures(x, kernels, reaches, cval, out, first.saturate, first.backend, whole)


def _line(weights: ArrayLike, axis: int, ndim: int, mode: BorderName, origin: int) -> tuple[Array, Reach]:
    """Weights along one axis as a kernel of all axes, and how far it reaches."""
    kernel = read.window("weights", weights).astype(np.float64, copy=False)
    if kernel.ndim != 1 or not kernel.size:
        raise RuntimeError(f"no filter weights given: weights has shape {kernel.shape}, needs one axis")
    size = kernel.size
    read.check_origin(
        origin,
        size,
        "Invalid origin; origin must satisfy -(len(weights) // 2) <= origin <= (len(weights)-1) // 2",
    )
    return kernel.reshape([size if i == axis else 1 for i in range(ndim)]), reach(
        size, origin, read.border(mode)
    )


def _into(
    x: Array,
    kernel: Array,
    reaches: list[Reach],
    cval: float,
    out: Array,
    terms: Callable[[], sums.Terms],
    saturate: bool,
    backend: BackendName | None,
) -> KernelCall | None:
    """The sums into `out`, which may share memory with `x`."""
    read.check_type(x.dtype)
    read.check_type(out.dtype)
    with read.apart(x, out) as target:
        return sums.correlate(
            x, kernel, reaches, float(cval), target, terms, saturate=saturate, backend=backend
        )


@kept_filters
def _over_axes(
    op: str,
    ndim: int,
    kernel: Array,
    mode: BorderName,
    cval: complex,
    origin: SupportsIndex | list[int],
    turned: bool,
    axes: AxesLike,
    saturate: bool,
    nan_policy: NanPolicy,
    separable: SeparableLike,
    backend: BackendName | None,
) -> LinearFilter:
    """A kernel of several axes, or of lines along these, as a filter of an array with `ndim` axes."""
    is_complex = kernel.dtype.kind == "c"
    places = read.check_axes(axes, ndim)
    kernel = read.widen(kernel if is_complex else kernel.astype(np.float64), places, ndim, "weights")
    given = [read.integer(each, "origin") for each in read.for_each(origin, len(places), "origin")]
    origins = read.spread(given, places, ndim, 0)
    if turned:
        kernel = np.flip(kernel)
        origins = [-shift - (1 - size % 2) for shift, size in zip(origins, kernel.shape, strict=True)]
    for shift, size in zip(origins, kernel.shape, strict=True):
        read.check_origin(
            shift,
            size,
            "Invalid origin; origin must satisfy -(weights.shape[k] // 2) <= origin[k] <= (weights.shape[k]-1) // 2",
        )
    border = read.one_border(mode)
    reaches = [reach(size, shift, border) for size, shift in zip(kernel.shape, origins, strict=True)]
    lines = lines_of(op, kernel, separable)

    def part(x: Array, kernel: Array, out: Array, cval: float) -> KernelCall | None:
        kernel = np.asarray(kernel, np.float64, order="C")
        return _into(x, kernel, reaches, cval, out, partial(sums.terms_nd, kernel), saturate, backend)

    def run(x: Array, out: Array, cval: complex) -> KernelCall | None:
        if not x.size:
            return None  # of any dtype, as in SciPy
        if is_complex or x.dtype.kind == "c":
            _by_parts(part, x, kernel, out, cval)
            return None
        if lines is not None and lines.do_for(x.dtype, out.dtype, saturate, separable):
            steps = [
                Line(weights, axis, ndim, mode, beyond, saturate, backend, origins[axis])
                for axis, weights, beyond in lines.with_constants(_real(cval))
            ]
            between = between_lines(x.dtype, out.dtype, saturate)
            return passes.run(x, out, steps, between, partial(two_lines, whole=True))
        return part(x, kernel, out, _real(cval))

    return LinearFilter(op, run, reaches, [kernel], cval, backend, nan_policy, saturate)


def _real(cval: complex) -> float:
    if np.iscomplexobj(cval):
        raise ValueError("Cannot provide a complex-valued cval when the input is real.")
    return float(np.real(cval))


def _by_parts(
    part: Callable[[Array, Array, Array, float], object], x: Array, kernel: Array, out: Array, cval: complex
) -> None:
    if x.dtype.kind != "c":
        _real(cval)
    with read.apart(x, out) as target:
        sums.by_parts(part, x, kernel, target, cval)
