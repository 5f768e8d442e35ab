"""Sizes of results and paddings along one axis or two."""

from __future__ import annotations

from typing import SupportsIndex, cast, overload

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.problem import options as opt
from fastconv.problem.sizes import conv_size, pool_size, same_sides
from fastconv.text import echo
from fastconv.typing import PaddingLike, PairLike, SignalPaddingLike, SingleLike

Axes = tuple[SupportsIndex, SupportsIndex] | list[int]  # vertical and horizontal
Pads = PaddingLike | SignalPaddingLike
Row = tuple[int, int, int, int]  # size, kernel, stride, dilation along one axis


def rows_of(op: str, size: PairLike, kernel: PairLike, stride: PairLike, dilation: PairLike) -> list[Row]:
    named = {"input_size": size, "kernel_size": kernel, "stride": stride, "dilation": dilation}.items()
    if arguments.is_integer(size):
        return [
            cast(Row, tuple(arguments.single(op, name, cast(SingleLike, value), 1) for name, value in named))
        ]
    return list(zip(*(arguments.pair(op, name, value, 1) for name, value in named), strict=True))


def pads_of(op: str, padding: Pads, rows: list[Row]) -> list[Pair]:  # (before, after) along each axis
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


def conv_out(
    op: str, size: PairLike, kernel: PairLike, stride: PairLike, padding: Pads, dilation: PairLike
) -> int | Pair:
    rows = rows_of(op, size, kernel, stride, dilation)
    axes = zip(rows, pads_of(op, padding, rows), strict=True)
    return _result(op, size, [conv_size(n, k, s, *pad, d) for (n, k, s, d), pad in axes])


def read_bool(op: str, name: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{op}: {name} is {echo(value)} ({type(value).__name__}), but needs True or False")
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
    return conv_out("conv_output_size", input_size, kernel_size, stride, padding, dilation)


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
    rows = rows_of(op, input_size, kernel_size, stride, dilation)
    name = "output_padding"
    if len(rows) == 2:
        extras: tuple[int, ...] = arguments.pair(op, name, output_padding, 0)
    else:
        extras = (arguments.single(op, name, cast(SingleLike, output_padding), 0),)
    if any(extra >= (1 if same else max(row[2:])) for extra, row in zip(extras, rows, strict=True)):
        limit = "0 with padding='same'" if same else f"below stride {stride} or dilation {dilation}"
        raise ValueError(f"{op}: output_padding is {output_padding}, but needs to be {limit}")
    axes = zip(rows, pads_of(op, padding, rows), extras, strict=True)
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
    op, ceil = "pool_output_size", read_bool("pool_output_size", "ceil_mode", ceil_mode)
    rows = rows_of(op, input_size, kernel_size, kernel_size if stride is None else stride, dilation)
    axes = list(zip(rows, pads_of(op, padding, rows), strict=True))
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
    pads = [same_sides(*row) for row in rows_of("same_padding", input_size, kernel_size, stride, dilation)]
    return pads[0] if len(pads) == 1 else (pads[0], pads[1])
