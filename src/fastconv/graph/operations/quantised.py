"""Quantised operators, computed exactly: sums of products of integers in int32, and one rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS, NUMBERS
from fastconv.graph.graph import Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.conv import convolution, convolved
from fastconv.graph.operations.matrix import multiplied
from fastconv.graph.operations.table import ALWAYS, Reading, Rule, Type, operation, upgrade
from fastconv.graph.operations.windows import AutoPad
from fastconv.typing import Array


def _along(values: Array, x: Array, axis: int, block: int) -> Array:
    """Scales or zero points as they meet `x`: one, one for each place along an axis, or one for each block there."""
    if values.size == 1 and values.ndim < 2:
        return values.reshape(())
    if block:
        return np.repeat(values, block, axis)[tuple(slice(size) for size in x.shape)]
    return values.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)])


def rounded(x: Array, zero: Array, number: int, saturate: bool) -> Any:
    element = ELEMENTS[number]
    if element.small is not None:
        return element.cast(x + zero, saturate)
    bits, signed = element.bits, element.dtype.kind == "i"
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    return np.clip(np.rint(x) + zero, low, high).astype(element.dtype)


def requantised(whole: Array, factor: Array, zero: Array) -> Any:
    """Sums of int32 as bytes: the product is one of float32, as in ONNX Runtime."""
    numbers = whole.astype(np.float32) * factor.astype(np.float32)
    return rounded(numbers, zero.astype(np.float32), NUMBERS[zero.dtype], True)


@operation("QuantizeLinear", "com.microsoft.QuantizeLinear", rule=shape_rules.quantised)
def quantize(
    x: Array,
    scale: Array,
    zero: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Any:
    number = output_dtype or (2 if zero is None else NUMBERS[zero.dtype])
    wide = np.float64 if x.dtype.kind in "iu" else ELEMENTS[precision].dtype if precision else x.dtype
    each = _along(scale, x, axis, block_size)
    point = np.zeros((), wide) if zero is None else _along(zero, x, axis, block_size).astype(wide)
    return rounded(x.astype(wide) / each.astype(wide), point, number, bool(saturate))


@upgrade("QuantizeLinear", to=ALWAYS)
def type_of_the_zero_point(reading: Reading) -> None:
    zero = reading.input(2)
    if zero is not None and zero.element:
        reading.attributes["output_dtype"] = zero.element


@operation("DequantizeLinear", "com.microsoft.DequantizeLinear", rule=shape_rules.dequantised)
def dequantize(
    x: Array,
    scale: Array,
    zero: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Any:
    each = _along(scale, x, axis, block_size)
    dtype = ELEMENTS[output_dtype].dtype if output_dtype else scale.dtype
    moved = x.astype(np.int32) if x.dtype.kind in "iu" else x.astype(np.float32)
    if zero is not None:
        moved = moved - _along(zero, x, axis, block_size).astype(moved.dtype)
    return (moved.astype(each.dtype) * each).astype(dtype)


def _in_bytes(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x, byte = shape_rules.first(inputs), np.dtype(np.uint8)
    return [Type(byte, x.shape), Type(np.dtype(np.float32), ()), Type(byte, ())]


@operation("DynamicQuantizeLinear", rule=_in_bytes)
def dynamic_quantize(x: Array) -> Any:
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = np.float32((np.float32(high) - np.float32(low)) / np.float32(255))
    zero = np.clip(np.rint(-np.float32(low) / scale if scale else 0.0), 0, 255)
    quantised = np.clip(np.rint(x / scale if scale else x * 0) + zero, 0, 255).astype(np.uint8)
    return quantised, np.asarray(scale, np.float32), np.asarray(zero, np.uint8)


def _matrix_zero(zero: Array | None, rows: bool) -> Any:
    """A zero point of a matrix as integers: one, or one for each row or column."""
    if zero is None:
        return 0
    point = zero.astype(np.int32)
    return point[:, np.newaxis] if rows and point.ndim == 1 and point.size > 1 else point


def of_operands(rule: Rule, second: int, zero: int | None) -> Rule:
    """The shape that `rule` says of the first input and another one; the dtype of an input, or else int32."""

    def known(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
        point = None if zero is None else inputs[zero]
        dtype = np.dtype(np.int32) if zero is None else None if point is None else point.dtype
        return [Type(dtype, rule([inputs[0], inputs[second]], attributes)[0].shape)]

    return known


@operation("MatMulInteger", rule=of_operands(multiplied, 1, None))
def matmul_integer(a: Array, b: Array, a_zero: Array | None = None, b_zero: Array | None = None) -> Any:
    left = a.astype(np.int32) - _matrix_zero(a_zero, True)
    return np.matmul(left, b.astype(np.int32) - _matrix_zero(b_zero, False))


@operation("QLinearMatMul", rule=of_operands(multiplied, 3, 7))
def quantised_matmul(
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    y_scale: Array,
    y_zero: Array,
) -> Any:
    whole = matmul_integer(a, b, a_zero, b_zero)
    if a_scale.size > 1 and a_scale.ndim == 1:
        a_scale = a_scale[:, np.newaxis]
    return requantised(whole, a_scale * b_scale / y_scale, y_zero)


def _integer_convolution(
    x: Array, weight: Array, x_zero: Array | None, w_zero: Array | None, options: Any
) -> Any:
    """In float64, whose 53 bits hold every sum of int32."""
    image = x.astype(np.float64) - (0 if x_zero is None else x_zero.astype(np.float64))
    kernel = weight.astype(np.float64)
    if w_zero is not None:
        kernel -= w_zero.astype(np.float64).reshape(
            (-1,) + (1,) * (kernel.ndim - 1) if w_zero.size > 1 else ()
        )
    return np.rint(convolution(image, kernel, **options))


@operation("ConvInteger", rule=of_operands(convolved, 1, None))
def conv_integer(
    x: Array,
    weight: Array,
    x_zero: Array | None = None,
    w_zero: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    options = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    return _integer_convolution(x, weight, x_zero, w_zero, options).astype(np.int32)


@operation("QLinearConv", rule=of_operands(convolved, 3, 7))
def quantised_convolution(
    x: Array,
    x_scale: Array,
    x_zero: Array,
    weight: Array,
    w_scale: Array,
    w_zero: Array,
    y_scale: Array,
    y_zero: Array,
    bias: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    dilations: tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: tuple[int, ...] | None = None,
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    options = {"auto_pad": auto_pad, "dilations": dilations, "group": group, "pads": pads, "strides": strides}
    whole = _integer_convolution(x, weight, x_zero, w_zero, options)
    channels = (-1,) + (1,) * (x.ndim - 2)
    if bias is not None:
        whole = whole + bias.reshape(channels)
    factor = x_scale * w_scale / y_scale
    return requantised(whole, factor.reshape(channels if factor.size > 1 else ()), y_zero)
