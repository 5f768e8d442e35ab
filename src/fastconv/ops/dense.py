"""A fully connected layer: `dense`."""

from __future__ import annotations

import math

from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.convolution import convolve
from fastconv.problem.dense import dense_shape
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.typing import ActivationLike, Array, ArrayLike, BackendName

__all__ = ["dense"]


def dense(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    *,
    activation: ActivationLike | None = None,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Multiply features by a matrix, add a bias and apply an activation: PyTorch's ``linear``.

    ``y[..., o] = activation(sum of x[..., i] * weight[o, i] over i, plus bias[o])``; computed as the 1x1 convolution
    that it is.

    Parameters
    ----------
    x : array_like
        ``(..., in_features)``, with any leading axes or none.
    weight : array_like
        ``(out_features, in_features)``.
    bias : array_like, optional
        ``(out_features,)``.
    activation : str or tuple, optional
        As for `conv2d`.
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(..., out_features)``, of the dtype of `x` and `weight` promoted together, integers with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.dense(np.array([1.0, 2.0]), np.array([[1.0, 1.0], [1.0, -1.0]]), [0.5, 0.5], activation="relu")
    array([3.5, 0. ])
    """
    op = "dense"
    array, matrix = as_array(op, "x", x), as_array(op, "weight", weight)
    shape = dense_shape(op, array.shape, matrix.shape)
    added = None if bias is None else as_array(op, "bias", bias)
    dtype = float_result(array.dtype, matrix.dtype)
    result = Result(op, shape, dtype, out, array, matrix, added)
    rows, compute = math.prod(shape[:-1]), compute_dtype(dtype)
    images = native(array, compute).reshape(rows, array.shape[-1], 1, 1)
    kernels = native(matrix, compute).reshape(*matrix.shape, 1, 1)
    given = (1, 0, 1, 1, "zeros", 0.0, "NCHW", activation, None, None)
    convolve(op, images, kernels, added, None, result.buffer.reshape(rows, shape[-1], 1, 1), backend, given)
    return result.value()
