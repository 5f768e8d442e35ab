"""Gradients of what picks pixels, by the indices that it gave: max pooling in all its forms, and its way back."""

from __future__ import annotations

import numpy as np

from fastconv.backends import resolve
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.memory import memory_errors
from fastconv.execution.pooling import AXES, check_positions, read_indices, read_positions
from fastconv.grad.operands import Shape, read_grad, read_input_size, read_planes
from fastconv.grad.pool import read_global
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import check_layout, plane_size, spatial_axes
from fastconv.typing import Array, ArrayLike, BackendName, Layout, ShapeLike

__all__ = [
    "adaptive_max_pool2d",
    "fractional_max_pool2d",
    "global_max_pool2d",
    "max_pool2d",
    "max_unpool2d",
    "stochastic_pool2d",
]


def max_pool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.max_pool2d`: every window's gradient goes to the pixel that it picked.

    What overlapping windows give to one pixel is added.

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    indices : array_like
        What the forward call gave with ``return_indices=True``: the flat position of each window's pixel in the
        ``H * W`` plane, of equal maxima the first.
    input_size : sequence of int
        The full shape of the forward call's `x`: ``(N, C, H, W)``, ``(N, H, W, C)`` with ``layout="NHWC"``, or
        without `N`.
    layout : {"NCHW", "NHWC"}
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of shape `input_size` and of the dtype of `grad_output`; integers are promoted together with float32.

    Raises
    ------
    ValueError
        If no forward call could have had these sizes, or an index lies outside of the plane; the message names the
        argument.
    TypeError
        If an argument is of the wrong kind.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0, 5.0, 5.0], [3.0, 4.0, 2.0]]])
    >>> y, indices = fastconv.max_pool2d(x, 2, stride=1, return_indices=True)
    >>> fastconv.grad.max_pool2d(np.array([[[1.0, 10.0]]]), indices, x.shape)
    array([[[ 0., 11.,  0.],
            [ 0.,  0.,  0.]]])
    """
    return _to_picked("grad.max_pool2d", grad_output, indices, input_size, layout, out, backend)


def adaptive_max_pool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.adaptive_max_pool2d`.

    Parameters
    ----------
    grad_output, indices, input_size, layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        As for `max_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> y, indices = fastconv.adaptive_max_pool2d(np.array([[[1.0, 6.0, 2.0]]]), (1, 2), return_indices=True)
    >>> fastconv.grad.adaptive_max_pool2d(np.array([[[1.0, 10.0]]]), indices, (1, 1, 3))
    array([[[ 0., 11.,  0.]]])
    """
    return _to_picked("grad.adaptive_max_pool2d", grad_output, indices, input_size, layout, out, backend)


def fractional_max_pool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.fractional_max_pool2d`.

    Parameters
    ----------
    grad_output, indices, input_size, layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        As for `max_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.arange(9.0).reshape(1, 3, 3)
    >>> y, indices = fastconv.fractional_max_pool2d(x, 2, output_size=2, return_indices=True, rng=0)
    >>> fastconv.grad.fractional_max_pool2d(np.ones_like(y), indices, x.shape).sum()
    np.float64(4.0)
    """
    op = "grad.fractional_max_pool2d"
    shape, _, _ = read_input_size(op, input_size, layout)
    grad = read_grad(op, grad_output, shape, layout)
    for axis, name in zip(spatial_axes(layout), AXES, strict=True):
        if grad.shape[axis] > shape[axis]:
            raise ValueError(
                f"{op}: grad_output has a {name} of {grad.shape[axis]}, but input_size {shape} has only {shape[axis]}"
            )
    return _to_picked(op, grad, indices, shape, layout, out, backend)


def stochastic_pool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.stochastic_pool2d` in training: of a sample, which is taken as given.

    Parameters
    ----------
    grad_output, indices, input_size, layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        As for `max_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    References
    ----------
    M. Zeiler and R. Fergus, "Stochastic Pooling for Regularization of Deep Convolutional Neural Networks",
    arXiv:1301.3557.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[0.0, 3.0]]])
    >>> y, indices = fastconv.stochastic_pool2d(x, (1, 2), return_indices=True, rng=0)
    >>> fastconv.grad.stochastic_pool2d(np.array([[[7.0]]]), indices, x.shape)
    array([[[0., 7.]]])
    """
    return _to_picked("grad.stochastic_pool2d", grad_output, indices, input_size, layout, out, backend)


def global_max_pool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    *,
    keepdims: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.global_max_pool2d`.

    Parameters
    ----------
    grad_output, indices : array_like
        ``(N, C, 1, 1)``, or ``(N, 1, 1, C)`` with ``layout="NHWC"``; with ``keepdims=False`` ``(N, C)``. All without
        `N` where the image was.
    keepdims : bool
        That of the forward call.
    input_size, layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        As for `max_pool2d`.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.global_max_pool2d(np.array([6.0]), np.array([3]), (1, 2, 2), keepdims=False)
    array([[[0., 0.],
            [0., 6.]]])
    """
    op = "grad.global_max_pool2d"
    shape, _, _ = read_input_size(op, input_size, layout)
    grad = as_array(op, "grad_output", grad_output)
    kept = read_global(op, grad, shape, keepdims, layout)
    positions = read_positions(op, indices, grad.shape, "grad_output").reshape(kept.shape)
    return _to_picked(op, kept, positions, shape, layout, out, backend)


def _to_picked(
    op: str,
    grad_output: ArrayLike,
    indices: ArrayLike,
    input_size: ShapeLike,
    layout: Layout,
    out: Array | None,
    backend: BackendName | None,
) -> Array:
    shape, full, batched = read_input_size(op, input_size, layout)
    grad = read_grad(op, grad_output, shape, layout)
    positions = read_positions(op, indices, grad.shape, "grad_output")
    engine = resolve(op, backend)
    plane = plane_size(full, layout)
    if out is not None or not engine.checks_positions:
        check_positions(op, positions, plane, "input_size")
    dtype = float_result(grad.dtype)
    result = Result(op, full, dtype, out, grad, positions, batched=batched)
    if full[0]:
        values = native(grad, compute_dtype(dtype))
        try:
            with memory_errors(op):
                engine.scatter_add(_batch(values), _batch(positions), layout, result.buffer)
        except IndexError:
            check_positions(op, positions, plane, "input_size")  # says which
            raise
    return result.value()


def _batch(array: Array) -> Array:
    return array if array.ndim == 4 else array[np.newaxis]


def max_unpool2d(
    grad_output: ArrayLike,
    indices: ArrayLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Gradient of the input of `fastconv.max_unpool2d`: what stands at the places where its values went.

    Where several values went to one place, only the last in row-major order stayed there; the gradient of the others
    is 0. (PyTorch gives that of the place to all of them.)

    Parameters
    ----------
    grad_output : array_like
        The gradient of the forward call's result: ``(N, C, oH, oW)``, ``(N, oH, oW, C)`` with ``layout="NHWC"``, or
        without `N`.
    indices : array_like
        Those of the forward call: ``(N, C, H, W)`` or as above.
    layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray
        Of the shape of `indices` and of the dtype of `grad_output`; integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.max_unpool2d(np.array([[[1.0, 2.0, 4.0]]]), np.array([[[2, 0, 0]]]))
    array([[[4., 0., 1.]]])
    """
    op = "grad.max_unpool2d"
    check_layout(op, layout)
    grad, batched = images(op, "grad_output", grad_output, layout)
    shape = grad.shape if batched else grad.shape[1:]
    given = read_planes(op, "indices", indices, "grad_output", shape, layout)
    positions = read_indices(op, given, given.shape, "x", plane_size(shape, layout), "grad_output")
    engine = resolve(op, backend)
    dtype = float_result(grad.dtype)
    positions = _batch(positions)
    result = Result(op, positions.shape, dtype, out, grad, positions, batched=batched)
    if grad.shape[0]:
        source = native(grad, compute_dtype(dtype))
        with memory_errors(op):
            engine.gather(source, positions, layout, result.buffer)
            result.buffer[_overwritten(engine, positions, grad.shape, layout)] = 0
    return result.value()


def _overwritten(backend: Backend, positions: Array, shape: Shape, layout: Layout) -> Array:
    """Which values `scatter` puts where another follows: each writes its number, and looks whether it stayed."""
    numbers = np.arange(positions.size, dtype=np.float64).reshape(positions.shape)
    written, found = np.empty(shape), np.empty(positions.shape)
    backend.scatter(numbers, positions, layout, written)
    backend.gather(written, positions, layout, found)
    return np.not_equal(found, numbers)
