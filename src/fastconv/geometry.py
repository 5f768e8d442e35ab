"""Sizes, receptive fields and costs of convolutions and pooling, from shapes alone (no arrays).

Users call these functions as ``fastconv.geometry``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex, cast, overload

import numpy as np
from numpy.typing import DTypeLike

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.problem import options as opt
from fastconv.problem.sizes import conv_size, pool_size, same_sides
from fastconv.typing import PaddingLike, PairLike, SignalPaddingLike, SingleLike

__all__ = [
    "ConvMemory", "ReceptiveField", "conv_flops", "conv_memory", "conv_output_size", "conv_params",
    "conv_transpose_output_size", "pool_output_size", "receptive_field", "same_padding",
]  # fmt: skip

Axes = tuple[SupportsIndex, SupportsIndex] | list[int]  # vertical and horizontal
Pads = PaddingLike | SignalPaddingLike
LayerLike = (  # kernel_size, stride, padding, dilation
    SupportsIndex | tuple[PairLike] | tuple[PairLike, PairLike] | tuple[PairLike, PairLike, PaddingLike]
    | tuple[PairLike, PairLike, PaddingLike, PairLike] | list[int] | Mapping[str, Any]
)  # fmt: skip
Row = tuple[int, int, int, int]  # size, kernel, stride, dilation along one axis
ImagesShape = tuple[SupportsIndex, SupportsIndex, SupportsIndex, SupportsIndex] | list[int]  # N, C, H, W


def _rows(op: str, size: PairLike, kernel: PairLike, stride: PairLike, dilation: PairLike) -> list[Row]:
    named = {"input_size": size, "kernel_size": kernel, "stride": stride, "dilation": dilation}.items()
    if arguments.is_integer(size):
        return [
            cast(Row, tuple(arguments.single(op, name, cast(SingleLike, value), 1) for name, value in named))
        ]
    return list(zip(*(arguments.pair(op, name, value, 1) for name, value in named), strict=True))


def _pads(op: str, padding: Pads, rows: list[Row]) -> list[Pair]:  # (before, after) along each axis
    one = len(rows) == 1
    sides = (
        opt.padding_1d(op, cast(SignalPaddingLike, padding))
        if one
        else opt.padding(op, cast(PaddingLike, padding))
    )
    if sides == "same":
        return [same_sides(*row) for row in rows]
    if isinstance(sides, str):
        return [(d * (k - 1), d * (k - 1)) if sides == "full" else (0, 0) for _, k, _, d in rows]
    return [sides[:2], sides[2:]][-len(rows) :]


def _result(op: str, size: PairLike, out: list[int]) -> int | Pair:
    result = out[0] if len(out) == 1 else (out[0], out[1])
    if min(out) < 1:
        raise ValueError(f"{op}: input size {size} gives an output size of {result}, but needs at least 1")
    return result


def _conv_out(
    op: str, size: PairLike, kernel: PairLike, stride: PairLike, padding: Pads, dilation: PairLike
) -> int | Pair:
    rows = _rows(op, size, kernel, stride, dilation)
    axes = zip(rows, _pads(op, padding, rows), strict=True)
    return _result(op, size, [conv_size(n, k, s, *pad, d) for (n, k, s, d), pad in axes])


def _bool(op: str, name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} is {value!r} ({type(value).__name__}), but needs True or False")
    return bool(value)


@overload
def conv_output_size(
    input_size: SupportsIndex, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    dilation: PairLike = 1,
) -> int: ...  # fmt: skip
@overload
def conv_output_size(
    input_size: Axes, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    dilation: PairLike = 1,
) -> Pair: ...  # fmt: skip
def conv_output_size(
    input_size: PairLike, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    dilation: PairLike = 1,
) -> int | Pair:  # fmt: skip
    """Output size of a convolution: ``floor((in + pads - dilation * (kernel - 1) - 1) / stride) + 1``.

    Parameters
    ----------
    input_size, kernel_size, stride, dilation : int or (int, int)
        Pixels along one axis, or (vertical, horizontal); with such an `input_size` an int is for both axes.
    padding : int, pair, pair of pairs or str
        Pixels on each side; for two axes also (vertical, horizontal) or ((top, bottom), (left, right)), for
        one (before, after); or ``"valid"``: none, ``"full"``: ``dilation * (kernel - 1)`` on each side,
        ``"same"``: those of `same_padding`.

    Returns
    -------
    int or (int, int), in pixels, as `input_size`

    Raises
    ------
    ValueError : for a value out of range, a pair of the wrong length, an unknown padding, an output below 1
    TypeError : for a value that is not an int (bools and floats are not)

    Examples
    --------
    >>> conv_output_size(224, 7, stride=2, padding=3), conv_output_size((32, 33), (3, 5), 2, "same")
    (112, (16, 17))
    """
    return _conv_out("conv_output_size", input_size, kernel_size, stride, padding, dilation)


@overload
def conv_transpose_output_size(
    input_size: SupportsIndex, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    output_padding: PairLike = 0, dilation: PairLike = 1,
) -> int: ...  # fmt: skip
@overload
def conv_transpose_output_size(
    input_size: Axes, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    output_padding: PairLike = 0, dilation: PairLike = 1,
) -> Pair: ...  # fmt: skip
def conv_transpose_output_size(
    input_size: PairLike, kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0,
    output_padding: PairLike = 0, dilation: PairLike = 1,
) -> int | Pair:  # fmt: skip
    """Output size, in pixels, of a transposed convolution. Errors: as `conv_output_size`.

    PyTorch's formula: ``(in - 1) * stride - pads + dilation * (kernel - 1) + output_padding + 1``.

    Parameters
    ----------
    input_size, kernel_size, stride, dilation : as in `conv_output_size`
    padding : as in `conv_output_size`, but cropped from the output; ``"same"`` gives ``in * stride``
    output_padding : pixels added at the bottom and right; below `stride` or `dilation`, 0 with ``"same"``

    Examples
    --------
    >>> conv_transpose_output_size(4, 3, 2), conv_transpose_output_size((7, 5), 3, 2, 1, output_padding=1)
    (9, (14, 10))
    """
    op, same = "conv_transpose_output_size", isinstance(padding, str) and padding == "same"
    rows = _rows(op, input_size, kernel_size, stride, dilation)
    name = "output_padding"
    if len(rows) == 2:
        extras: tuple[int, ...] = arguments.pair(op, name, output_padding, 0)
    else:
        extras = (arguments.single(op, name, cast(SingleLike, output_padding), 0),)
    if any(extra >= (1 if same else max(row[2:])) for extra, row in zip(extras, rows, strict=True)):
        limit = "0 with padding='same'" if same else f"below stride {stride} or dilation {dilation}"
        raise ValueError(f"{op}: output_padding is {output_padding}, but needs to be {limit}")
    axes = zip(rows, _pads(op, padding, rows), extras, strict=True)
    out = [(n - 1) * s - sum(pad) + d * (k - 1) + extra + 1 for (n, k, s, d), pad, extra in axes]
    return _result(op, input_size, [row[0] * row[2] for row in rows] if same else out)


@overload
def pool_output_size(
    input_size: SupportsIndex, kernel_size: PairLike, stride: PairLike | None = None, padding: Pads = 0,
    dilation: PairLike = 1, ceil_mode: bool = False,
) -> int: ...  # fmt: skip
@overload
def pool_output_size(
    input_size: Axes, kernel_size: PairLike, stride: PairLike | None = None, padding: Pads = 0,
    dilation: PairLike = 1, ceil_mode: bool = False,
) -> Pair: ...  # fmt: skip
def pool_output_size(
    input_size: PairLike, kernel_size: PairLike, stride: PairLike | None = None, padding: Pads = 0,
    dilation: PairLike = 1, ceil_mode: bool = False,
) -> int | Pair:  # fmt: skip
    """Output size of a pooling, in pixels, by PyTorch's rules; formula and errors are `conv_output_size`'s.

    Parameters
    ----------
    input_size, kernel_size, stride, dilation : as in `conv_output_size`; `stride` is by default `kernel_size`
    padding : as in `conv_output_size`, but a window with nothing but padding is a ValueError
    ceil_mode : whether to round up; all windows still start in the image or the padding before it

    Examples
    --------
    >>> pool_output_size(112, 3, stride=2, padding=1), pool_output_size((7, 8), 2, ceil_mode=True)
    (56, (4, 4))
    """
    op, ceil = "pool_output_size", _bool("pool_output_size", "ceil_mode", ceil_mode)
    rows = _rows(op, input_size, kernel_size, kernel_size if stride is None else stride, dilation)
    axes = list(zip(rows, _pads(op, padding, rows), strict=True))
    out = [pool_size(n, k, s, *pad, d, ceil) for (n, k, s, d), pad in axes]
    for ((n, k, s, d), (before, _)), count in zip(axes, out, strict=True):
        if before > d * (k - 1) or (count - 1) * s - before >= n:
            raise ValueError(
                f"{op}: padding is {padding}, but needs to leave each window a pixel of the image"
            )
    return _result(op, input_size, out)


@overload
def same_padding(
    input_size: SupportsIndex, kernel_size: PairLike, stride: PairLike = 1, dilation: PairLike = 1,
) -> Pair: ...  # fmt: skip
@overload
def same_padding(
    input_size: Axes, kernel_size: PairLike, stride: PairLike = 1, dilation: PairLike = 1,
) -> tuple[Pair, Pair]: ...  # fmt: skip
def same_padding(
    input_size: PairLike, kernel_size: PairLike, stride: PairLike = 1, dilation: PairLike = 1,
) -> Pair | tuple[Pair, Pair]:  # fmt: skip
    """Compute the padding for an output of ``ceil(in / stride)``. Errors: as `conv_output_size`.

    In all ``max((out - 1) * stride + dilation * (kernel - 1) + 1 - in, 0)`` pixels, the odd one at the end:
    (before, after), or ((top, bottom), (left, right)) where `input_size` is a pair.

    Parameters
    ----------
    input_size, kernel_size, stride, dilation : as in `conv_output_size`

    Examples
    --------
    >>> same_padding(224, 7, stride=2), same_padding((10, 10), (3, 4), dilation=2)
    ((2, 3), ((2, 2), (3, 3)))
    """
    pads = [same_sides(*row) for row in _rows("same_padding", input_size, kernel_size, stride, dilation)]
    return pads[0] if len(pads) == 1 else (pads[0], pads[1])


class ReceptiveField(NamedTuple):
    """What one output pixel sees, in input pixels; (vertical, horizontal) if any layer has a pair.

    `size` of its field; `stride`: the step from one output's field to the next; `center` of the first output's field,
    where the first input pixel has its centre at 0.0.
    """

    size: int | Pair
    stride: int | Pair
    center: float | tuple[float, float]


def _layer(
    kernel_size: PairLike, stride: PairLike = 1, padding: Pads = 0, dilation: PairLike = 1
) -> tuple[PairLike, PairLike, Pads, PairLike]:
    return kernel_size, stride, padding, dilation


def receptive_field(layers: Iterable[LayerLike]) -> list[ReceptiveField]:
    """Receptive field after each of a chain of convolutions and poolings.

    From ``size = jump = 1`` and ``center = 0``, with ``k = dilation * (kernel - 1) + 1``, each layer does
    ``size += (k - 1) * jump``, ``center += ((k - 1) / 2 - padding_before) * jump``, ``jump *= stride``
    (Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019).

    Parameters
    ----------
    layers : iterable
        From the input on, each (kernel_size, stride=1, padding=0, dilation=1) as a tuple or a dict, or only
        the kernel size, an int. A pair in a layer, also as padding, is (vertical, horizontal). Padding and
        errors are as in `conv_output_size`, but ``"same"`` needs stride 1 (else it depends on the input), and
        a missing, unknown or superfluous field is a ValueError.

    Returns
    -------
    list of ReceptiveField, in input pixels
        `size`; `stride`, the step from one output to the next ("jump"); `center` of the first output's field,
        where the first input pixel has its centre at 0.0.

    Examples
    --------
    >>> receptive_field([(7, 2, 3), {"kernel_size": 3, "stride": 2}])[-1]
    ReceptiveField(size=11, stride=4, center=2.0)
    """
    if isinstance(layers, (str, Mapping)) or not isinstance(layers, Iterable):
        raise TypeError(f"receptive_field: layers is {type(layers).__name__}, but needs to be an iterable")
    size, jump, center, fields, pairs = [1, 1], [1, 1], [0.0, 0.0], [], False
    for index, layer in enumerate(layers):
        op = f"receptive_field: layers[{index}]"
        items: Any = layer if isinstance(layer, Sequence | np.ndarray) else (layer,)
        try:
            values = _layer(**layer) if isinstance(layer, Mapping) else _layer(*items)
        except TypeError:
            raise ValueError(f"{op} is {layer!r}, but needs kernel_size[, stride, ...]") from None
        pairs = pairs or not all(arguments.is_integer(v) or isinstance(v, str) for v in values)
        kernel, stride, padding, dilation = values
        rows = _rows(op, (1, 1), kernel, stride, dilation)
        if isinstance(padding, str) and padding == "same" and max(row[2] for row in rows) > 1:
            raise ValueError(f"{op}: padding is 'same', but needs numbers with stride {stride}")
        for axis, ((_, k, s, d), pad) in enumerate(zip(rows, _pads(op, padding, rows), strict=True)):
            size[axis] += d * (k - 1) * jump[axis]
            center[axis] += (d * (k - 1) / 2 - pad[0]) * jump[axis]
            jump[axis] *= s
        fields.append(((size[0], size[1]), (jump[0], jump[1]), (center[0], center[1])))
    return [ReceptiveField(*field if pairs else (v[0] for v in field)) for field in fields]


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
    return c_out * (c_in // groups) * height * width, c_out * _bool(op, "bias", bias)


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
        raise error(f"{op}: input_shape is {shape!r}, but needs a tuple (N, C, H, W)")
    n, c_in, *size = (arguments.integer(op, f"input_shape[{i}]", v, min(i, 1)) for i, v in enumerate(shape))
    h, w = cast(Pair, _conv_out(op, (size[0], size[1]), *window))
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
        raise TypeError(f"conv_memory: dtype is {dtype!r}, but needs float16, bfloat16, float32 or float64")
    sizes = [count * kind.itemsize for count in (inputs, weights + biases, pixels * int(out_channels))]
    return ConvMemory(sizes[0], sizes[1], sizes[2], sum(sizes))
