"""Sizes along one axis, from numbers alone. Used by the descriptions of a problem and by `fastconv.geometry`."""

from __future__ import annotations

from fastconv.arguments import Pair


def conv_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int) -> int:
    return (size + before + after - dilation * (kernel - 1) - 1) // stride + 1


def same_sides(size: int, kernel: int, stride: int, dilation: int) -> Pair:
    total = max((-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size, 0)
    return total // 2, total - total // 2


def pool_size(
    size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil_mode: bool
) -> int:
    out = conv_size(size, kernel, stride, before, after + (stride - 1 if ceil_mode else 0), dilation)
    return out - 1 if ceil_mode and (out - 1) * stride >= size + before else out
