"""One axis of one layer: which inputs an interval of its outputs needs, and how the layer is called to get just these.

An interval is (start, stop). All rules are exact: whatever interval is asked for, the outputs are those of the whole
axis, because a border that is no border of the image is never padded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastconv.arguments import Pair
from fastconv.problem.padding import Border, sources
from fastconv.typing import PaddingMode

Interval = tuple[int, int]


class Stretch(NamedTuple):
    """Pixels side by side that are copies of the image's: of `first` and those after it, before it, or it alone.

    Attributes
    ----------
    size : int
    first : int, optional
        None: they are outside the image, and have the fill value.
    step : {-1, 0, 1}
    """

    size: int
    first: int | None = None
    step: int = 0


class Cut(NamedTuple):
    """How an interval of outputs is made.

    Attributes
    ----------
    start, stop : int
        The inputs that are read.
    before, after : int
        The padding that the layer itself puts around them.
    skip : int
        How many outputs come before those that are wanted.
    extra : int
        The output padding of a transposed convolution.
    padded : tuple of Stretch
        In place of the first two where the layer is given pixels beyond the image.
    """

    start: int
    stop: int
    before: int = 0
    after: int = 0
    skip: int = 0
    extra: int = 0
    padded: tuple[Stretch, ...] = ()

    def stretches(self) -> tuple[Stretch, ...]:
        """What the layer is given."""
        return self.padded or (Stretch(self.stop - self.start, self.start, 1),)

    def reads(self) -> list[Interval]:
        """Of fill values alone some pixel, for its channels and dtype."""
        ends = [
            (first, first + step * (count - 1))
            for count, first, step in self.stretches()
            if first is not None
        ]
        return merged([(min(pair), max(pair) + 1) for pair in ends]) or [(0, 1)]


class Rule(Protocol):
    """`size` inputs become `count` outputs; `inputs` / `outputs` is how many of each there are at a time."""

    @property
    def size(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def step(self) -> Pair: ...
    def cut(self, start: int, stop: int) -> Cut: ...


@dataclass(frozen=True)
class Same:
    """Every output is made of the input at its own place."""

    size: int

    @property
    def count(self) -> int:
        return self.size

    @property
    def step(self) -> Pair:
        return 1, 1

    def cut(self, start: int, stop: int) -> Cut:
        return Cut(start, stop)


@dataclass(frozen=True)
class Padded:
    """Windows of `extent` pixels over an axis that is padded in some mode before the layer sees it."""

    size: int
    count: int
    extent: int = 1
    stride: int = 1
    before: int = 0
    mode: PaddingMode = "zeros"

    @property
    def step(self) -> Pair:
        return self.stride, 1

    def cut(self, start: int, stop: int) -> Cut:
        low = start * self.stride - self.before
        high = (stop - 1) * self.stride - self.before + self.extent
        first, last = max(low, 0), min(high, self.size)
        if (first, last) == (low, high):
            return Cut(first, last)
        border = Border(self.size, -low, 0, (high - low, 1, 1, 1))
        return Cut(first, last, padded=stretches_of(sources(border, self.mode)))


@dataclass(frozen=True)
class Pooled:
    """Windows over an axis that the layer itself pads, for it tells padding from pixels."""

    size: int
    count: int
    extent: int
    stride: int
    before: int
    after: int

    @property
    def step(self) -> Pair:
        return self.stride, 1

    def cut(self, start: int, stop: int) -> Cut:
        low = start * self.stride - self.before
        high = (stop - 1) * self.stride - self.before + self.extent
        first, last = max(low, 0), min(high, self.size)
        # What is beyond the padding is there because the number of windows was rounded up.
        return Cut(first, last, first - low, min(high - last, self.after))


@dataclass(frozen=True)
class Transposed:
    """Every input is spread over `extent` outputs, `stride` further than those of the one before it."""

    size: int
    count: int
    extent: int
    stride: int
    before: int

    @property
    def step(self) -> Pair:
        return 1, self.stride

    @property
    def hides_an_input(self) -> bool:
        """Does padding cut off all that the first input is spread over?"""
        return self.before >= self.extent

    def cut(self, start: int, stop: int) -> Cut:
        """The layer is called without padding, so that its first output is that of its first input's first tap."""
        place = start + self.before
        # The first input that reaches this output; between the taps of inputs, where none does, the one before it.
        first = min(-((self.extent - 1 - place) // self.stride), place // self.stride)
        first = min(max(first, 0), self.size - 1)
        last = min((stop - 1 + self.before) // self.stride + 1, self.size)
        last = max(last, first + 1)
        begin = first * self.stride - self.before
        end = (last - 1) * self.stride - self.before + self.extent
        return Cut(first, last, skip=start - begin, extra=max(stop - end, 0))


@dataclass(frozen=True)
class Scaled:
    """`inputs` pixels become `outputs`, one of the two numbers being 1, and see so many such groups on both sides."""

    size: int
    inputs: int
    outputs: int
    reach: int = 0

    @property
    def count(self) -> int:
        return self.size // self.inputs * self.outputs

    @property
    def step(self) -> Pair:
        return self.inputs, self.outputs

    def cut(self, start: int, stop: int) -> Cut:
        groups = self.size // self.inputs
        first = max(start // self.outputs - self.reach, 0)
        last = min(-(-stop // self.outputs) + self.reach, groups)
        return Cut(first * self.inputs, last * self.inputs, skip=start - first * self.outputs)


def stretches_of(places: NDArray[np.int64]) -> tuple[Stretch, ...]:
    """Pixels, by the image's that each is a copy of, -1 for the fill value."""
    apart = np.where(places < 0, -9, places)  # the image's first pixel is no neighbour of the fill value
    steps = np.diff(apart)
    changes = np.flatnonzero(np.diff(steps)) + 1
    result, begin = [], 0
    while begin < len(places):
        step, end = 0, begin + 1
        if end < len(places) and abs(steps[begin]) <= 1:
            step = int(steps[begin])
            later = changes[np.searchsorted(changes, begin, "right") :]
            end = int(later[0]) + 1 if later.size else len(places)
        first = int(places[begin])
        result.append(Stretch(end - begin, first if first >= 0 else None, step))
        begin = end
    return tuple(result)


def merged(intervals: list[Interval]) -> list[Interval]:
    """The same pixels in ascending intervals that do not touch."""
    result: list[Interval] = []
    for start, stop in sorted(intervals):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], stop)
        else:
            result.append((start, stop))
    return result
