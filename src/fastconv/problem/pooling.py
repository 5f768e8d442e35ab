"""The validated description of a pooling: for each axis a table of windows, and a reducer.

Maximum, average, L_p, adaptive, global, fractional, stochastic and `ceil_mode` differ in the tables that the
functions here make; a backend sees only a `PoolProblem`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.arguments import Pair
from fastconv.problem.layout import batch_shape, channels_last
from fastconv.problem.options import Padding
from fastconv.problem.sizes import pool_size, same_sides
from fastconv.typing import Layout, PaddingWord

Reducer = Literal["max", "sum", "power", "sample", "weighted"]


class Grid(NamedTuple):
    """Windows on a regular grid: window `o` covers `start + o * stride + i * dilation` for `i < kernel`."""

    kernel: int
    stride: int
    start: int
    dilation: int


@dataclass(frozen=True, eq=False)
class Windows:
    """The windows along one axis: `start`, `start + step`, ... below `stop`, all inside the image.

    Attributes
    ----------
    start, stop : (P, O) int64 arrays
        `P` is 1, or N * C where every plane has windows of its own (fractional pooling).
    step : int
        Distance of a window's elements (its dilation).
    divisor : (O,) float64 array
        This axis' factor of the number that a sum is divided by.
    grid : Grid or None
        The regular grid that the windows come from, before they were clipped to the image.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    step: int
    divisor: NDArray[np.float64]
    grid: Grid | None = None

    @property
    def count(self) -> int:
        return int(self.start.shape[1])


@dataclass(frozen=True, eq=False)
class PoolProblem:
    """A pooling of `batch` x `channels` planes of `size`.

    The reducers, over the elements `a` of a window, with `d` the product of both axes' divisors:
    ``max`` (NaN wins; its index is that of the last NaN, else of the first maximum), ``sum``: sum(a) / d;
    ``power``: (sum(abs(a)**power) / d)**(1 / power); ``weighted``: sum(a**2) / sum(a), 0 where that sum is 0;
    ``sample``: the first `a` in row-major order at which the running float64 sum exceeds `u` * sum(a).
    """

    batch: int
    channels: int
    size: Pair
    layout: Layout
    dtype: np.dtype[Any]
    rows: Windows
    columns: Windows
    reducer: Reducer
    power: float = 1.0

    @property
    def channels_last(self) -> bool:
        return channels_last(self.layout)

    @property
    def result_shape(self) -> tuple[int, int, int, int]:
        return batch_shape(self.layout, self.batch, self.channels, (self.rows.count, self.columns.count))


@lru_cache(maxsize=1024)
def sliding(
    op: str,
    axis: str,
    size: int,
    kernel: int,
    stride: int,
    padding: Pair | PaddingWord,
    dilation: int = 1,
    ceil_mode: bool = False,
    count_padding: bool = True,
) -> Windows:
    """Windows of one size at regular distances, with PyTorch's rules for padding and `ceil_mode`."""
    if padding == "same":
        padding = same_sides(size, kernel, stride, dilation)
    elif padding == "valid":
        padding = 0, 0
    elif padding == "full":
        padding = dilation * (kernel - 1), dilation * (kernel - 1)
    assert not isinstance(padding, str), padding
    before, after = padding
    count = pool_size(size, kernel, stride, before, after, dilation, ceil_mode)
    if count < 1:
        raise ValueError(
            f"{op}: the window of {kernel} with dilation {dilation} is larger than the padded {axis} "
            f"{size + before + after}, so that nothing would come out"
        )
    first = np.arange(count, dtype=np.int64) * stride - before
    end = first + dilation * (kernel - 1) + 1
    # An average counts padding, but not what ceil_mode lets a window reach beyond the padding.
    counted = np.minimum(end, size + after) - first
    start = first + np.maximum(0, -(first // dilation)) * dilation
    stop = np.minimum(end, size)
    if (start >= stop).any():
        raise ValueError(
            f"{op}: padding {padding} along the {axis} leaves a window of {kernel} with nothing but padding; "
            "needs less padding"
        )
    if not count_padding:
        counted = stop - start
    grid = Grid(kernel, stride, -before, dilation)
    return Windows(start[np.newaxis], stop[np.newaxis], dilation, counted.astype(np.float64), grid)


def axis_padding(padding: Padding, axis: int) -> Pair | PaddingWord:
    if isinstance(padding, str):
        return padding
    return padding[2 * axis], padding[2 * axis + 1]


@lru_cache(maxsize=1024)
def adaptive(size: int, count: int) -> Windows:
    """PyTorch's adaptive windows: from floor(o * size / count) to ceil((o + 1) * size / count)."""
    o = np.arange(count, dtype=np.int64)
    start, stop = o * size // count, -((o + 1) * -size // count)
    grid = Grid(size // count, size // count, 0, 1) if size % count == 0 else None
    return Windows(start[np.newaxis], stop[np.newaxis], 1, (stop - start).astype(np.float64), grid)


def fractional(size: int, kernel: int, count: int, samples: NDArray[np.float64]) -> Windows:
    """Graham's pseudo-random windows with PyTorch's formula; one row of windows for each sample."""
    u = samples.reshape(-1, 1)
    start = np.full((u.shape[0], count), size - kernel, np.int64)
    if count > 1:
        alpha = (size - kernel) / (count - 1)
        o = np.arange(count - 1)
        start[:, :-1] = ((o + u) * alpha).astype(np.int64) - (u * alpha).astype(np.int64)
    return Windows(start, start + kernel, 1, np.full(count, float(kernel)))
