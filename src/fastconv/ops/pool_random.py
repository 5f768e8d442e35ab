"""Pooling with a random choice of windows or pixels, as users call it."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.execution.arrays import as_array
from fastconv.execution.memory import check_memory
from fastconv.execution.pooling import AXES, pool, read, sliding_windows
from fastconv.first_use import importing
from fastconv.problem.layout import batch_shape, channel_axis
from fastconv.problem.pooling import FractionalWindows
from fastconv.text import echo
from fastconv.typing import (
    Array,
    ArrayLike,
    BackendName,
    Indices,
    Layout,
    PaddingLike,
    PairLike,
    RatioLike,
    SeedLike,
)

__all__ = ["fractional_max_pool2d", "stochastic_pool2d"]


@overload
def fractional_max_pool2d(
    x: ArrayLike, kernel_size: PairLike, output_size: PairLike | None = None,
    output_ratio: RatioLike | None = None, return_indices: Literal[False] = False, *,
    random_samples: ArrayLike | None = None, rng: SeedLike | None = None, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> Array: ...  # fmt: skip
@overload
def fractional_max_pool2d(
    x: ArrayLike, kernel_size: PairLike, output_size: PairLike | None = None,
    output_ratio: RatioLike | None = None, *, return_indices: Literal[True],
    random_samples: ArrayLike | None = None, rng: SeedLike | None = None, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def fractional_max_pool2d(
    x: ArrayLike, kernel_size: PairLike, output_size: PairLike | None, output_ratio: RatioLike | None,
    return_indices: Literal[True], *, random_samples: ArrayLike | None = None,
    rng: SeedLike | None = None, layout: Layout = "NCHW", out: Array | None = None,
    backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def fractional_max_pool2d(
    x: ArrayLike, kernel_size: PairLike, output_size: PairLike | None = None,
    output_ratio: RatioLike | None = None, return_indices: bool = False, *,
    random_samples: ArrayLike | None = None, rng: SeedLike | None = None, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def fractional_max_pool2d(
    x: ArrayLike,
    kernel_size: PairLike,
    output_size: PairLike | None = None,
    output_ratio: RatioLike | None = None,
    return_indices: bool = False,
    *,
    random_samples: ArrayLike | None = None,
    rng: SeedLike | None = None,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]:
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
    array, batched, size = read(op, x, layout)
    kernel = arguments.pair(op, "kernel_size", kernel_size, 1)
    count = _fractional_size(op, size, output_size, output_ratio)
    for axis, name in enumerate(AXES):
        if count[axis] + kernel[axis] - 1 > size[axis]:
            raise ValueError(
                f"{op}: output_size {count[axis]} with kernel_size {kernel[axis]} needs a {name} of at least "
                f"{count[axis] + kernel[axis] - 1}, but x has {size[axis]}"
            )
    planes = array.shape[0], array.shape[channel_axis(layout)]
    if random_samples is None:
        check_memory(op, (*planes, 2), 8, "the array of random numbers")
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
        FractionalWindows(size[0], count[0], kernel[0], samples[..., 1].reshape(-1)),
        FractionalWindows(size[1], count[1], kernel[1], samples[..., 0].reshape(-1)),
    )
    return pool(
        op, array, batched, layout, windows, "max", out=out, backend=backend, return_indices=return_indices
    )


def _fractional_size(
    op: str, size: Pair, output_size: PairLike | None, output_ratio: RatioLike | None
) -> Pair:
    if (output_size is None) == (output_ratio is None):
        raise ValueError(
            f"{op}: output_size is {echo(output_size)} and output_ratio is {echo(output_ratio)}, "
            "but exactly one is needed"
        )
    if output_size is not None:
        return arguments.pair(op, "output_size", output_size, 1)
    assert output_ratio is not None
    ratios = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio, output_ratio)
    if len(ratios) != 2:
        raise ValueError(
            f"{op}: output_ratio is {echo(output_ratio)}, but needs a number or a pair of numbers"
        )
    numbers = [arguments.number(op, "output_ratio", r) for r in ratios]
    if not all(0 < r < 1 for r in numbers):
        raise ValueError(f"{op}: output_ratio is {echo(output_ratio)}, but needs numbers between 0 and 1")
    rows, columns = (int(s * r) for s, r in zip(size, numbers, strict=True))
    if rows < 1 or columns < 1:
        raise ValueError(
            f"{op}: output_ratio is {echo(output_ratio)}, so that nothing of {size[0]}x{size[1]} would be left"
        )
    return rows, columns


def _generator(op: str, rng: SeedLike | None) -> np.random.Generator:
    with importing:
        from numpy.random import default_rng
    try:
        return default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{op}: rng is {echo(rng)}, but needs a numpy.random.Generator or a seed") from None


@overload
def stochastic_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0,
    return_indices: Literal[False] = False, *, rng: SeedLike | None = None, training: bool = True,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array: ...  # fmt: skip
@overload
def stochastic_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0, *,
    return_indices: Literal[True], rng: SeedLike | None = None, training: bool = True,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def stochastic_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None, padding: PaddingLike,
    return_indices: Literal[True], *, rng: SeedLike | None = None, training: bool = True,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def stochastic_pool2d(
    x: ArrayLike, kernel_size: PairLike, stride: PairLike | None = None, padding: PaddingLike = 0,
    return_indices: bool = False, *, rng: SeedLike | None = None, training: bool = True,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def stochastic_pool2d(
    x: ArrayLike,
    kernel_size: PairLike,
    stride: PairLike | None = None,
    padding: PaddingLike = 0,
    return_indices: bool = False,
    *,
    rng: SeedLike | None = None,
    training: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]:
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
    array, batched, size = read(op, x, layout)
    windows = sliding_windows(op, size, kernel_size, stride, padding)
    if not arguments.flag(op, "training", training) and return_indices:
        raise ValueError(f"{op}: return_indices is True, but without training no single pixel is picked")
    rows, columns = windows
    channels = array.shape[channel_axis(layout)]
    shape = batch_shape(layout, array.shape[0], channels, (rows.count, columns.count))
    if training:
        check_memory(op, shape, 8, "the array of random numbers")
    if array.size and array.min() < 0:
        raise ValueError(
            f"{op}: x has negative values (the smallest is {array.min()}), but needs values of at least 0, "
            "as after a ReLU"
        )
    if not training:
        return pool(op, array, batched, layout, windows, "weighted", out=out, backend=backend)
    uniforms = _generator(op, rng).random(shape)
    return pool(
        op, array, batched, layout, windows, "sample",
        out=out, backend=backend, return_indices=return_indices, uniforms=uniforms,
    )  # fmt: skip
