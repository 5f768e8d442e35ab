"""Gradients of `fastconv.softmax` and `fastconv.log_softmax`, from their outputs."""

from __future__ import annotations

from typing import SupportsIndex

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.memory import memory_errors
from fastconv.problem.axes import around_axis, read_axis
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["log_softmax", "softmax"]


def softmax(
    grad_output: ArrayLike,
    output: ArrayLike,
    dim: SupportsIndex,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.softmax`: ``y * (g - sum of g * y)``.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `output`.
    output : array_like
        The forward call's result.
    dim : int
        That of the forward call.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `output`; its dtype is that of both arrays promoted together.

    Raises
    ------
    ValueError, TypeError
        If shapes, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.softmax(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 0)
    array([ 0.25, -0.25])
    """
    return _gradient("grad.softmax", grad_output, output, dim, out, backend, log=False)


def log_softmax(
    grad_output: ArrayLike,
    output: ArrayLike,
    dim: SupportsIndex,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.log_softmax`: ``g - exp(y) * sum of g``.

    Parameters
    ----------
    grad_output, output, dim, out, backend
        As for `softmax`.

    Returns
    -------
    ndarray
        Of the shape of `output`; its dtype is that of both arrays promoted together.

    Raises
    ------
    ValueError, TypeError
        As for `softmax`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.log_softmax(np.array([1.0, 0.0]), np.log([0.5, 0.5]), 0)
    array([ 0.5, -0.5])
    """
    return _gradient("grad.log_softmax", grad_output, output, dim, out, backend, log=True)


def _gradient(
    op: str,
    grad_output: ArrayLike,
    output: ArrayLike,
    dim: SupportsIndex,
    out: Array | None,
    backend: BackendName | None,
    *,
    log: bool,
) -> Array:
    grad, y = as_array(op, "grad_output", grad_output), as_array(op, "output", output)
    if grad.shape != y.shape:
        raise ValueError(f"{op}: grad_output has shape {grad.shape}, but output has shape {y.shape}")
    axis = read_axis(op, "dim", dim, y.shape)
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype, y.dtype)
    result = Result(op, y.shape, dtype, out, grad, y)
    if y.size:
        sizes = around_axis(y.shape, axis)
        with memory_errors(op):
            slopes, values = (native(a, compute_dtype(dtype)).reshape(sizes) for a in (grad, y))
            engine.softmax_gradient(slopes, values, log, result.buffer.reshape(sizes))
    return result.value()
