"""Normalisation: across channels (`local_response_norm`), and folded into weights (`fold_batch_norm`)."""

from __future__ import annotations

from typing import SupportsFloat, SupportsIndex

import numpy as np

from fastconv import arguments
from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, as_in_memory, images, native
from fastconv.execution.convolution import read_weight
from fastconv.execution.memory import memory_errors
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import channels_last, check_layout, weight_sizes
from fastconv.typing import Array, ArrayLike, BackendName, Layout

__all__ = ["fold_batch_norm", "local_response_norm"]


def local_response_norm(
    x: ArrayLike,
    size: SupportsIndex,
    alpha: SupportsFloat = 1e-4,
    beta: SupportsFloat = 0.75,
    k: SupportsFloat = 1.0,
    *,
    layout: Layout = "NCHW",
    backend: BackendName | None = None,
) -> Array:
    """Divide every pixel by a power of the energy in the neighbouring channels.

    ``y[c] = x[c] / (k + alpha / size * sum of x[i]**2 for i from c - size // 2 to c + (size - 1) // 2)**beta``

    Parameters
    ----------
    x : array_like
        ``(N, C, H, W)``, or ``(N, H, W, C)`` with ``layout="NHWC"``, or one image; integers are promoted together
        with float32.
    size : int
        Number of channels in the sum; channels outside the image count as 0.
    alpha, beta, k : float
    layout : {"NCHW", "NHWC"}
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        Of the shape of `x`.

    Raises
    ------
    ValueError, TypeError
        If shapes, ranges, options or dtypes do not fit.

    References
    ----------
    A. Krizhevsky, I. Sutskever and G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
    2012, section 3.3; `alpha` is divided by `size`, as in PyTorch.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.local_response_norm(np.array([[[3.0]], [[4.0]]]), 3, alpha=3.0, beta=0.5, k=0.0).ravel()
    array([0.6, 0.8])
    """
    op = "local_response_norm"
    check_layout(op, layout)
    array, batched = images(op, "x", x, layout)
    count = arguments.integer(op, "size", size, 1)
    alpha, beta, k = (
        arguments.number(op, name, v) for name, v in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    engine = resolve(op, backend)
    dtype = float_result(array.dtype)
    result = Result(op, array.shape, dtype, None, batched=batched)
    if array.shape[0]:
        seen, (source, target) = as_in_memory(layout, native(array, compute_dtype(dtype)), result.buffer)
        with memory_errors(op):
            engine.local_response_norm(source, count, alpha, beta, k, seen, target)
    return result.value()


def fold_batch_norm(
    weight: ArrayLike,
    bias: ArrayLike | None,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    eps: SupportsFloat = 1e-5,
    *,
    transposed: bool = False,
    groups: SupportsIndex = 1,
    layout: Layout = "NCHW",
) -> tuple[Array, Array]:
    """Merge an inference-time batch normalisation into the convolution before it.

    ``gamma * (conv(x) + bias - mean) / sqrt(variance + eps) + beta`` is one convolution with other weights.

    Parameters
    ----------
    weight : array_like
        As for `conv2d`; with `transposed` as for `conv_transpose2d`.
    bias : array_like or None
        ``(C_out,)``, as are `mean`, `variance`, `gamma` and `beta`.
    mean, variance : array_like
        The running statistics.
    gamma, beta : array_like, optional
        Scale and shift; by default 1 and 0.
    eps : float
    transposed : bool
        Whether the weights are those of a transposed convolution, whose output channels stand on the other axis.
        Nothing but this argument tells where both axes have as many channels: there a wrong one gives wrong weights.
        Everywhere else it is refused.
    groups : int
        Those of the convolution.
    layout : {"NCHW", "NHWC"}

    Returns
    -------
    weight, bias : ndarray
        Of the promoted dtype of `weight`; computed in float64.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not fit, or a variance is negative.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> weight, bias = fastconv.fold_batch_norm(np.ones((1, 1, 1, 1)), None, mean=[2.0], variance=[4.0], eps=0.0)
    >>> weight.item(), bias.item()
    (0.5, -1.0)

    Every output channel has a scale of its own; of these weights, two are those of channel 0, two those of channel 1:

    >>> weight, _ = fastconv.fold_batch_norm(
    ...     np.ones((2, 2, 1, 1)), None, mean=[0.0, 0.0], variance=[1.0, 4.0], eps=0.0, transposed=True
    ... )
    >>> weight[:, :, 0, 0]
    array([[1. , 0.5],
           [1. , 0.5]])
    """
    op = "fold_batch_norm"
    check_layout(op, layout)
    transposed = arguments.flag(op, "transposed", transposed)
    w = read_weight(op, "weight", weight)
    dtype = float_result(w.dtype)
    outer, inner, _ = weight_sizes(w.shape, layout)
    count = arguments.integer(op, "groups", groups, 1)
    if outer % count:
        raise ValueError(
            f"{op}: weight has {outer} {'input' if transposed else 'output'} channels, "
            f"which groups={count} does not divide"
        )
    filters = inner * count if transposed else outer
    vectors = []
    for name, value, default in (
        ("bias", bias, 0.0),
        ("mean", mean, None),
        ("variance", variance, None),
        ("gamma", gamma, 1.0),
        ("beta", beta, 0.0),
    ):
        if value is None and default is not None:
            vectors.append(np.full(filters, default))
            continue
        vector = as_array(op, name, value)
        if vector.shape != (filters,):
            raise ValueError(
                f"{op}: {name} has shape {vector.shape}, but needs ({filters},), one per output channel of a "
                f"{'transposed' if transposed else 'plain'} convolution with groups={count} and weights {w.shape}"
            )
        vectors.append(vector.astype(np.float64))
    b, m, v, g, shift = vectors
    epsilon = arguments.number(op, "eps", eps)
    if (v < 0).any() or not epsilon >= 0:
        raise ValueError(
            f"{op}: variance has values below 0 (or eps is {epsilon}), but both need to be at least 0"
        )
    scale = g / np.sqrt(v + epsilon)
    if transposed:  # of each input channel, the weights to the output channels of its group
        per_weight = np.repeat(scale.reshape(count, inner), outer // count, axis=0)
    else:
        per_weight = np.broadcast_to(scale[:, np.newaxis], (outer, inner))
    factors = per_weight.T if channels_last(layout) else per_weight[:, :, np.newaxis, np.newaxis]
    return (w.astype(np.float64) * factors).astype(dtype), ((b - m) * scale + shift).astype(dtype)
