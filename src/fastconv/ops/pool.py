"""Pooling over sliding windows as users call it, and its way back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, SupportsFloat, SupportsIndex, cast, overload

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.backends import resolve
from fastconv.execution.arrays import Result, native
from fastconv.execution.known_calls import recall_pool
from fastconv.execution.memory import memory_errors
from fastconv.execution.pooling import AXES, pool, read, read_indices, sliding_windows, with_borders
from fastconv.problem import options as opt
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import batch_shape, channel_axis, plane_size
from fastconv.problem.pooling import SlidingWindows, some_jump
from fastconv.text import echo
from fastconv.typing import (
    Array,
    ArrayLike,
    BackendName,
    Indices,
    Layout,
    PaddingLike,
    PairLike,
    ShapeLike,
    SidesLike,
)

__all__ = ["avg_pool2d", "lp_pool2d", "max_pool2d", "max_unpool2d"]


@overload
def max_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0,
    dilation: PairLike = 1, ceil_mode: bool = False, return_indices: Literal[False] = False, *,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array: ...  # fmt: skip
@overload
def max_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0,
    dilation: PairLike = 1, ceil_mode: bool = False, *, return_indices: Literal[True],
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def max_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None, padding: PaddingLike,
    dilation: PairLike, ceil_mode: bool, return_indices: Literal[True], *, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def max_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0,
    dilation: PairLike = 1, ceil_mode: bool = False, return_indices: bool = False, *,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def max_pool2d(
    x: ArrayLike,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]:
    """The largest pixel of every window; NaN wins.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``, or one image; any real dtype, which is kept.
    kernel_size : int or pair (vertical, horizontal)
    stride : int or pair, optional
        By default `kernel_size`.
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels around the image, which never win; no window may be beyond the image.
    dilation : int or pair
        Distance of a window's pixels. A window with pixels before and behind the image, and none in it, gives what
        nothing is below, minus infinity with floats; with `return_indices` it is an error.
    ceil_mode : bool
        Round the output's size up: a last window may reach beyond the padding where it starts before its end.
    return_indices : bool
        Also return the position of each maximum in the flat, unpadded ``H * W`` plane (int64); the first of
        equal ones in row-major order.
    layout : {"NCHW", "NHWC"}
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping `x`.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1, 5, 2, 0], [3, 4, 8, 7]]])
    >>> fastconv.max_pool2d(x, 2, return_indices=True)
    (array([[[5, 8]]]), array([[[1, 6]]]))
    """
    op = "max_pool2d"
    rounding = "ceil" if arguments.flag(op, "ceil_mode", ceil_mode) else "floor"
    given = (kernel_size, stride, padding, dilation, rounding, layout)
    if not return_indices:
        known = recall_pool(op, x, out, given, backend)
        if known is not None:
            return known
    array, batched, size = read(op, x, layout)
    # Which pixel would be the maximum of none?
    windows = sliding_windows(
        op, size, kernel_size, stride, padding, dilation, ceil_mode, may_jump=not return_indices
    )
    if any(map(some_jump, windows)):
        padded, within = with_borders(op, array, layout, windows)
        return pool(op, padded, batched, layout, within, "max", out=out, backend=backend, padded_from=array)
    return pool(
        op, array, batched, layout, windows, "max",
        out=out, backend=backend, return_indices=return_indices, given=given,
    )  # fmt: skip


def avg_pool2d(
    x: ArrayLike,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PaddingLike = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: SupportsIndex | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The mean of every window.

    Parameters
    ----------
    x : array_like
        As for `max_pool2d`; integers are promoted together with float32.
    kernel_size, stride, padding, ceil_mode, layout, out, backend
        As for `max_pool2d`.
    count_include_pad : bool
        Whether padding counts as pixels of value 0; what `ceil_mode` adds beyond it never counts.
    divisor_override : int, optional
        Divide every sum by this number instead, which may be negative, but not 0.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.avg_pool2d(np.array([[[1.0, 5.0, 2.0, 0.0], [3.0, 3.0, 8.0, 6.0]]]), 2)
    array([[[3., 4.]]])
    """
    op = "avg_pool2d"
    rounding = "ceil" if arguments.flag(op, "ceil_mode", ceil_mode) else "floor"
    pads = "counted" if arguments.flag(op, "count_include_pad", count_include_pad) else "not counted"
    given = (kernel_size, stride, padding, rounding, pads, divisor_override, layout)
    known = recall_pool(op, x, out, given, backend)
    if known is not None:
        return known
    array, batched, size = read(op, x, layout)
    windows = average_windows(
        op, size, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return pool(op, array, batched, layout, windows, "sum", out=out, backend=backend, given=given)


def average_windows(
    op: str,
    size: Pair,
    kernel_size: PairLike,
    stride: PairLike | None,
    padding: PaddingLike,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: SupportsIndex | None,
) -> tuple[SlidingWindows, SlidingWindows]:
    """The windows whose sums, divided by their divisors, are the averages."""
    counts = arguments.flag(op, "count_include_pad", count_include_pad)
    rows, columns = sliding_windows(
        op, size, kernel_size, stride, padding, 1, ceil_mode, count_padding=counts
    )
    if divisor_override is None:
        return rows, columns
    divisor = arguments.integer(op, "divisor_override", divisor_override, -arguments.LARGEST)
    if divisor == 0:
        raise ValueError(f"{op}: divisor_override is 0, but needs another integer")
    return replace(rows, divisor=float(divisor)), replace(columns, divisor=1.0)


def lp_pool2d(
    x: ArrayLike,
    norm_type: SupportsFloat,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    ceil_mode: bool = False,
    *,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The L_p norm of every window: ``sum(abs(a) ** p) ** (1 / p)``.

    Equal to PyTorch's function where `p` is even or `x` is not negative; PyTorch takes no absolute value, and
    so gives NaN where a sum of odd powers is negative. As there, a window that `ceil_mode` cuts short is scaled
    up to the full window's number of pixels.

    Parameters
    ----------
    x : array_like
        As for `avg_pool2d`.
    norm_type : float
        `p` > 0; infinity gives the largest absolute value.
    kernel_size, stride, ceil_mode, padding, dilation, layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`; and if `norm_type` is not positive.

    Notes
    -----
    Every backend forms and sums the powers in float64, whatever the dtype of `x`. So no float32 value is too large, or
    too small, for `p` up to 7. Beyond, and with float64 values, a power above 1.8e308 is infinite, and one below
    2.2e-308 may count as 0.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.lp_pool2d(np.array([[[3.0, -4.0]]]), 2, (1, 2))
    array([[[5.]]])
    """
    op = "lp_pool2d"
    power = read_power(op, norm_type)
    array, batched, size = read(op, x, layout)
    windows = norm_windows(op, size, kernel_size, stride, padding, dilation, ceil_mode)
    if math.isinf(power):
        array = np.abs(
            native(array, compute_dtype(float_result(array.dtype))) if array.dtype.kind in "biu" else array
        )
        return pool(op, array, batched, layout, windows, "max", out=out, backend=backend)
    return pool(op, array, batched, layout, windows, "power", out=out, backend=backend, power=power)


def read_power(op: str, norm_type: SupportsFloat) -> float:
    power = arguments.number(op, "norm_type", norm_type)
    if not power > 0:
        raise ValueError(f"{op}: norm_type is {echo(norm_type)}, but needs a number above 0")
    return power


def norm_windows(
    op: str,
    size: Pair,
    kernel_size: PairLike,
    stride: PairLike | None,
    padding: PaddingLike,
    dilation: PairLike,
    ceil_mode: bool,
) -> tuple[SlidingWindows, SlidingWindows]:
    """The windows of `lp_pool2d`: their divisors scale what `ceil_mode` cuts short up to the full window."""
    rows, columns = sliding_windows(op, size, kernel_size, stride, padding, dilation, ceil_mode)
    if ceil_mode:
        return replace(rows, unit=rows.extent), replace(columns, unit=columns.extent)
    return replace(rows, divisor=1.0), replace(columns, divisor=1.0)


def max_unpool2d(
    x: ArrayLike,
    indices: ArrayLike,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: SidesLike = 0,
    output_size: PairLike | ShapeLike | None = None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Put pooled values back where they came from; everything else is 0.

    Parameters
    ----------
    x : array_like
        The pooled values.
    indices : array_like
        Of the shape of `x`: their flat positions in the ``oH * oW`` plane, as `max_pool2d` returns them. Where
        several values go to one position, the last in row-major order stays.
    kernel_size, stride, padding
        Those of the pooling: the output is ``(H - 1) * stride - padding on both sides + kernel_size``.
    output_size : pair or full shape, optional
        The size of the output, where the pooling did not use every pixel.
    layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        Of the dtype of `x`.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`; and if an index lies outside the output.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> values, indices = fastconv.max_pool2d(np.array([[[1, 5, 2, 0], [3, 4, 8, 7]]]), 2, return_indices=True)
    >>> fastconv.max_unpool2d(values, indices, 2)
    array([[[0, 5, 0, 0],
            [0, 0, 8, 0]]])
    """
    op = "max_unpool2d"
    array, batched, size = read(op, x, layout)
    kernel = arguments.pair(op, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else arguments.pair(op, "stride", stride, 1)
    sides = opt.padding(op, padding)
    if isinstance(sides, str):
        raise ValueError(f"{op}: padding is {echo(sides)}, but needs numbers")
    height, width = _unpooled_size(op, size, kernel, steps, sides, output_size, layout)
    own_shape = array.shape if batched else array.shape[1:]
    positions = read_indices(op, indices, own_shape, "x", (height, width), "the output")
    engine = resolve(op, backend)
    dtype = array.dtype.newbyteorder("=")
    shape = batch_shape(layout, array.shape[0], array.shape[channel_axis(layout)], (height, width))
    result = Result(op, shape, dtype, out, array, positions, batched=batched)
    if array.shape[0]:
        source = native(array, compute_dtype(dtype))
        with memory_errors(op):
            engine.scatter(source, positions.reshape(array.shape), layout, result.buffer)
    return result.value()


def _unpooled_size(
    op: str,
    size: Pair,
    kernel: Pair,
    steps: Pair,
    sides: opt.Sides,
    output_size: PairLike | ShapeLike | None,
    layout: Layout,
) -> Pair:
    default = tuple(
        (size[a] - 1) * steps[a] - sides[2 * a] - sides[2 * a + 1] + kernel[a] for a in (0, 1)
    )  # fmt: skip
    if output_size is None:
        wanted = default
    else:
        full = tuple(output_size) if isinstance(output_size, (tuple, list)) else output_size
        if isinstance(full, tuple) and len(full) in (3, 4):
            full = plane_size(cast(tuple[int, ...], full), layout)
        wanted = arguments.pair(op, "output_size", cast(PairLike, full), 1)
        for axis, name in enumerate(AXES):
            if not default[axis] - steps[axis] < wanted[axis] < default[axis] + steps[axis]:
                raise ValueError(
                    f"{op}: output_size has a {name} of {wanted[axis]}, but needs one between "
                    f"{default[axis] - steps[axis] + 1} and {default[axis] + steps[axis] - 1}"
                )
    if min(wanted) < 1:
        raise ValueError(f"{op}: padding {sides} leaves nothing of the output ({wanted[0]}x{wanted[1]})")
    return wanted[0], wanted[1]
