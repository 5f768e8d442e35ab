"""Gradients of normalisation by mean and variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat, SupportsIndex

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution import normalisation as core
from fastconv.execution.arrays import as_array, images, native
from fastconv.execution.memory import empty, memory_errors
from fastconv.grad.convolution_case import Gradients
from fastconv.grad.operands import check_grad, read_needs
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import check_layout, image_sizes
from fastconv.typing import ArrayLike, BackendName, Layout, NeedsLike, ShapeLike

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


def batch_norm(
    grad_output: ArrayLike,
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    training: bool = False,
    eps: SupportsFloat = 1e-5,
    *,
    needs: NeedsLike = (True, True, True),
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.batch_norm`.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `x`.
    x, running_mean, running_var, weight, training, eps, layout
        Those of the forward call, as for `fastconv.batch_norm`. With `training`, the statistics are those of `x`, and
        the running ones are not used.
    needs : sequence of 3 bool
        Which gradients to compute: of `x`, of `weight`, of the bias.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        Of the shapes of `x`, `weight` and the bias; None where not needed.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0, 3.0]]])
    >>> fastconv.grad.batch_norm(np.array([[[1.0, 2.0]]]), x, [1.0], [4.0], eps=0.0)
    (array([[[0.5, 1. ]]]), array([2.]), array([3.]))
    """
    op = "grad.batch_norm"
    check_layout(op, layout)
    wanted = read_needs(op, needs)
    image, batched = images(op, "x", x, layout)
    grad = as_array(op, "grad_output", grad_output)
    shape = image.shape if batched else image.shape[1:]
    check_grad(op, grad.shape, shape, "x", shape)
    channels = (image_sizes(image.shape, layout)[1],)
    training = arguments.flag(op, "training", training)
    scale, mean, variance = (
        core.read_vector(op, name, value, channels)
        for name, value in (("weight", weight), ("running_mean", running_mean), ("running_var", running_var))
    )
    epsilon = core.read_eps(op, eps)
    if not training and (mean is None or variance is None):
        raise ValueError(
            f"{op}: training is False, which needs running_mean and running_var, but one of them is None"
        )
    engine = resolve(op, backend)
    dtype = float_result(image.dtype, grad.dtype)
    compute = compute_dtype(dtype)
    grad_x = empty(op, image.shape, compute)
    totals = np.zeros((2, *channels))
    if image.shape[0]:
        segments = core.of_batch(image.shape, layout)
        with memory_errors(op):
            source, slopes = (native(a, compute).reshape(image.shape) for a in (image, grad))
            if training:
                own = core.measured(engine, source, segments, channels[0], epsilon)
                statistics = np.concatenate([own.mean, own.variance])
                totals = core.train_batch_gradient(
                    engine, source, slopes, layout, None, scale, statistics, epsilon, None, grad_x, None
                )
            else:
                assert mean is not None
                assert variance is not None
                known = core.given(mean, variance, epsilon)
                totals[:] = core.channel_totals(core.sum_gradients(engine, source, slopes, segments, known))
                if wanted[0]:
                    times = known.inverse if scale is None else known.inverse * scale
                    core.scaled(engine, slopes, times, np.zeros_like(times), segments, grad_x)
    return (
        grad_x.reshape(shape).astype(dtype, copy=False) if wanted[0] else None,
        core.rounded(totals[0], dtype) if wanted[1] else None,
        core.rounded(totals[1], dtype) if wanted[2] else None,
    )


def group_norm(
    grad_output: ArrayLike,
    x: ArrayLike,
    num_groups: SupportsIndex,
    weight: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    needs: NeedsLike = (True, True, True),
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.group_norm`.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `x`.
    x, num_groups, weight, eps, layout
        Those of the forward call, as for `fastconv.group_norm`.
    needs, backend
        As for `batch_norm`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        As for `batch_norm`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0]], [[3.0]]])
    >>> fastconv.grad.group_norm(np.array([[[1.0]], [[2.0]]]), x, 1, eps=0.0)[1:]
    (array([-1.,  2.]), array([1., 2.]))
    """

    def groups(channels: int) -> int:
        return core.read_groups("grad.group_norm", num_groups, channels)

    return _by_image("grad.group_norm", grad_output, x, groups, weight, eps, needs, layout, backend)


def instance_norm(
    grad_output: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    needs: NeedsLike = (True, True, True),
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.instance_norm`.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `x`.
    x, weight, eps, layout
        Those of the forward call, as for `fastconv.instance_norm`.
    needs, backend
        As for `batch_norm`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        As for `batch_norm`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.instance_norm(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 3.0]]]), eps=0.0)[1:]
    (array([1.]), array([3.]))
    """
    return _by_image(
        "grad.instance_norm", grad_output, x, lambda channels: channels, weight, eps, needs, layout, backend
    )


def _by_image(
    op: str, grad_output: ArrayLike, x: ArrayLike, groups: Callable[[int], int], weight: ArrayLike | None,
    eps: SupportsFloat, needs: NeedsLike, layout: Layout, backend: BackendName | None,
) -> Gradients:  # fmt: skip
    check_layout(op, layout)
    wanted = read_needs(op, needs)
    image, batched = images(op, "x", x, layout)
    grad = as_array(op, "grad_output", grad_output)
    shape = image.shape if batched else image.shape[1:]
    check_grad(op, grad.shape, shape, "x", shape)
    channels = image_sizes(image.shape, layout)[1]
    parts = groups(channels)
    scale, epsilon = core.read_vector(op, "weight", weight, (channels,)), core.read_eps(op, eps)
    engine = resolve(op, backend)
    dtype = float_result(image.dtype, grad.dtype)
    compute = compute_dtype(dtype)
    grad_x, totals = empty(op, image.shape, compute), np.zeros((2, channels))
    if image.shape[0]:
        segments = core.of_images(image.shape, layout)
        with memory_errors(op):
            source, slopes = (native(a, compute).reshape(image.shape) for a in (image, grad))
            known = core.measured(engine, source, segments, parts, epsilon)
            back = core.sum_gradients(engine, source, slopes, segments, known)
            totals[:] = core.channel_totals(back)
            if wanted[0]:
                core.gradient_of_input(engine, source, slopes, segments, known, scale, back, parts, grad_x)
    return (
        grad_x.reshape(shape).astype(dtype, copy=False) if wanted[0] else None,
        core.rounded(totals[0], dtype) if wanted[1] else None,
        core.rounded(totals[1], dtype) if wanted[2] else None,
    )


def layer_norm(
    grad_output: ArrayLike,
    x: ArrayLike,
    normalized_shape: SupportsIndex | ShapeLike,
    weight: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    needs: NeedsLike = (True, True, True),
    backend: BackendName | None = None,
) -> Gradients:
    """Gradients of the input, the weights and the bias of `fastconv.layer_norm`.

    Parameters
    ----------
    grad_output : array_like
        Of the shape of `x`.
    x, normalized_shape, weight, eps
        Those of the forward call, as for `fastconv.layer_norm`.
    needs, backend
        As for `batch_norm`.

    Returns
    -------
    grad_x, grad_weight, grad_bias : ndarray or None
        As for `batch_norm`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.grad.layer_norm(np.array([1.0, 2.0]), np.array([1.0, 3.0]), 2, eps=0.0)
    (array([0., 0.]), array([-1.,  2.]), array([1., 2.]))
    """
    op = "grad.layer_norm"
    wanted = read_needs(op, needs)
    array, grad = as_array(op, "x", x), as_array(op, "grad_output", grad_output)
    check_grad(op, grad.shape, array.shape, "x", array.shape)
    last = core.read_last_axes(op, normalized_shape, array.shape)
    scale, epsilon = core.read_vector(op, "weight", weight, last), core.read_eps(op, eps)
    engine = resolve(op, backend)
    dtype = float_result(array.dtype, grad.dtype)
    compute = compute_dtype(dtype)
    grad_x, totals = empty(op, array.shape, compute), np.zeros((2, *last))
    if array.size:
        rows, elements = core.of_rows(array.shape, last)
        with memory_errors(op):
            source, slopes = (native(a, compute) for a in (array, grad))
            known = core.measured(engine, source, rows, 1, epsilon)
            if wanted[1] or wanted[2]:
                normal = empty(op, array.shape, compute, "what is normalised")
                core.normalise(engine, source, rows, known, None, None, normal)
                totals[:] = core.element_totals(engine, normal, slopes, elements).reshape(totals.shape)
            if scale is not None:
                times = scale.reshape(1, -1)
                given = empty(op, array.shape, compute, "the gradient of what is normalised")
                core.scaled(engine, slopes, times, np.zeros_like(times), elements, given)
                slopes = given
            if wanted[0]:
                back = core.sum_gradients(engine, source, slopes, rows, known)
                core.gradient_of_input(engine, source, slopes, rows, known, None, back, 1, grad_x)
    return (
        grad_x.astype(dtype, copy=False) if wanted[0] else None,
        core.rounded(totals[0], dtype) if wanted[1] else None,
        core.rounded(totals[1], dtype) if wanted[2] else None,
    )
