"""Gradient of `fastconv.resize2d`."""

from __future__ import annotations

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.memory import memory_errors
from fastconv.execution.resizing import read_resizing, resize
from fastconv.grad.operands import check_grad, read_input_size
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import batch_shape, image_sizes
from fastconv.problem.resize import Coordinates, Mode
from fastconv.typing import Array, ArrayLike, BackendName, Layout, PairLike, RatioLike, ShapeLike

__all__ = ["resize2d"]


def resize2d(
    grad_output: ArrayLike,
    input_size: ShapeLike,
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
    """Gradient of the input of `fastconv.resize2d`: every pixel's shares of the outputs.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    input_size : sequence of int
        The full shape of the forward call's `x`.
    size, scale_factor, mode, align_corners, antialias, coordinates, layout
        Those of the forward call, as for `fastconv.resize2d`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape `input_size`, and of the dtype of `grad_output`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.resize2d(np.array([[[1.0, 0.0, 0.0, 1.0]]]), (1, 1, 2), (1, 4))
    array([[[1., 1.]]])
    """
    op = "grad.resize2d"
    shape, full, batched = read_input_size(op, input_size, layout)
    batch, channels, before = image_sizes(full, layout)
    how = read_resizing(op, before, size, scale_factor, mode, align_corners, antialias, coordinates)
    grad = as_array(op, "grad_output", grad_output)
    given = batch_shape(layout, batch, channels, how.after)
    check_grad(op, grad.shape, given if batched else given[1:], "input_size", shape)
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype)
    result = Result(op, full, dtype, out, grad, batched=batched)
    if batch:
        with memory_errors(op):
            source = native(grad, compute_dtype(dtype)).reshape(given)
            resize(op, engine, source, how, layout, result.buffer, backwards=True)
    return result.value()
