"""Exponentials that add up to 1 along an axis: `softmax`, and its logarithm `log_softmax`."""

from __future__ import annotations

from typing import SupportsIndex

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.known_calls import recall_rows, remember
from fastconv.execution.memory import memory_errors
from fastconv.problem.axes import around_axis, read_axis
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.typing import Array, ArrayLike, BackendName

__all__ = ["log_softmax", "softmax"]


def softmax(
    x: ArrayLike, dim: SupportsIndex, *, out: Array | None = None, backend: BackendName | None = None
) -> Array:
    """Make probabilities along an axis: ``exp(x) / sum of exp(x)``, without overflow.

    Parameters
    ----------
    x : array_like
        Of any shape.
    dim : int
        The axis whose elements add up to 1 afterwards; from the end where it is negative. That of the channels is -3
        with ``layout="NCHW"``, -1 with ``layout="NHWC"``.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If there is no such axis, or options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.softmax(np.array([1000.0, 1000.0, 0.0]), 0)
    array([0.5, 0.5, 0. ])
    """
    return _softmax("softmax", x, dim, out, backend, log=False)


def log_softmax(
    x: ArrayLike, dim: SupportsIndex, *, out: Array | None = None, backend: BackendName | None = None
) -> Array:
    """The logarithm of `softmax`, also where that is too small for a number.

    Parameters
    ----------
    x, dim, out, backend
        As for `softmax`.

    Returns
    -------
    ndarray
        Of the shape of `x`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `softmax`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.log_softmax(np.array([0.0, 1000.0]), 0)
    array([-1000.,     0.])
    """
    return _softmax("log_softmax", x, dim, out, backend, log=True)


def _softmax(
    op: str, x: ArrayLike, dim: SupportsIndex, out: Array | None, backend: BackendName | None, *, log: bool
) -> Array:
    known = recall_rows(op, x, None, None, out, (dim,), backend)
    if known is not None:
        return known
    array = as_array(op, "x", x)
    axis = read_axis(op, "dim", dim, array.shape)
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    result = Result(op, array.shape, dtype, out, array)
    if array.size:
        sizes = around_axis(array.shape, axis)
        with memory_errors(op):
            source = native(array, compute_dtype(dtype)).reshape(sizes)
            engine.softmax(source, log, result.buffer.reshape(sizes))
        shortcut = engine.rows_shortcut(sizes, log, None, array.shape, dtype)
        remember(shortcut, op, (dim,), backend, array, None, None)
    return result.value()
