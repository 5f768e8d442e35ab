"""Normalisation by mean and variance: of batches, groups of channels, images and rows."""

from __future__ import annotations

from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution import normalisation as core
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.known_calls import recall_rows, remember
from fastconv.execution.memory import memory_errors
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import channels_last, check_layout, image_sizes, layout_in_memory
from fastconv.typing import Array, ArrayLike, BackendName, Layout, ShapeLike

__all__ = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]


def batch_norm(
    x: ArrayLike,
    running_mean: ArrayLike | None,
    running_var: ArrayLike | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: SupportsFloat = 0.1,
    eps: SupportsFloat = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Normalise every channel: ``(x - mean) / sqrt(variance + eps) * weight + bias``.

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``, or one image.
    running_mean, running_var : array_like or None
        ``(C,)``: the statistics to normalise by; with `training` they may be None.
    weight, bias : array_like, optional
        ``(C,)``; by default 1 and 0.
    training : bool
        Whether to normalise by the mean and the (biased) variance of `x`. Running statistics that are given are state
        then, and written to, as PyTorch does: ``running = (1 - momentum) * running + momentum * own``, with the
        unbiased variance. They need to be NumPy arrays of a floating-point dtype.
    momentum : float
        From 0 to 1.
    eps : float
    layout : {"NCHW", "NHWC"}
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`; its dtype is that of `x`, integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit, or there is but one value of each channel to train on.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift", 2015.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[1.0, 3.0]], [[5.0, 7.0]]])
    >>> fastconv.batch_norm(x, [1.0, 3.0], [4.0, 1.0], eps=0.0).ravel()
    array([0., 1., 2., 4.])
    >>> mean, variance = np.zeros(2), np.ones(2)
    >>> fastconv.batch_norm(x, mean, variance, training=True, momentum=0.5, eps=0.0).ravel()[:2]
    array([-1.,  1.])
    >>> mean, variance
    (array([1., 3.]), array([1.5, 1.5]))
    """
    op = "batch_norm"
    check_layout(op, layout)
    array, batched = images(op, "x", x, layout)
    channels = (image_sizes(array.shape, layout)[1],)
    training = arguments.flag(op, "training", training)
    scale, shift = (core.read_vector(op, n, v, channels) for n, v in (("weight", weight), ("bias", bias)))
    mean, variance = (
        core.read_vector(op, name, value, channels)
        for name, value in (("running_mean", running_mean), ("running_var", running_var))
    )
    share, epsilon = arguments.number(op, "momentum", momentum), core.read_eps(op, eps)
    if not 0 <= share <= 1:
        raise ValueError(f"{op}: momentum is {share}, but needs a number from 0 to 1")
    if not training and (mean is None or variance is None):
        raise ValueError(
            f"{op}: training is False, which needs running_mean and running_var, but one of them is None"
        )
    states = [
        (name, _state(op, name, value))
        for name, value in (("running_mean", running_mean), ("running_var", running_var))
        if training and value is not None
    ]
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    others = [as_array(op, "weight", a) for a in (weight, bias, running_mean, running_var) if a is not None]
    result = Result(op, array.shape, dtype, out, array, *others, batched=batched)
    if array.shape[0]:
        with memory_errors(op):
            source = native(array, compute_dtype(dtype))
            if training:
                found = core.train_batch(
                    op, engine, source, layout, scale, shift, None, epsilon, None, result.buffer
                )
                own = {
                    "running_mean": found[0],
                    "running_var": core.unbiased(found, array.size // channels[0]),
                }
                for name, state in states:
                    core.follow(state, own[name], share)
            else:
                assert mean is not None
                assert variance is not None
                known, segments = core.given(mean, variance, epsilon), core.of_batch(array.shape, layout)
                core.normalise(engine, source, segments, known, scale, shift, result.buffer)
    return result.value()


def _state(op: str, name: str, value: Any) -> Array:
    """Running statistics, to be written to."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.flags.writeable:
        raise TypeError(
            f"{op}: {name} is updated where training is True, and needs to be a writeable NumPy array of a "
            "floating-point dtype"
        )
    return value


def group_norm(
    x: ArrayLike,
    num_groups: SupportsIndex,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Normalise groups of neighbouring channels, each image by itself.

    ``(x - mean) / sqrt(variance + eps) * weight + bias``, with the mean and the biased variance of the group.

    Parameters
    ----------
    x, weight, bias, eps, layout, out, backend
        As for `batch_norm`.
    num_groups : int
        A divisor of the number of channels.

    Returns
    -------
    ndarray
        Of the shape of `x`; its dtype is that of `x`, integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    References
    ----------
    Y. Wu and K. He, "Group Normalization", 2018.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.group_norm(np.array([[[1.0]], [[3.0]], [[7.0]], [[5.0]]]), 2, eps=0.0).ravel()
    array([-1.,  1.,  1., -1.])
    """

    return _by_image("group_norm", x, num_groups, weight, bias, eps, layout, out, backend)


def instance_norm(
    x: ArrayLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Normalise every channel of every image by itself: `group_norm` with a group for each channel.

    By running statistics, `batch_norm` does what PyTorch's function does with them.

    Parameters
    ----------
    x, weight, bias, eps, layout, out, backend
        As for `batch_norm`.

    Returns
    -------
    ndarray
        Of the shape of `x`; its dtype is that of `x`, integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    References
    ----------
    D. Ulyanov, A. Vedaldi and V. Lempitsky, "Instance Normalization: The Missing Ingredient for Fast Stylization",
    2016.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.instance_norm(np.array([[[1.0, 3.0]], [[7.0, 5.0]]]), eps=0.0).ravel()
    array([-1.,  1.,  1., -1.])
    """
    return _by_image("instance_norm", x, 1, weight, bias, eps, layout, out, backend, alone=True)


def _by_image(
    op: str, x: ArrayLike, num_groups: SupportsIndex, weight: ArrayLike | None, bias: ArrayLike | None,
    eps: SupportsFloat, layout: Layout, out: Array | None, backend: BackendName | None, *, alone: bool = False,
) -> Array:  # fmt: skip
    """With `alone`, each channel is a group."""
    given = (num_groups, eps, layout)
    remembered = recall_rows(op, x, weight, bias, out, given, backend)
    if remembered is not None:
        return remembered
    check_layout(op, layout)
    array, batched = images(op, "x", x, layout)
    channels = image_sizes(array.shape, layout)[1]
    parts = channels if alone else core.read_groups(op, num_groups, channels)
    scale, shift = (core.read_vector(op, n, v, (channels,)) for n, v in (("weight", weight), ("bias", bias)))
    epsilon = core.read_eps(op, eps)
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    operands = [None if a is None else as_array(op, "weight", a) for a in (weight, bias)]
    result = Result(op, array.shape, dtype, out, array, *operands, batched=batched)
    if array.shape[0]:
        segments = core.of_images(array.shape, layout)
        rows = (array.shape[0], parts, channels // parts, segments[3])
        with memory_errors(op):
            source = native(array, compute_dtype(dtype))
            in_rows = not channels_last(layout_in_memory(layout, channels))
            if in_rows and core.by_rows(engine, source, rows, scale, shift, epsilon, result.buffer):
                shape = array.shape if batched else array.shape[1:]
                shortcut = engine.rows_shortcut(rows, False, epsilon, shape, dtype)
                remember(shortcut, op, given, backend, array if batched else array[0], *operands)
            else:
                known = core.measured(engine, source, segments, parts, epsilon)
                core.normalise(engine, source, segments, known, scale, shift, result.buffer)
    return result.value()


def layer_norm(
    x: ArrayLike,
    normalized_shape: SupportsIndex | ShapeLike,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """Normalise the last axes together, with a weight and a bias for each of their elements.

    ``(x - mean) / sqrt(variance + eps) * weight + bias``, with the mean and the biased variance over the last axes.

    Parameters
    ----------
    x : array_like
        Of any shape that ends with `normalized_shape`.
    normalized_shape : int or sequence of int
        The sizes of the axes that are normalised together.
    weight, bias : array_like, optional
        Of shape `normalized_shape`; by default 1 and 0.
    eps : float
    out : ndarray, optional
        Where to put the result; of its shape and dtype, not overlapping an input.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`; its dtype is that of `x`, integers are promoted together with float32.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    References
    ----------
    J. Ba, J. Kiros and G. Hinton, "Layer Normalization", 2016.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.layer_norm(np.array([[1.0, 3.0], [4.0, 0.0]]), 2, weight=[1.0, 2.0], eps=0.0)
    array([[-1.,  2.],
           [ 1., -2.]])
    """
    op, given = "layer_norm", (normalized_shape, eps)
    remembered = recall_rows(op, x, weight, bias, out, given, backend)
    if remembered is not None:
        return remembered
    array = as_array(op, "x", x)
    last = core.read_last_axes(op, normalized_shape, array.shape)
    scale, shift = (core.read_vector(op, n, v, last) for n, v in (("weight", weight), ("bias", bias)))
    epsilon = core.read_eps(op, eps)
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    operands = [None if a is None else as_array(op, "weight", a) for a in (weight, bias)]
    result = Result(op, array.shape, dtype, out, array, *operands)
    if array.size:
        rows, elements = core.of_rows(array.shape, last)
        sizes = (rows[0], 1, elements[2], 1)
        with memory_errors(op):
            source = native(array, compute_dtype(dtype))
            if core.by_rows(engine, source, sizes, scale, shift, epsilon, result.buffer):
                shortcut = engine.rows_shortcut(sizes, False, epsilon, array.shape, dtype)
                remember(shortcut, op, given, backend, array, *operands)
                return result.value()
            known = core.measured(engine, source, rows, 1, epsilon)
            core.normalise(engine, source, rows, known, None, None, result.buffer)
            if scale is not None or shift is not None:
                times, plus = (
                    np.full((1, elements[2]), default) if a is None else a.reshape(1, -1)
                    for a, default in ((scale, 1.0), (shift, 0.0))
                )
                core.scaled(engine, result.buffer, times, plus, elements, result.buffer)
    return result.value()
