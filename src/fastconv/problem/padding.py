"""Padding along one axis: how much there is, and from where a mode fills it.

Used by `pad2d`, its gradient, and the padding modes of convolution, which pad first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastconv.arguments import Pair
from fastconv.problem.options import Sides
from fastconv.typing import PaddingMode


class Border(NamedTuple):
    """An axis of an image, and how many pixels are put before and after it.

    Where a convolution sees little of that, it gets what it sees alone, output after output: `seen` is then (outputs,
    taps, stride, dilation), and the convolution of the result has a stride of `taps`, and no dilation.
    """

    size: int
    before: int
    after: int
    seen: tuple[int, int, int, int] | None = None

    @property
    def length(self) -> int:
        """Pixels of the padded axis."""
        return self.size + self.before + self.after if self.seen is None else self.seen[0] * self.seen[1]

    def places(self) -> NDArray[np.int64]:
        """Where these lie, seen from the image's first pixel."""
        if self.seen is None:
            return np.arange(-self.before, self.size + self.after, dtype=np.int64)
        outputs, taps, stride, dilation = self.seen
        first = np.arange(outputs, dtype=np.int64) * stride - self.before
        return np.add.outer(first, np.arange(taps, dtype=np.int64) * dilation).ravel()


Borders = tuple[Border, Border]


def whole_borders(size: Pair, sides: Sides) -> Borders:
    """The borders of an image (rows, columns) that keep all of it."""
    return Border(size[0], *sides[:2]), Border(size[1], *sides[2:])


def sources(border: Border, mode: PaddingMode) -> NDArray[np.int64]:
    """For each pixel of a padded axis the pixel of the image that it copies, -1 for the fill value.

    Sides longer than the image go on with its pattern, as those of `numpy.pad` do.
    """
    i, size = border.places(), border.size
    if border.seen is not None or min(border.before, border.after) < 0:
        return _copied(i, size, mode)
    # Those within the image copy themselves: of a long axis, most.
    for side in (slice(border.before), slice(border.before + size, None)):
        i[side] = _copied(i[side], size, mode)
    return i


def _copied(i: NDArray[np.int64], size: int, mode: PaddingMode) -> NDArray[np.int64]:
    """The pixel of an image of that size that each of these places copies."""
    if mode in ("zeros", "constant"):
        return np.where((i >= 0) & (i < size), i, -1)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "circular":
        return i % size
    # There and back again: with the pixels at both ends a second time, or without.
    if mode == "symmetric":
        i = i % (2 * size)
        return np.minimum(i, 2 * size - 1 - i)
    period = max(1, 2 * (size - 1))
    i = i % period
    return np.minimum(i, period - i)
