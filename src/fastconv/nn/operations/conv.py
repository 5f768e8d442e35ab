"""Convolutions, transposed and deformable ones, and fully connected layers: with their activation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv import grad
from fastconv.geometry import same_padding
from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.operations.activate import activated, by_output, drawn
from fastconv.nn.operations.weights import from_layout, in_layout
from fastconv.nn.symbols import Drawing, Symbol, is_last
from fastconv.ops.conv import conv1d, conv2d
from fastconv.ops.deform import deform_conv2d
from fastconv.ops.dense import dense
from fastconv.ops.transpose import conv_transpose1d, conv_transpose2d
from fastconv.problem.options import padding as read_padding
from fastconv.problem.options import padding_1d as read_padding_1d
from fastconv.problem.padding import Border, sources
from fastconv.typing import Array, PaddingMode

Function = Callable[..., Any]


def _with_slope(forward: Callable[[Any], Array], activation: Any) -> tuple[Array, dict[str, Any]]:
    """The result, and what the gradient has to know of it; what is not needed again is not kept."""
    if by_output(activation):
        y = forward(activation)
        return y, {} if activation is None else {"activation": activation, "output": y}
    before = forward(None)
    return activated(before, activation), {"activation": activation, "preactivation": before}


def _times_slope(grad_output: Array, slope: dict[str, Any]) -> Array:
    """The gradient of the activation's input: by itself, as gradients of convolutions without one are known calls."""
    if not slope:
        return grad_output
    preactivation = slope.get("preactivation")
    return grad.activation(grad_output, slope.get("output"), slope["activation"], preactivation=preactivation)


def _convolution(name: str, function: Function, gradient: Function, emit: Function) -> Operation:
    def run(x: Array, weight: Array, bias: Array | None, *, layout: Any, **options: Any) -> Array:
        return function(x, in_layout(weight, layout), bias, layout=layout, **options)  # type: ignore[no-any-return]

    def record(
        needs: tuple[bool, ...],
        x: Array,
        weight: Array,
        bias: Array | None,
        *,
        layout: Any,
        activation: Any = None,
        **options: Any,
    ) -> tuple[Array, Pullback]:
        own = in_layout(weight, layout)
        result, slope = _with_slope(
            lambda a: function(x, own, bias, layout=layout, activation=a, **options), activation
        )

        def back(grad_output: Array) -> tuple[Any, ...]:
            inner = _times_slope(grad_output, slope)
            parts = gradient(x, own, inner, needs=needs, layout=layout, **options)
            return parts[0], None if parts[1] is None else from_layout(parts[1], layout), parts[2]

        return result, back

    return Operation(name, run, record, emit)


def _sides(x: Symbol, weight: Symbol, options: dict[str, Any]) -> dict[str, Any]:
    """The attributes of windows: of images, whose shape has the channels first, or of signals."""
    kernel, size = weight.shape[2:], x.shape[2:]
    rank = len(kernel)
    stride: Any
    dilation: Any
    stride, dilation = (_numbers(options.get(name, 1), rank) for name in ("stride", "dilation"))
    attributes: dict[str, Any] = {"strides": stride, "dilations": dilation, "kernel_shape": kernel}
    if rank == 2:
        padding: Any = read_padding("conv2d", options.get("padding", 0))
    else:
        padding = read_padding_1d("conv1d", options.get("padding", 0))
    if padding == "same":
        if not all(isinstance(length, int) for length in size):
            return attributes | {"auto_pad": "SAME_UPPER"}
        if rank == 2:
            (top, bottom), (left, right) = same_padding(size, kernel, stride, dilation)
            padding = top, bottom, left, right
        else:
            _, (left, right) = same_padding((1, *size), (1, *kernel), (1, *stride), (1, *dilation))
            padding = 0, 0, left, right
    elif padding == "valid":
        padding = 0, 0, 0, 0
    elif padding == "full":
        reach = [d * (k - 1) for k, d in zip((1, *kernel)[-2:], (1, *dilation)[-2:], strict=True)]
        padding = reach[0], reach[0], reach[1], reach[1]
    top, bottom, left, right = padding
    attributes["pads"] = (top, left, bottom, right) if rank == 2 else (left, right)
    return attributes


def _numbers(value: Any, rank: int) -> tuple[int, ...]:
    return (int(value),) * rank if np.ndim(value) == 0 else tuple(int(v) for v in value)


# The words of ONNX for padding modes.
_MODES = {
    "zeros": "constant", "constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap",
}  # fmt: skip


def draw_padding(
    drawing: Drawing, x: Symbol, sides: Sequence[tuple[int, int]], mode: PaddingMode, value: float
) -> Symbol:
    """Pixels before and after each of the last axes, as `pad2d` puts them."""
    if mode in _MODES:
        lead = (0,) * (len(x.shape) - len(sides))
        widths = drawing.constant((*lead, *(s[0] for s in sides), *lead, *(s[1] for s in sides)))
        fill = drawing.constant(value, x.dtype) if value and mode in ("zeros", "constant") else None
        return drawing.node("Pad", [x, widths, fill], mode=_MODES[mode])
    for axis, (before, after) in enumerate(sides, len(x.shape) - len(sides)):
        size = x.shape[axis]
        if not isinstance(size, int):
            raise ValueError(f"padding of mode {mode!r} of an image whose size is not known")
        if before or after:
            places = drawing.constant(sources(Border(size, before, after), mode))
            x = drawing.node("Gather", [x, places], axis=axis)
    return x


def _emit_conv(
    drawing: Drawing,
    x: Symbol,
    weight: Any,
    bias: Any,
    *,
    layout: Any,
    activation: Any = None,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    padding_value: float = 0.0,
    **options: Any,
) -> Symbol:
    last = is_last({"layout": layout})
    inner = drawing.images(x, last)
    weight = drawing.symbol(weight, x)
    attributes = _sides(inner, weight, options)
    if padding_mode != "zeros":
        if "pads" not in attributes:
            raise ValueError(f"padding of mode {padding_mode!r} of an image whose size is not known")
        pads = attributes.pop("pads")
        half = len(pads) // 2
        sides = list(zip(pads[:half], pads[half:], strict=True))
        inner = draw_padding(drawing, inner, sides, padding_mode, padding_value)
    y = drawing.node("Conv", [inner, weight, _maybe(drawing, bias, x)], group=groups, **attributes)
    return drawing.back(drawn(drawing, y, activation), last)


def _maybe(drawing: Drawing, value: Any, like: Symbol) -> Symbol | None:
    return None if value is None else drawing.symbol(value, like)


def _emit_transposed(
    drawing: Drawing,
    x: Symbol,
    weight: Any,
    bias: Any,
    *,
    layout: Any,
    activation: Any = None,
    groups: int = 1,
    output_padding: Any = 0,
    **options: Any,
) -> Symbol:
    last = is_last({"layout": layout})
    inner, weight = drawing.images(x, last), drawing.symbol(weight, x)
    attributes = _sides(inner, weight, options)
    more = _numbers(output_padding, len(weight.shape) - 2)
    y = drawing.node(
        "ConvTranspose",
        [inner, weight, _maybe(drawing, bias, x)],
        group=groups,
        output_padding=more,
        **attributes,
    )
    return drawing.back(drawn(drawing, y, activation), last)


CONV2D = _convolution("conv2d", conv2d, grad.conv2d, _emit_conv)
CONV1D = _convolution("conv1d", conv1d, grad.conv1d, _emit_conv)
CONV_TRANSPOSE2D = _convolution("conv_transpose2d", conv_transpose2d, grad.conv_transpose2d, _emit_transposed)
CONV_TRANSPOSE1D = _convolution("conv_transpose1d", conv_transpose1d, grad.conv_transpose1d, _emit_transposed)


def _run_dense(x: Array, weight: Array, bias: Array | None, *, activation: Any = None) -> Array:
    return dense(x, weight, bias, activation=activation)


def _record_dense(
    needs: tuple[bool, ...], x: Array, weight: Array, bias: Array | None, *, activation: Any = None
) -> tuple[Array, Pullback]:
    result, slope = _with_slope(lambda a: dense(x, weight, bias, activation=a), activation)

    def back(grad_output: Array) -> tuple[Any, ...]:
        return grad.dense(x, weight, _times_slope(grad_output, slope), needs=needs)

    return result, back


def _emit_dense(drawing: Drawing, x: Symbol, weight: Any, bias: Any, *, activation: Any = None) -> Symbol:
    weight = drawing.symbol(weight, x)
    if x.ndim == 2:
        y = drawing.node("Gemm", [x, weight, _maybe(drawing, bias, x)], transB=1)
    else:
        flipped = drawing.symbol(weight.value.constant.T, x)
        y = drawing.node("MatMul", [x, flipped])
        if bias is not None:
            y = drawing.node("Add", [y, drawing.symbol(bias, x)])
    return drawn(drawing, y, activation)


DENSE = Operation("dense", _run_dense, _record_dense, _emit_dense)


def _nchw(x: Array, layout: Any) -> Array:
    """Images of either layout with channels first: deformable convolution knows no other."""
    return x.transpose(0, 3, 1, 2) if is_last({"layout": layout}) else x


def _own(x: Array, layout: Any) -> Array:
    return x.transpose(0, 2, 3, 1) if is_last({"layout": layout}) else x


def _run_deform(
    x: Array,
    offset: Array,
    weight: Array,
    bias: Array | None,
    mask: Array | None,
    *,
    layout: Any,
    **options: Any,
) -> Array:
    images, offsets = _nchw(x, layout), _nchw(offset, layout)
    masks = None if mask is None else _nchw(mask, layout)
    return _own(deform_conv2d(images, offsets, weight, bias, mask=masks, **options), layout)


def _record_deform(
    needs: tuple[bool, ...],
    x: Array,
    offset: Array,
    weight: Array,
    bias: Array | None,
    mask: Array | None,
    *,
    layout: Any,
    **options: Any,
) -> tuple[Array, Pullback]:
    images, offsets = _nchw(x, layout), _nchw(offset, layout)
    masks = None if mask is None else _nchw(mask, layout)
    result = deform_conv2d(images, offsets, weight, bias, mask=masks, **options)

    def back(grad_output: Array) -> tuple[Any, ...]:
        slope = _nchw(grad_output, layout)
        parts = grad.deform_conv2d(images, offsets, weight, slope, mask=masks, **options)
        of_x, of_offset, of_weight, of_bias, of_mask = parts
        own_mask = None if of_mask is None or mask is None else _own(of_mask, layout)
        return _own(of_x, layout), _own(of_offset, layout), of_weight, of_bias, own_mask

    return _own(result, layout), back


def _emit_deform(
    drawing: Drawing,
    x: Symbol,
    offset: Symbol,
    weight: Any,
    bias: Any,
    mask: Any,
    *,
    layout: Any,
    **options: Any,
) -> Symbol:
    last = is_last({"layout": layout})
    inner, weight = drawing.images(x, last), drawing.symbol(weight, x)
    attributes = _sides(inner, weight, options)
    offset = drawing.images(offset, last)
    groups = inner.shape[1] // weight.shape[1]
    given = [inner, weight, offset, _maybe(drawing, bias, x)]
    if mask is not None:
        given.append(drawing.images(mask, last))
    points = 2 * attributes["kernel_shape"][0] * attributes["kernel_shape"][1]
    y = drawing.node("DeformConv", given, group=groups, offset_group=offset.shape[1] // points, **attributes)
    return drawing.back(y, last)


DEFORM_CONV2D = Operation("deform_conv2d", _run_deform, _record_deform, _emit_deform)
