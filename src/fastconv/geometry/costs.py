"""Parameters, operations and bytes of convolutions."""

from __future__ import annotations

from typing import NamedTuple, SupportsIndex, cast

import numpy as np
from numpy.typing import DTypeLike

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.geometry.sizes import conv_out, read_bool
from fastconv.text import echo
from fastconv.typing import PaddingLike, PairLike

ImagesShape = tuple[SupportsIndex, SupportsIndex, SupportsIndex, SupportsIndex] | list[int]  # N, C, H, W


def _weights(
    op: str,
    c_in: SupportsIndex,
    c_out: SupportsIndex,
    kernel_size: PairLike,
    groups: SupportsIndex,
    bias: bool,
) -> Pair:
    """Give the numbers of weights and biases."""
    c_in, c_out = (
        arguments.integer(op, "in_channels", c_in, 1),
        arguments.integer(op, "out_channels", c_out, 1),
    )
    groups = arguments.integer(op, "groups", groups, 1)
    if c_in % groups or c_out % groups:
        raise ValueError(f"{op}: groups is {groups}, but needs to divide the channels, {c_in} and {c_out}")
    height, width = arguments.pair(op, "kernel_size", kernel_size, 1)
    return c_out * (c_in // groups) * height * width, c_out * read_bool(op, "bias", bias)


def conv_params(
    in_channels: SupportsIndex,
    out_channels: SupportsIndex,
    kernel_size: PairLike,
    groups: SupportsIndex = 1,
    bias: bool = True,
) -> int:
    """Count the parameters of a 2-D convolution: ``C_out * (C_in / groups) * kH * kW`` and ``C_out`` biases.

    Parameters
    ----------
    in_channels, out_channels, groups : `groups` divides both (errors: as `conv_output_size`)
    kernel_size : int (a square) or (int, int)
    bias : bool

    Examples
    --------
    >>> conv_params(64, 128, 3)
    73856
    """
    return sum(_weights("conv_params", in_channels, out_channels, kernel_size, groups, bias))


def _costs(
    op: str,
    shape: ImagesShape,
    c_out: SupportsIndex,
    groups: SupportsIndex,
    bias: bool,
    window: tuple[PairLike, PairLike, PaddingLike, PairLike],
) -> tuple[int, int, int, int]:
    """Give the numbers of inputs, weights, biases, and output pixels of all images."""
    if not isinstance(shape, (tuple, list)) or len(shape) != 4:
        error = ValueError if isinstance(shape, (tuple, list)) else TypeError
        raise error(f"{op}: input_shape is {echo(shape)}, but needs a tuple (N, C, H, W)")
    n, c_in, *size = (arguments.integer(op, f"input_shape[{i}]", v, min(i, 1)) for i, v in enumerate(shape))
    h, w = cast(Pair, conv_out(op, (size[0], size[1]), *window))
    return n * c_in * size[0] * size[1], *_weights(op, c_in, c_out, window[0], groups, bias), n * h * w


def conv_flops(
    input_shape: ImagesShape, out_channels: SupportsIndex, kernel_size: PairLike, stride: PairLike = 1,
    padding: PaddingLike = 0, dilation: PairLike = 1, groups: SupportsIndex = 1, bias: bool = False,
) -> int:  # fmt: skip
    """Count the floating-point operations of a 2-D convolution's textbook sum, 2 for each multiply-add.

    ``N * C_out * outH * outW * (2 * (C_in / groups) * kH * kW + bias)``, products with padding included.

    Parameters
    ----------
    input_shape : (N, C, H, W), whatever the layout in memory; N may be 0
    out_channels, kernel_size, stride, padding, dilation, groups, bias : as above, errors too

    Examples
    --------
    >>> conv_flops((1, 64, 56, 56), 64, 3, padding=1)
    231211008
    """
    window = kernel_size, stride, padding, dilation
    _, weights, biases, pixels = _costs("conv_flops", input_shape, out_channels, groups, bias, window)
    return (2 * weights + biases) * pixels


class ConvMemory(NamedTuple):
    """Bytes of a convolution's arrays: `input`, `weight` with the bias, `output`, and `total`."""

    input: int
    weight: int
    output: int
    total: int


ConvMemory.__module__ = "fastconv.geometry"  # so its pickles name it as users do


def conv_memory(
    input_shape: ImagesShape, out_channels: SupportsIndex, kernel_size: PairLike, stride: PairLike = 1,
    padding: PaddingLike = 0, dilation: PairLike = 1, groups: SupportsIndex = 1, bias: bool = True,
    dtype: DTypeLike = "float32",
) -> ConvMemory:  # fmt: skip
    """Count the bytes of a 2-D convolution's input, weight and output, without an algorithm's workspace.

    Parameters
    ----------
    input_shape, out_channels, kernel_size, stride, padding, dilation, groups, bias : as in `conv_flops`
    dtype : of all arrays: float16, float32, float64, or bfloat16 (with ``ml_dtypes``); else TypeError

    Examples
    --------
    >>> conv_memory((1, 64, 56, 56), 128, 3, padding=1)
    ConvMemory(input=802816, weight=295424, output=1605632, total=2703872)
    """
    window = kernel_size, stride, padding, dilation
    inputs, weights, biases, pixels = _costs("conv_memory", input_shape, out_channels, groups, bias, window)
    try:
        kind = np.dtype(object if dtype is None else dtype)  # np.dtype(None) is float64
    except (TypeError, ValueError):
        kind = np.dtype(object)
    if kind.name not in ("float16", "bfloat16", "float32", "float64"):
        raise TypeError(
            f"conv_memory: dtype is {echo(dtype)}, but needs float16, bfloat16, float32 or float64"
        )
    sizes = [count * kind.itemsize for count in (inputs, weights + biases, pixels * int(out_channels))]
    return ConvMemory(sizes[0], sizes[1], sizes[2], sum(sizes))
