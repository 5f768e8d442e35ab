"""The validated description of a pooling: for each axis its windows, and a reducer.

Maximum, average, L_p, adaptive, global, fractional, stochastic and `ceil_mode` differ in the windows that the
functions here describe; a backend sees only a `PoolProblem`. Windows are a few numbers, however many they are:
`tables` lists them for a backend that wants to look at each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.arguments import Pair
from fastconv.caches import kept, kept_up_to
from fastconv.problem.layout import Shape, batch_shape, channels_last
from fastconv.problem.options import Padding
from fastconv.problem.sizes import pool_size, same_sides
from fastconv.typing import Layout, PaddingWord

Reducer = Literal["max", "sum", "power", "sample", "weighted"]

_KEPT_TABLES = 64 << 20  # bytes
_LISTED = 2**18  # windows at a time


class Tables(NamedTuple):
    """The windows along one axis: `start`, `start + step`, ... below `stop`, all inside the image.

    Attributes
    ----------
    start, stop : (P, O) int64 arrays
        `P` is 1, or N * C where every plane has windows of its own (fractional pooling).
    divisor : (O,) float64 array
        This axis' factor of the number that a sum is divided by.
    """

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    divisor: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SlidingWindows:
    """Windows of one size at regular distances; each holds a pixel of the image, unless they `may_jump`.

    Window `o` has the pixels ``first + o * stride + i * step`` for ``i < kernel``, as far as they are in the image.

    Attributes
    ----------
    size, count : int
        Pixels of the image, and windows.
    counted : tuple of int
        The pixels, image or padding, from the first number up to the second, are what a window's divisor counts ...
    unit : int
        ... in units of so many.
    divisor : float, optional
        The divisor of every window, in place of that number.
    """

    size: int
    count: int
    kernel: int
    stride: int
    first: int
    step: int
    counted: Pair
    unit: int = 1
    divisor: float | None = None
    own: ClassVar[bool] = False  # has every plane windows of its own?

    @property
    def extent(self) -> int:
        """From a window's first pixel to its last."""
        return self.step * (self.kernel - 1) + 1

    @property
    def in_front(self) -> int:
        """How many windows start in front of the image."""
        return max(0, min(self.count, -(self.first // self.stride)))

    @property
    def longest(self) -> int:
        """Pixels of a window, at most."""
        return min(self.kernel, -(-self.size // self.step))

    def tables(self) -> Tables:
        return _sliding_tables(self)


@dataclass(frozen=True, slots=True)
class AdaptiveWindows:
    """PyTorch's adaptive windows: window `o` goes from floor(o * size / count) to ceil((o + 1) * size / count)."""

    size: int
    count: int
    step: ClassVar[int] = 1
    own: ClassVar[bool] = False

    @property
    def longest(self) -> int:
        return -(-self.size // self.count) + 1

    def tables(self) -> Tables:
        return _adaptive_tables(self)


@dataclass(frozen=True, slots=True, eq=False)
class FractionalWindows:
    """Graham's pseudo-random windows with PyTorch's formula: a sample in [0, 1) for each plane shifts all but the last.

    With ``alpha = (size - kernel) / (count - 1)`` window `o` starts at ``floor((o + sample) * alpha) -
    floor(sample * alpha)``; the last one ends where the image ends.
    """

    size: int
    count: int
    kernel: int
    samples: NDArray[np.float64]  # (N * C,)
    step: ClassVar[int] = 1

    @property
    def own(self) -> bool:
        return self.samples.size > 1

    @property
    def longest(self) -> int:
        return self.kernel

    def tables(self) -> Tables:
        u = self.samples.reshape(-1, 1)
        start = np.full((u.shape[0], self.count), self.size - self.kernel, np.int64)
        if self.count > 1:
            alpha = (self.size - self.kernel) / (self.count - 1)
            o = np.arange(self.count - 1)
            start[:, :-1] = ((o + u) * alpha).astype(np.int64) - (u * alpha).astype(np.int64)
        return Tables(start, start + self.kernel, np.full(self.count, float(self.kernel)))


Windows = SlidingWindows | AdaptiveWindows | FractionalWindows


@kept_up_to(_KEPT_TABLES)
def _sliding_tables(w: SlidingWindows) -> Tables:
    def windows(o: NDArray[np.int64]) -> Tables:
        start = o * w.stride + w.first
        stop = start + w.extent
        if w.divisor is None:
            divisor = (np.minimum(stop, w.counted[1]) - np.maximum(start, w.counted[0])) / w.unit
        else:
            divisor = np.full(len(o), w.divisor)
        # Only the first windows start in front of the image, only the last ones end behind it.
        outside = start[: max(0, w.in_front - int(o[0]))]
        outside += -(outside // w.step) * w.step
        return Tables(start, np.minimum(stop, w.size), divisor)

    return _tables(w.count, windows)


@kept_up_to(_KEPT_TABLES)
def _adaptive_tables(w: AdaptiveWindows) -> Tables:
    # The products of a size and a count may be too large, those of what is left over are not.
    whole, rest = divmod(w.size, w.count)

    def windows(o: NDArray[np.int64]) -> Tables:
        start, stop = o * whole + o * rest // w.count, (o + 1) * whole - ((o + 1) * -rest // w.count)
        return Tables(start, stop, (stop - start).astype(np.float64))

    return _tables(w.count, windows)


def _tables(count: int, windows: Callable[[NDArray[np.int64]], Tables]) -> Tables:
    """Those of the windows `o` from 0 on, some at a time: Python handles no signal within a call of NumPy's."""
    tables = Tables(np.empty((1, count), np.int64), np.empty((1, count), np.int64), np.empty(count))
    for first in range(0, count, _LISTED):
        own = slice(first, min(first + _LISTED, count))
        some = windows(np.arange(own.start, own.stop, dtype=np.int64))
        for array, part in zip(tables, some, strict=True):
            array[..., own] = part
    for array in tables:
        array.flags.writeable = False  # other calls see them too
    return tables


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
    def result_shape(self) -> Shape:
        return batch_shape(self.layout, self.batch, self.channels, (self.rows.count, self.columns.count))


@kept()
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
    may_jump: bool = False,
) -> SlidingWindows:
    """Windows of one size at regular distances, with PyTorch's rules for padding and `ceil_mode`.

    With `may_jump`, the pixels of a dilated window may lie before and behind the image, and none in it.
    """
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
    # An average counts padding, but not what ceil_mode lets a window reach beyond the padding.
    counted = (-before, size + after) if count_padding else (0, size)
    windows = SlidingWindows(size, count, kernel, stride, -before, dilation, counted)
    if some_are_beyond(windows) or (some_jump(windows) and not may_jump):
        raise ValueError(
            f"{op}: padding {padding} along the {axis} leaves a window of {kernel} with nothing but padding; "
            "needs less padding"
        )
    return windows


def some_are_beyond(w: SlidingWindows) -> bool:
    """Does a window begin behind the image, or end before it?"""
    return w.first + (w.count - 1) * w.stride >= w.size or w.first + w.extent <= 0


def some_jump(w: SlidingWindows) -> bool:
    """Of windows that none is beyond the image: does one hold nothing but padding?"""
    if w.step <= w.size or w.first >= 0:
        return False
    # A window that starts in front of the image and whose pixels are farther apart than that is large may miss it.
    place = w.first % w.step
    if place >= w.size:
        return True
    missing = first_within(w.stride, w.step, w.size - place, w.step - 1 - place)
    return missing is not None and missing < w.in_front


def first_within(step: int, modulus: int, low: int, high: int) -> int | None:
    """The least `i` with ``low <= i * step % modulus <= high``, where ``0 <= low <= high < modulus``; or None."""
    step %= modulus
    if low == 0 or step == 0:
        return 0 if low == 0 else None
    if 2 * step > modulus:
        return first_within(modulus - step, modulus, modulus - high, modulus - low)
    if high // step * step >= low:
        return -(-low // step)
    # All multiples jump over it, until those of the modulus have shifted them: it is Euclid's algorithm.
    turns = first_within(modulus, step, -high % step, -low % step)
    return None if turns is None else -(-(low + turns * modulus) // step)


def axis_padding(padding: Padding, axis: int) -> Pair | PaddingWord:
    if isinstance(padding, str):
        return padding
    return padding[2 * axis], padding[2 * axis + 1]


def adaptive(size: int, count: int) -> Windows:
    if size % count == 0:
        return SlidingWindows(size, count, size // count, size // count, 0, 1, (0, size))
    return AdaptiveWindows(size, count)
