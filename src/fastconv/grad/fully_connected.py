"""Gradients of a fully connected layer: those of the 1x1 convolution that it is."""

from __future__ import annotations

import math

from fastconv.execution.arrays import as_array
from fastconv.grad.convolution_case import Gradients, all_gradients
from fastconv.grad.operands import check_grad
from fastconv.problem.dense import dense_shape
from fastconv.typing import ActivationLike, Array, ArrayLike, BackendName, NeedsLike

__all__ = ["dense"]


def dense(
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    *,
    needs: NeedsLike = (True, True, True),
    activation: ActivationLike | None = None,
    output: ArrayLike | None = None,
    preactivation: ArrayLike | None = None,
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.dense`.

    Parameters
    ----------
    x, weight : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    needs, activation, output, preactivation, backend
        As for `conv2d`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Of the shapes of `x`, `weight` and the bias; None where not needed. The dtype of all is that of the arrays
        promoted together.

    Raises
    ------
    ValueError, TypeError
        If shapes, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, weight = np.array([1.0, 2.0]), np.array([[1.0, 1.0], [1.0, -1.0]])
    >>> fastconv.grad.dense(x, weight, np.array([1.0, 0.0]), needs=(True, True, False))
    (array([1., 1.]), array([[1., 2.],
           [0., 0.]]), None)
    """
    op = "grad.dense"
    array, matrix = as_array(op, "x", x), as_array(op, "weight", weight)
    shape = dense_shape(op, array.shape, matrix.shape)
    given = as_array(op, "grad_output", grad_output)
    check_grad(op, given.shape, shape, "x", array.shape)
    rows = math.prod(shape[:-1])

    def images(name: str, value: ArrayLike | None) -> Array | None:
        """What has the result's shape, as the convolution has it."""
        if value is None:
            return None
        read = as_array(op, name, value)
        if read.shape != shape:
            raise ValueError(f"{op}: {name} has shape {read.shape}, but grad_output has shape {shape}")
        return read.reshape(rows, shape[-1], 1, 1)

    grad_x, grad_weight, grad_bias = all_gradients(
        op,
        array.reshape(rows, array.shape[-1], 1, 1),
        matrix.reshape(*matrix.shape, 1, 1),
        given.reshape(rows, shape[-1], 1, 1),
        (1, 0, 1, 1, "zeros", 0.0, "NCHW", None, None, None),
        needs,
        activation,
        images("output", output),
        images("preactivation", preactivation),
        backend,
    )
    return (
        None if grad_x is None else grad_x.reshape(array.shape),
        None if grad_weight is None else grad_weight.reshape(matrix.shape),
        grad_bias,
    )
