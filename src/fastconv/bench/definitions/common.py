"""What the definitions share: `Definition`, padding, and gathering pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import geometry
from fastconv.bench.layer import Pair, Shape
from fastconv.typing import Array

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Where = tuple[Indices, ...]  # one array for each axis of the result
Sides = tuple[Pair, Pair]


@dataclass(frozen=True)
class Definition:
    """A result of that shape; `at` gives some of its elements, and for each the sum of its terms' absolute values.

    That sum is what rounding errors grow with: 0 for elements that are copied. An element has `terms` terms.
    """

    shape: Shape
    terms: int
    at: Callable[[Where], tuple[Floats, Floats]]


def pair(value: Any) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def sides(padding: Any, size: Pair, kernel: Pair, stride: Pair = (1, 1), dilation: Pair = (1, 1)) -> Sides:
    """((top, bottom), (left, right)) of a padding argument."""
    if padding == "same":
        return geometry.same_padding(size, kernel, stride, dilation)
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "full":
        rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        return (rows, rows), (columns, columns)
    vertical, horizontal = pair(padding)
    return pair(vertical), pair(horizontal)


def sums(terms: Array, *axes: int) -> tuple[Floats, Floats]:
    return terms.sum(axes), np.abs(terms).sum(axes)


def with_bias(sums: tuple[Floats, Floats], bias: Array | None, channel: Indices) -> tuple[Floats, Floats]:
    if bias is None:
        return sums
    added = bias[channel].astype(np.float64)
    return sums[0] + added, sums[1] + np.abs(added)


def pixels_of(x: Array, n: Indices, channels: Indices, rows: Indices, columns: Indices) -> Floats:
    """(P, C, kH, kW) of (P,), (P, C), (P, kH) and (P, kW); zero outside of the image."""
    height, width = x.shape[2:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    taken = x[
        n[:, None, None, None],
        channels[:, :, None, None],
        rows.clip(0, height - 1)[:, None, :, None],
        columns.clip(0, width - 1)[:, None, None, :],
    ]
    return np.where(inside[:, None], taken, 0).astype(np.float64)


def reach(index: Indices, kernel: int, stride: int, before: int, dilation: int) -> Indices:
    """(P, kernel): the pixels that output `index` reads along one axis."""
    return index[:, None] * stride - before + np.arange(kernel) * dilation


def sources(index: Indices, kernel: int, stride: int, before: int, dilation: int) -> Indices:
    """(P, kernel): the window whose tap lies on pixel `index`; -1 where there is none: the way back of `reach`."""
    place = index[:, None] + before - np.arange(kernel) * dilation
    return np.where(place % stride == 0, place // stride, -1)
