"""Quantised operators of ONNX Runtime (`com.microsoft`), which its quantisation tool writes beside ONNX's own.

They follow its arithmetic, that of float32 in the same order, so that the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from fastconv.graph.elements import NUMBERS
from fastconv.graph.graph import Value
from fastconv.graph.operations.matrix import general
from fastconv.graph.operations.pool import divisors, one_pixel, pooled, views
from fastconv.graph.operations.quantised import matmul_integer, of_operands, requantised, rounded
from fastconv.graph.operations.rules import broadcast, same
from fastconv.graph.operations.shape import joined
from fastconv.graph.operations.table import ALWAYS, Reading, Type, operation, upgrade
from fastconv.graph.operations.windows import AutoPad, Windows
from fastconv.typing import Array

_F4 = np.dtype(np.float32)


def _number(zero: Array | None) -> int:
    """A zero point; none is zero."""
    return 0 if zero is None else int(zero.reshape(()))


def _real(x: Array, scale: Array, zero: Array | None) -> Any:
    return (x.astype(np.int32) - _number(zero)).astype(_F4) * scale.reshape(())


def _within(x: Array, dtype: np.dtype[Any]) -> Array:
    """The bytes of numbers that the zero point has been added to."""
    limits = np.iinfo(dtype)
    return np.clip(np.rint(x), limits.min, limits.max).astype(dtype)


def _quantised(real: Array, scale: Array, zero: Array | None, dtype: np.dtype[Any]) -> Any:
    return rounded(real / scale.reshape(()), np.array(_number(zero), _F4), NUMBERS[dtype], True)


def _looked_up(
    x: Array,
    scale: Array,
    zero: Array | None,
    y_scale: Array,
    y_zero: Array | None,
    function: Callable[[Array], Array] = lambda real: real,
) -> Any:
    """A function of every element, computed once for each byte there is."""
    real = _real(np.arange(256, dtype=np.uint8).view(x.dtype), scale, zero)
    table: Any = _quantised(function(real), y_scale, y_zero, x.dtype)
    return table[x.view(np.uint8)]


def _fused(a: Array, factor: Any, b: Any) -> Any:
    """A product and a sum with one rounding to float32."""
    return (a.astype(np.float64) * float(factor) + b).astype(_F4)


@operation("com.microsoft.QLinearAdd", rule=of_operands(broadcast, 3, 0))
def quantised_sum(
    a: Array,
    a_scale: Array,
    a_zero: Array | None,
    b: Array,
    b_scale: Array,
    b_zero: Array | None,
    y_scale: Array,
    y_zero: Array | None = None,
) -> Any:
    """As its kernels for AVX2 add: what does not depend on the elements comes first."""
    first, second = ((scale / y_scale).reshape(()) for scale in (a_scale, b_scale))
    moved = _fused(np.array(_number(a_zero)), first, second * _F4.type(_number(b_zero)))
    return _within(_fused(a, first, _fused(b, second, _F4.type(_number(y_zero)) - moved)), a.dtype)


@operation("com.microsoft.QLinearMul", rule=of_operands(broadcast, 3, 0))
def quantised_product(
    a: Array,
    a_scale: Array,
    a_zero: Array | None,
    b: Array,
    b_scale: Array,
    b_zero: Array | None,
    y_scale: Array,
    y_zero: Array | None = None,
) -> Any:
    whole = (a.astype(np.int32) - _number(a_zero)) * (b.astype(np.int32) - _number(b_zero))
    factor = (a_scale * b_scale / y_scale).reshape(())
    return _within(whole.astype(_F4) * factor + _F4.type(_number(y_zero)), a.dtype)


@operation("com.microsoft.QLinearLeakyRelu", rule=same)
def quantised_leaky_relu(
    x: Array,
    x_scale: Array,
    x_zero: Array | None,
    y_scale: Array,
    y_zero: Array | None = None,
    *,
    alpha: float = 0.01,
) -> Any:
    slope = _F4.type(alpha)
    return _looked_up(
        x, x_scale, x_zero, y_scale, y_zero, lambda real: np.where(real >= 0, real, slope * real)
    )


@operation("com.microsoft.QLinearSigmoid", rule=same)
def quantised_sigmoid(
    x: Array, x_scale: Array, x_zero: Array | None, y_scale: Array, y_zero: Array | None = None
) -> Any:
    return _looked_up(
        x,
        x_scale,
        x_zero,
        y_scale,
        y_zero,
        lambda real: (1 / (1 + np.exp(-real.astype(np.float64)))).astype(_F4),
    )


def _joined_parts(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    if len(inputs) < 5 or len(inputs) % 3 != 2:
        raise ValueError(
            f"{len(inputs)} inputs, but it needs a scale, a zero point, and three for each array"
        )
    return joined(inputs[2::3], attributes)


@operation("com.microsoft.QLinearConcat", rule=_joined_parts)
def quantised_concatenation(y_scale: Array, y_zero: Array, *parts: Array, axis: int) -> Any:
    given = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    same_form = [(scale.item(), zero.item()) == (y_scale.item(), y_zero.item()) for _, scale, zero in given]
    arrays = [
        x if same_form[k] else _looked_up(x, parts[3 * k + 1], parts[3 * k + 2], y_scale, y_zero)
        for k, x in enumerate(parts[::3])
    ]
    return np.concatenate(arrays, axis)


def _chosen(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    x = inputs[1]
    return [Type(None if x is None else x.dtype, broadcast([inputs[0], x, inputs[4]], attributes)[0].shape)]


@operation("com.microsoft.QLinearWhere", rule=_chosen)
def quantised_choice(
    condition: Array,
    x: Array,
    x_scale: Array,
    x_zero: Array,
    y: Array,
    y_scale: Array,
    y_zero: Array,
    z_scale: Array,
    z_zero: Array,
) -> Any:
    first, second = (
        _looked_up(value, scale, zero, z_scale, z_zero)
        for value, scale, zero in ((x, x_scale, x_zero), (y, y_scale, y_zero))
    )
    return np.where(condition, first, second)


@operation("com.microsoft.QLinearSoftmax", rule=same)
def quantised_softmax(
    x: Array,
    x_scale: Array,
    x_zero: Array | None,
    y_scale: Array,
    y_zero: Array | None = None,
    *,
    axis: int | None = None,
    opset: int,
) -> Any:
    """By a table of exponentials, scaled so that their sum just stays within float32."""
    axis = (1 if opset < 13 else -1) if axis is None else axis
    rows: Any = x.reshape(*x.shape[: axis % x.ndim], -1) if opset < 13 else np.moveaxis(x, axis, -1)
    count = rows.shape[-1]
    if not x.size:
        return x
    step = float(x_scale.reshape(()))
    most = max(0.0, float(np.log(np.finfo(_F4).max / count)) - 5) / step
    table = np.exp((np.arange(256) - 255 + most) * step).astype(_F4)
    powers = table[rows.astype(np.int32) - rows.max(-1, keepdims=True).astype(np.int32) + 255]
    total = np.add.accumulate(powers, -1)[..., -1:]  # from the first to the last, as np.sum does not
    shares = np.rint(powers * np.floor(1 / y_scale.reshape(())) / total) + _number(y_zero)
    result = _within(shares, x.dtype)
    return result.reshape(x.shape) if opset < 13 else np.moveaxis(result, -1, axis)


@operation("com.microsoft.QLinearGlobalAveragePool", rule=one_pixel)
def quantised_global_average_pool(
    x: Array, x_scale: Array, x_zero: Array, y_scale: Array, y_zero: Array, *, channels_last: int = 0
) -> Any:
    along = tuple(range(2, x.ndim))
    count = np.prod(x.shape[2:], dtype=np.int64)
    whole = x.sum(along, dtype=np.int32, keepdims=True) - _number(x_zero) * np.int32(count)
    factor = (x_scale / (y_scale * _F4.type(count))).reshape(())
    return _within(np.rint(whole.astype(_F4) * factor) + _number(y_zero), x.dtype)


def _averaged(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    return pooled(inputs, attributes)[:1]


@operation("com.microsoft.QLinearAveragePool", rule=_averaged, grows=True)
def quantised_average_pool(
    x: Array,
    x_scale: Array,
    x_zero: Array | None,
    y_scale: Array,
    y_zero: Array | None = None,
    *,
    auto_pad: AutoPad = "NOTSET",
    ceil_mode: int = 0,
    channels_last: int = 0,
    count_include_pad: int = 0,
    kernel_shape: tuple[int, ...],
    pads: tuple[int, ...] | None = None,
    strides: tuple[int, ...] | None = None,
) -> Any:
    given = {"auto_pad": auto_pad, "ceil_mode": ceil_mode, "pads": pads, "strides": strides}
    windows = Windows.of(kernel_shape, given)
    elements: Any = views(_real(x, x_scale, x_zero), windows, 0)
    total = np.zeros(elements.shape[: x.ndim], _F4)
    for tap in product(*map(range, kernel_shape)):  # one after the other, as np.sum does not
        total += elements[(..., *tap)]
    # Other than AveragePool, it counts what hangs over the padding's end as well.
    count = np.array(prod(kernel_shape)) if count_include_pad else divisors(windows, x.shape[2:], False)
    means = total / count.astype(_F4)
    return _within(means / y_scale.reshape(()) + _F4.type(_number(y_zero)), x.dtype)


@upgrade("com.microsoft.QLinearAveragePool", "com.microsoft.QLinearGlobalAveragePool", to=ALWAYS)
def channels_come_second(reading: Reading) -> None:
    if reading.attributes.get("channels_last"):
        reading.refuse("channels_last=1, which ONNX Runtime writes for itself alone")


def _general(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    a, zero = inputs[0], inputs[8] if len(inputs) > 8 else None
    shape = general([a, inputs[3]], attributes)[0].shape
    return [Type(_F4 if zero is None else zero.dtype, shape)]


@operation("com.microsoft.QGemm", rule=_general)
def quantised_general_product(
    a: Array,
    a_scale: Array,
    a_zero: Array,
    b: Array,
    b_scale: Array,
    b_zero: Array,
    c: Array | None = None,
    y_scale: Array | None = None,
    y_zero: Array | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Any:
    """Scales and zero points of `b` are one, or one for each column; without a scale of the result, that is float32."""
    whole = matmul_integer(a.T if transA else a, b.T if transB else b, a_zero, b_zero)
    if c is not None:
        whole = whole + c
    factor = _F4.type(alpha) * a_scale * b_scale
    if y_scale is None:
        return whole.astype(_F4) * factor
    return requantised(whole, factor / y_scale, np.zeros((), a.dtype) if y_zero is None else y_zero)
