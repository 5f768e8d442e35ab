"""Deformable convolution as users call it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, images, native
from fastconv.execution.convolution import read_bias, read_weight
from fastconv.execution.memory import memory_errors
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.settings.precision import get_precision
from fastconv.typing import Array, ArrayLike, BackendName, PaddingLike, PairLike

__all__ = ["deform_conv2d"]


def deform_conv2d(
    x: ArrayLike,
    offset: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    mask: ArrayLike | None = None,
    *,
    backend: BackendName | None = None,
) -> Array:
    """Convolution whose every tap reads the image at a place of its own, between pixels (v1; v2 with `mask`).

    Parameters
    ----------
    x : array_like
        ``(N, C_in, H, W)`` or ``(C_in, H, W)``.
    offset : array_like
        ``(N, 2 * G * kH * kW, oH, oW)``: for each of `G` groups of channels and each tap how far, in pixels, it
        reads below and to the right of its regular place.
    weight : array_like
        ``(C_out, C_in // groups, kH, kW)``; the number of groups follows from its shape.
    bias : array_like, optional
        ``(C_out,)``.
    stride, padding, dilation
        As for `conv2d`.
    mask : array_like, optional
        ``(N, G * kH * kW, oH, oW)``: a factor for each tap.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    ndarray
        ``(N, C_out, oH, oW)``. Values between pixels are interpolated bilinearly; outside the image they are
        0, and NaN where an offset is.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    References
    ----------
    J. Dai et al., "Deformable Convolutional Networks", arXiv:1703.06211; X. Zhu et al., "Deformable ConvNets v2",
    arXiv:1811.11168. Order of the offsets as in ``torchvision.ops.deform_conv2d``.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x = np.array([[[0.0, 1.0, 2.0, 3.0]]])
    >>> offset = np.stack([np.zeros((1, 4)), np.full((1, 4), 0.5)])
    >>> fastconv.deform_conv2d(x, offset, np.ones((1, 1, 1, 1)))
    array([[[0.5, 1.5, 2.5, 1.5]]])
    """
    op = "deform_conv2d"
    arrays = read_deform(op, x, offset, weight, stride, padding, dilation, mask)
    problem, compute = arrays.problem, arrays.problem.dtype
    bias_array = read_bias(op, bias, problem.filters, compute)
    engine = resolve(op, backend)
    result = Result(op, problem.output_shape, arrays.dtype, None, batched=arrays.batched)
    if problem.batch:
        image, offsets, weights, masks = arrays.native()
        with memory_errors(op):
            engine.deform_conv(problem, image, offsets, masks, weights, bias_array, result.buffer)
    return result.value()


class Deformable(NamedTuple):
    """The operands of one deformable convolution, batched and checked."""

    problem: ConvProblem
    batched: bool
    dtype: np.dtype[Any]  # of the result
    x: Array
    offset: Array
    weight: Array
    mask: Array | None

    def native(self) -> tuple[Array, Array, Array, Array | None]:
        """Image, offsets, weights and mask as a backend takes them."""
        dtype = self.problem.dtype
        masks = None if self.mask is None else native(self.mask, dtype)
        return native(self.x, dtype), native(self.offset, dtype), native(self.weight, dtype), masks


def read_deform(
    op: str,
    x: ArrayLike,
    offset: ArrayLike,
    weight: ArrayLike,
    stride: PairLike,
    padding: PaddingLike,
    dilation: PairLike,
    mask: ArrayLike | None,
    *others: np.dtype[Any],
) -> Deformable:
    """All but the bias; `others` are dtypes that the result is promoted with as well."""
    image, batched = images(op, "x", x, "NCHW")
    w = read_weight(op, "weight", weight)
    channels = image.shape[1]
    if channels % w.shape[1]:
        raise ValueError(
            f"{op}: weight has {w.shape[1]} input channels per group, but needs a divisor of x's {channels} channels"
        )
    options = ConvOptions.read(op, stride, padding, dilation, channels // w.shape[1])
    offsets = _field(op, "offset", offset, batched)
    masks = None if mask is None else _field(op, "mask", mask, batched)
    dtype = float_result(image.dtype, w.dtype, *others)
    problem = options.problem(image.shape, w.shape, compute_dtype(dtype), get_precision())
    taps = problem.kernel[0] * problem.kernel[1]
    deform_groups = offsets.shape[1] // (2 * taps)
    if offsets.shape[1] != 2 * taps * deform_groups or not deform_groups or channels % deform_groups:
        raise ValueError(
            f"{op}: offset has {offsets.shape[1]} channels, but needs 2 * {taps} for each group of channels, whose "
            f"number divides {channels}"
        )
    _check_field(op, "offset", offsets, (problem.batch, 2 * taps * deform_groups, *problem.out_size))
    if masks is not None:
        _check_field(op, "mask", masks, (problem.batch, taps * deform_groups, *problem.out_size))
    return Deformable(problem, batched, dtype, image, offsets, w, masks)


def _field(op: str, name: str, value: ArrayLike, batched: bool) -> Array:
    array = as_array(op, name, value)
    if array.ndim != (4 if batched else 3):
        raise ValueError(
            f"{op}: {name} has {array.ndim} dimensions (shape {array.shape}), but needs {4 if batched else 3} like x"
        )
    return array if batched else array[np.newaxis]


def _check_field(op: str, name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{op}: {name} has shape {array.shape}, but needs {shape}")
