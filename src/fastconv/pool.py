"""Pooling as users call it. Every kind is a table of windows and a reducer (`windows.py`)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv import options as opt
from fastconv.arrays import Array, Result, as_array, compute_dtype, float_result, images, native
from fastconv.backends import resolve
from fastconv.options import Pair
from fastconv.windows import PoolProblem, Reducer, Windows, adaptive, axis_padding, fractional, sliding

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "fractional_max_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "lp_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "stochastic_pool2d",
]

_AXES = ("height", "width")


def _read(op: str, x: Any, layout: str) -> tuple[Array, bool, Pair]:
    """The batch, whether it was one, and the size of an image."""
    opt.choice(op, "layout", layout, opt.LAYOUTS)
    array, batched = images(op, "x", x, layout)
    first = 2 if layout == "NCHW" else 1
    return array, batched, (array.shape[first], array.shape[first + 1])


def _sliding(
    op: str,
    size: Pair,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
    ceil_mode: Any = False,
    **rules: Any,
) -> tuple[Windows, Windows]:
    kernel = opt.pair(op, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else opt.pair(op, "stride", stride, 1)
    sides = opt.padding(op, padding)
    spread = opt.pair(op, "dilation", dilation, 1)
    rows, columns = (
        sliding(
            op,
            _AXES[a],
            size[a],
            kernel[a],
            steps[a],
            axis_padding(sides, a),
            spread[a],
            bool(ceil_mode),
            **rules,
        )
        for a in (0, 1)
    )
    return rows, columns


def _pool(
    op: str,
    array: Array,
    batched: bool,
    layout: str,
    windows: tuple[Windows, Windows],
    reducer: Reducer,
    *,
    out: Any = None,
    backend: Any = None,
    return_indices: bool = False,
    power: float = 1.0,
    uniforms: Array | None = None,
) -> Any:
    engine = resolve(op, backend)
    dtype = array.dtype.newbyteorder("=") if reducer == "max" else float_result(array.dtype)
    compute = compute_dtype(dtype)
    first = 2 if layout == "NCHW" else 1
    channels = array.shape[1 if layout == "NCHW" else 3]
    size = array.shape[first], array.shape[first + 1]
    problem = PoolProblem(array.shape[0], channels, size, layout, compute, *windows, reducer, power)
    shape = problem.result_shape
    result = Result(op, shape, dtype, out, array, batched=batched)
    indices = np.empty(shape, np.int64) if return_indices else None
    if problem.batch:
        engine.pool(problem, native(array, compute), result.buffer, indices, uniforms)
    if indices is None:
        return result.value()
    return result.value(), indices if batched else indices[0]


def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Any:
    """The largest pixel of every window; NaN wins.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``, or one image; any real dtype, which is kept.
    kernel_size : int or pair (vertical, horizontal)
    stride : int or pair, optional
        By default `kernel_size`.
    padding : int, pair, ((top, bottom), (left, right)), "valid", "same" or "full"
        Pixels around the image, which never win; every window must hold a pixel of the image.
    dilation : int or pair
        Distance of a window's pixels.
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
    array, batched, size = _read(op, x, layout)
    windows = _sliding(op, size, kernel_size, stride, padding, dilation, ceil_mode)
    return _pool(
        op, array, batched, layout, windows, "max", out=out, backend=backend, return_indices=return_indices
    )


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
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
        Divide every sum by this number instead.

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
    array, batched, size = _read(op, x, layout)
    rows, columns = _sliding(
        op, size, kernel_size, stride, padding, 1, ceil_mode, count_padding=bool(count_include_pad)
    )  # fmt: skip
    if divisor_override is not None:
        divisor = opt.integer(op, "divisor_override", divisor_override, 1)
        rows = _with_divisor(rows, float(divisor))
        columns = _with_divisor(columns, 1.0)
    return _pool(op, array, batched, layout, (rows, columns), "sum", out=out, backend=backend)  # type: ignore[no-any-return]


def _with_divisor(windows: Windows, value: float) -> Windows:
    return Windows(windows.start, windows.stop, windows.step, np.full(windows.count, value), windows.grid)


def lp_pool2d(
    x: Any,
    norm_type: float,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Any = 1,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
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

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.lp_pool2d(np.array([[[3.0, -4.0]]]), 2, (1, 2))
    array([[[5.]]])
    """
    op = "lp_pool2d"
    power = opt.number(op, "norm_type", norm_type)
    if not power > 0:
        raise ValueError(f"{op}: norm_type is {norm_type!r}, but needs a number above 0")
    array, batched, size = _read(op, x, layout)
    rows, columns = _sliding(op, size, kernel_size, stride, padding, dilation, ceil_mode)
    if math.isinf(power):
        array = np.abs(
            native(array, compute_dtype(float_result(array.dtype))) if array.dtype.kind in "biu" else array
        )
        return _pool(op, array, batched, layout, (rows, columns), "max", out=out, backend=backend)  # type: ignore[no-any-return]
    if ceil_mode:
        rows, columns = (_with_divisor_table(w) for w in (rows, columns))
    else:
        rows, columns = (_with_divisor(w, 1.0) for w in (rows, columns))
    return _pool(op, array, batched, layout, (rows, columns), "power", out=out, backend=backend, power=power)  # type: ignore[no-any-return]


def _with_divisor_table(windows: Windows) -> Windows:
    assert windows.grid is not None
    extent = windows.step * (windows.grid.kernel - 1) + 1
    return Windows(windows.start, windows.stop, windows.step, windows.divisor / extent, windows.grid)


def adaptive_avg_pool2d(
    x: Any, output_size: Any, *, layout: str = "NCHW", out: Array | None = None, backend: str | None = None
) -> Array:
    """The means of windows that divide the image into `output_size` overlapping parts.

    Parameters
    ----------
    x : array_like
        As for `avg_pool2d`.
    output_size : int or pair
        Rows and columns of the output; None keeps the size of `x` along that axis.
    layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Notes
    -----
    Output `o` of `O` covers the pixels from ``floor(o * size / O)`` up to ``ceil((o + 1) * size / O)``, as in
    PyTorch.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool2d(np.array([[[1.0, 2.0, 6.0]]]), (1, 2))
    array([[[1.5, 4. ]]])
    """
    op = "adaptive_avg_pool2d"
    array, batched, size = _read(op, x, layout)
    windows = _adaptive(op, size, output_size)
    return _pool(op, array, batched, layout, windows, "sum", out=out, backend=backend)  # type: ignore[no-any-return]


def adaptive_max_pool2d(
    x: Any,
    output_size: Any,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Any:
    """The maxima of windows that divide the image into `output_size` overlapping parts.

    Parameters
    ----------
    x, return_indices, layout, out, backend
        As for `max_pool2d`.
    output_size : int or pair
        As for `adaptive_avg_pool2d`.

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_max_pool2d(np.array([[[1.0, 2.0, 6.0]]]), (1, 2))
    array([[[2., 6.]]])
    """
    op = "adaptive_max_pool2d"
    array, batched, size = _read(op, x, layout)
    windows = _adaptive(op, size, output_size)
    return _pool(
        op, array, batched, layout, windows, "max", out=out, backend=backend, return_indices=return_indices
    )


def _adaptive(op: str, size: Pair, output_size: Any) -> tuple[Windows, Windows]:
    if output_size is None or (isinstance(output_size, (tuple, list)) and None in output_size):
        wanted = (None, None) if output_size is None else tuple(output_size)
        if len(wanted) != 2:
            raise ValueError(f"{op}: output_size is {output_size!r}, but needs an integer or a pair")
        output_size = tuple(s if w is None else w for w, s in zip(wanted, size, strict=True))
    rows, columns = opt.pair(op, "output_size", output_size, 1)
    return adaptive(size[0], rows), adaptive(size[1], columns)


def global_avg_pool2d(
    x: Any,
    *,
    keepdims: bool = True,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Array:
    """The mean of every channel's plane.

    Parameters
    ----------
    x, layout, out, backend
        As for `avg_pool2d`.
    keepdims : bool
        Keep the two spatial axes with size 1; otherwise the result is ``(N, C)`` (or ``(C,)``).

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
    >>> fastconv.global_avg_pool2d(np.array([[[1.0, 2.0], [3.0, 6.0]]]), keepdims=False)
    array([3.])
    """
    op = "global_avg_pool2d"
    array, batched, size = _read(op, x, layout)
    windows = adaptive(size[0], 1), adaptive(size[1], 1)
    inner = _expand_out(out, keepdims, layout)
    result = _pool(op, array, batched, layout, windows, "sum", out=inner, backend=backend)
    return _squeeze(result, keepdims, layout, out)


def global_max_pool2d(
    x: Any,
    return_indices: bool = False,
    *,
    keepdims: bool = True,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Any:
    """The maximum of every channel's plane.

    Parameters
    ----------
    x, return_indices, layout, out, backend
        As for `max_pool2d`.
    keepdims : bool
        As for `global_avg_pool2d`; the indices have the same shape.

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.global_max_pool2d(np.array([[[1.0, 2.0], [3.0, 6.0]]]), keepdims=False, return_indices=True)
    (array([6.]), array([3]))
    """
    op = "global_max_pool2d"
    array, batched, size = _read(op, x, layout)
    windows = adaptive(size[0], 1), adaptive(size[1], 1)
    inner = _expand_out(out, keepdims, layout)
    result = _pool(
        op, array, batched, layout, windows, "max", out=inner, backend=backend, return_indices=return_indices
    )  # fmt: skip
    if return_indices:
        return _squeeze(result[0], keepdims, layout, out), _squeeze(result[1], keepdims, layout, None)
    return _squeeze(result, keepdims, layout, out)


def _spatial_axes(layout: str) -> tuple[int, int]:
    return (-2, -1) if layout == "NCHW" else (-3, -2)


def _expand_out(out: Any, keepdims: bool, layout: str) -> Any:
    if keepdims or not isinstance(out, np.ndarray):
        return out
    return np.expand_dims(out, _spatial_axes(layout))


def _squeeze(result: Array, keepdims: bool, layout: str, out: Array | None) -> Array:
    if out is not None:
        return out
    return result if keepdims else result.squeeze(_spatial_axes(layout))


def fractional_max_pool2d(
    x: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    *,
    random_samples: Any = None,
    rng: Any = None,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Any:
    """Max pooling with pseudo-random window positions, for reductions by other factors than whole numbers.

    Parameters
    ----------
    x, return_indices, layout, out, backend
        As for `max_pool2d`.
    kernel_size : int or pair
    output_size : int or pair, optional
        Rows and columns of the output. Give this or `output_ratio`.
    output_ratio : float or pair, optional
        The output's size as a fraction of the input's, between 0 and 1.
    random_samples : array_like, optional
        ``(N, C, 2)`` numbers in [0, 1): where the windows of each plane start, horizontally and vertically, in
        PyTorch's order. By default drawn from `rng`.
    rng : numpy.random.Generator or seed, optional

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    References
    ----------
    B. Graham, "Fractional Max-Pooling", arXiv:1412.6071; the formula of the windows is PyTorch's.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.arange(25.0).reshape(1, 5, 5)
    >>> fastconv.fractional_max_pool2d(x, 2, output_size=3, random_samples=np.full((1, 1, 2), 0.5))
    array([[[ 6.,  8.,  9.],
            [16., 18., 19.],
            [21., 23., 24.]]])
    """
    op = "fractional_max_pool2d"
    array, batched, size = _read(op, x, layout)
    kernel = opt.pair(op, "kernel_size", kernel_size, 1)
    count = _fractional_size(op, size, output_size, output_ratio)
    for axis, name in enumerate(_AXES):
        if count[axis] + kernel[axis] - 1 > size[axis]:
            raise ValueError(
                f"{op}: output_size {count[axis]} with kernel_size {kernel[axis]} needs a {name} of at least "
                f"{count[axis] + kernel[axis] - 1}, but x has {size[axis]}"
            )
    planes = array.shape[0], array.shape[1 if layout == "NCHW" else 3]
    if random_samples is None:
        samples = _generator(op, rng).random((*planes, 2))
    else:
        samples = np.asarray(as_array(op, "random_samples", random_samples), np.float64)
        if samples.shape != (*planes, 2):
            raise ValueError(
                f"{op}: random_samples has shape {samples.shape}, but needs (N, C, 2) = {(*planes, 2)}"
            )
        if not ((samples >= 0) & (samples < 1)).all():
            raise ValueError(f"{op}: random_samples has values outside [0, 1)")
    windows = (
        fractional(size[0], kernel[0], count[0], samples[..., 1]),
        fractional(size[1], kernel[1], count[1], samples[..., 0]),
    )
    return _pool(
        op, array, batched, layout, windows, "max", out=out, backend=backend, return_indices=return_indices
    )


def _fractional_size(op: str, size: Pair, output_size: Any, output_ratio: Any) -> Pair:
    if (output_size is None) == (output_ratio is None):
        raise ValueError(
            f"{op}: output_size is {output_size!r} and output_ratio is {output_ratio!r}, but exactly one is needed"
        )
    if output_size is not None:
        return opt.pair(op, "output_size", output_size, 1)
    ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio, output_ratio)
    if len(ratios) != 2:
        raise ValueError(f"{op}: output_ratio is {output_ratio!r}, but needs a number or a pair of numbers")
    numbers = [opt.number(op, "output_ratio", r) for r in ratios]
    if not all(0 < r < 1 for r in numbers):
        raise ValueError(f"{op}: output_ratio is {output_ratio!r}, but needs numbers between 0 and 1")
    rows, columns = (int(s * r) for s, r in zip(size, numbers, strict=True))
    if rows < 1 or columns < 1:
        raise ValueError(
            f"{op}: output_ratio is {output_ratio!r}, so that nothing of {size[0]}x{size[1]} would be left"
        )
    return rows, columns


def _generator(op: str, rng: Any) -> np.random.Generator:
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{op}: rng is {rng!r}, but needs a numpy.random.Generator or a seed") from None


def stochastic_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    return_indices: bool = False,
    *,
    rng: Any = None,
    training: bool = True,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
) -> Any:
    """Pooling that picks a pixel of every window with probability proportional to its value.

    Parameters
    ----------
    x : array_like
        As for `avg_pool2d`, not negative (the paper applies it to the output of a ReLU).
    kernel_size, stride, padding, layout, out, backend
        As for `max_pool2d`.
    return_indices : bool
        Also return the positions of the picked pixels, as `max_pool2d` does; needs `training`.
    rng : numpy.random.Generator or seed, optional
    training : bool
        False gives, instead of a sample, the mean weighted by the same probabilities.

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`
        A window of zeros gives 0, and the index of its first pixel.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`; and if `x` has negative values.

    References
    ----------
    M. Zeiler and R. Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks",
    arXiv:1301.3557.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0, 3.0]]])
    >>> fastconv.stochastic_pool2d(x, (1, 2), training=False)
    array([[[2.5]]])
    >>> float(fastconv.stochastic_pool2d(x, (1, 2), rng=0).item()) in (1.0, 3.0)
    True
    """
    op = "stochastic_pool2d"
    array, batched, size = _read(op, x, layout)
    windows = _sliding(op, size, kernel_size, stride, padding)
    if return_indices and not training:
        raise ValueError(f"{op}: return_indices is True, but without training no single pixel is picked")
    if array.size and array.min() < 0:
        raise ValueError(
            f"{op}: x has negative values (the smallest is {array.min()}), but needs values of at least 0, "
            "as after a ReLU"
        )
    if not training:
        return _pool(op, array, batched, layout, windows, "weighted", out=out, backend=backend)
    rows, columns = windows
    shape = (array.shape[0], array.shape[1], rows.count, columns.count)
    if layout == "NHWC":
        shape = (array.shape[0], rows.count, columns.count, array.shape[3])
    uniforms = _generator(op, rng).random(shape)
    return _pool(
        op, array, batched, layout, windows, "sample",
        out=out, backend=backend, return_indices=return_indices, uniforms=uniforms,
    )  # fmt: skip


def max_unpool2d(
    x: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
    *,
    layout: str = "NCHW",
    out: Array | None = None,
    backend: str | None = None,
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
    array, batched, size = _read(op, x, layout)
    kernel = opt.pair(op, "kernel_size", kernel_size, 1)
    steps = kernel if stride is None else opt.pair(op, "stride", stride, 1)
    sides = opt.padding(op, padding)
    if isinstance(sides, str):
        raise ValueError(f"{op}: padding is {sides!r}, but needs numbers")
    positions = as_array(op, "indices", indices)
    if positions.dtype.kind not in "iu":
        raise TypeError(f"{op}: indices has dtype {positions.dtype}, but needs integers")
    if not batched and positions.ndim == 3:
        positions = positions[np.newaxis]
    if positions.shape != array.shape:
        raise ValueError(
            f"{op}: indices has shape {positions.shape}, but needs the shape of x, {array.shape}"
        )
    height, width = _unpooled_size(op, size, kernel, steps, sides, output_size, layout)
    if positions.size and not 0 <= positions.min() <= positions.max() < height * width:
        raise ValueError(
            f"{op}: indices go from {positions.min()} to {positions.max()}, but the output of {height}x{width} "
            f"has positions 0 to {height * width - 1}"
        )
    engine = resolve(op, backend)
    dtype = array.dtype.newbyteorder("=")
    shape: tuple[int, ...] = (*array.shape[:2], height, width)
    if layout == "NHWC":
        shape = (array.shape[0], height, width, array.shape[3])
    result = Result(op, shape, dtype, out, array, positions, batched=batched)
    if array.shape[0]:
        engine.scatter(
            native(array, compute_dtype(dtype)), native(positions, np.int64), layout, result.buffer
        )
    return result.value()


def _unpooled_size(
    op: str, size: Pair, kernel: Pair, steps: Pair, sides: opt.Sides, output_size: Any, layout: str
) -> Pair:
    default = tuple(
        (size[a] - 1) * steps[a] - sides[2 * a] - sides[2 * a + 1] + kernel[a] for a in (0, 1)
    )  # fmt: skip
    if output_size is None:
        wanted = default
    else:
        full = tuple(output_size) if isinstance(output_size, (tuple, list)) else output_size
        if isinstance(full, tuple) and len(full) in (3, 4):
            first = len(full) - (2 if layout == "NCHW" else 3)
            full = full[first : first + 2]
        wanted = opt.pair(op, "output_size", full, 1)
        for axis, name in enumerate(_AXES):
            if not default[axis] - steps[axis] < wanted[axis] < default[axis] + steps[axis]:
                raise ValueError(
                    f"{op}: output_size has a {name} of {wanted[axis]}, but needs one between "
                    f"{default[axis] - steps[axis] + 1} and {default[axis] + steps[axis] - 1}"
                )
    if min(wanted) < 1:
        raise ValueError(f"{op}: padding {sides} leaves nothing of the output ({wanted[0]}x{wanted[1]})")
    return wanted[0], wanted[1]
