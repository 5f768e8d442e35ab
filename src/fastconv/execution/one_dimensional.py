"""One spatial axis as two: a signal is an image with one row. Used by `conv1d` and `conv_transpose1d`."""

from __future__ import annotations

from typing import overload

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.execution.arrays import as_array, read_out
from fastconv.execution.convolution import check_weight, kind_of
from fastconv.problem import options as opt
from fastconv.problem.convolution import ConvOptions
from fastconv.problem.layout import channels_last, spatial_axes
from fastconv.typing import Array, ArrayLike, Layout, PaddingLike, SignalPaddingLike, SingleLike


def options_1d(
    op: str, stride: SingleLike, padding: SignalPaddingLike, dilation: SingleLike
) -> tuple[Pair, PaddingLike, Pair]:
    """Stride, padding and dilation of the image that stands for the signal."""
    sides = opt.padding_1d(op, padding)
    if not isinstance(sides, str):
        sides_2d: PaddingLike = (sides[:2], sides[2:])
    else:
        sides_2d = sides
    return (
        (1, arguments.single(op, "stride", stride, 1)),
        sides_2d,
        (1, arguments.single(op, "dilation", dilation, 1)),
    )


@overload
def expand(op: str, name: str, value: ArrayLike, layout: Layout) -> Array: ...
@overload
def expand(op: str, name: str, value: ArrayLike | None, layout: Layout) -> Array | None: ...
def expand(op: str, name: str, value: ArrayLike | None, layout: Layout) -> Array | None:
    """(N, C, L) as (N, C, 1, L), (N, L, C) as (N, 1, L, C); unbatched too. None stays None."""
    if value is None:
        return None
    array = as_array(op, name, value)
    if array.ndim not in (2, 3):
        axes = "N, L, C" if channels_last(layout) else "N, C, L"
        wanted = f"({axes}) or unbatched ({axes[3:]})"
        hint = ""
        if array.ndim == 1:
            line = f"{name}[..., None]" if channels_last(layout) else f"{name}[None]"
            hint = f"; {line} is a signal of one channel, and fastconv.ndimage.correlate1d takes arrays as they are"
        raise ValueError(
            f"{op}: {name} has {array.ndim} dimensions (shape {array.shape}), but needs {wanted}{hint}"
        )
    return np.expand_dims(array, spatial_axes(layout)[0])


def expand_out(op: str, out: Array | None, layout: Layout) -> Array | None:
    """`out` as `expand` gives it; only an array can be written to."""
    return None if out is None else expand(op, "out", read_out(op, out), layout)


def expand_weight(o: ConvOptions, value: ArrayLike, x: ArrayLike) -> Array:
    """(K, C, k) as (K, C, 1, k), (k, C, K) as (1, k, C, K)."""
    array = as_array(o.op, "weight", value)
    check_weight(o.op, "weight", array.shape, 3, kind_of(o), x)
    return array[None] if channels_last(o.layout) else array[:, :, None]


def squeeze(result: Array, layout: Layout, out: Array | None) -> Array:
    """The result without its one row; the user's own `out` where there is one."""
    return result.squeeze(spatial_axes(layout)[0]) if out is None else out


def squeeze_weight(weight: Array, layout: Layout) -> Array:
    """The inverse of `expand_weight`."""
    return weight[0] if channels_last(layout) else weight[:, :, 0]
