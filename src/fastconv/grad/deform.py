"""Gradients of deformable convolution."""

from __future__ import annotations

from fastconv.backends import resolve
from fastconv.execution.arrays import Result, as_array, native
from fastconv.execution.memory import memory_errors
from fastconv.grad.operands import check_grad
from fastconv.ops.deform import read_deform
from fastconv.typing import Array, ArrayLike, BackendName, PaddingLike, PairLike

__all__ = ["deform_conv2d"]


def deform_conv2d(
    x: ArrayLike,
    offset: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    mask: ArrayLike | None = None,
    *,
    backend: BackendName | None = None,
) -> tuple[Array, Array, Array, Array, Array | None]:
    """Gradients of all operands of `fastconv.deform_conv2d`.

    Parameters
    ----------
    x, offset, weight, mask : array_like
        Those of the forward call.
    grad_output : array_like
        The gradient of the forward call's result, of its shape.
    stride, padding, dilation
        Those of the forward call.
    backend : {"cython", "numba", "numpy"}, optional

    Returns
    -------
    grad_x, grad_offset, grad_weight, grad_bias, grad_mask : ndarray
        Of the shapes of the operands; the last is None where there is no `mask`. The dtype of all is that of `x`,
        `weight` and `grad_output` promoted together. Where an offset leads to the middle of a pixel, between two
        slopes, its gradient is that to the right or below, as in ``torchvision.ops``.

    Raises
    ------
    ValueError
        If no forward call could have had these shapes and options; the message names the argument.
    TypeError
        If an argument is of the wrong kind.

    References
    ----------
    J. Dai et al., "Deformable Convolutional Networks", arXiv:1703.06211; X. Zhu et al., "Deformable ConvNets v2",
    arXiv:1811.11168.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> x, offset = np.array([[[0.0, 1.0, 4.0]]]), np.full((2, 1, 1), 0.5)
    >>> weight, grad_output = np.ones((1, 1, 1, 1)), np.ones((1, 1, 1))
    >>> gradients = fastconv.grad.deform_conv2d(x, offset, weight, grad_output, stride=3)
    >>> gradients[0], gradients[1].ravel()
    (array([[[0.25, 0.25, 0.  ]]]), array([-0.5,  0.5]))
    """
    op = "grad.deform_conv2d"
    grad = as_array(op, "grad_output", grad_output)
    arrays = read_deform(op, x, offset, weight, stride, padding, dilation, mask, grad.dtype)
    problem, batched = arrays.problem, arrays.batched
    expected, image = problem.output_shape, arrays.x.shape
    first = 0 if batched else 1
    check_grad(op, grad.shape, expected[first:], "x", image[first:])
    engine = resolve(op, backend)
    of_x, of_offset = (
        Result(op, a.shape, arrays.dtype, None, batched=batched) for a in (arrays.x, arrays.offset)
    )
    of_mask = (
        None if arrays.mask is None else Result(op, arrays.mask.shape, arrays.dtype, None, batched=batched)
    )
    of_weight = Result(op, arrays.weight.shape, arrays.dtype, None)
    of_bias = Result(op, (problem.filters,), arrays.dtype, None)
    if problem.batch:
        images, offsets, weights, masks = arrays.native()
        slopes = native(grad, problem.dtype).reshape(expected)
        with memory_errors(op):
            engine.deform_conv_gradient(
                problem, images, offsets, masks, weights, slopes, of_x.buffer, of_offset.buffer, of_weight.buffer,
                None if of_mask is None else of_mask.buffer,
            )  # fmt: skip
        engine.channel_sums(slopes, "NCHW", of_bias.buffer)
    else:
        of_weight.buffer[...] = of_bias.buffer[...] = 0
    return (
        of_x.value(), of_offset.value(), of_weight.value(), of_bias.value(),
        None if of_mask is None else of_mask.value(),
    )  # fmt: skip
