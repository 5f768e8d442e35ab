"""Padding along one axis: which pixels a mode can fill, and from where.

Used by `pad2d`, its gradient, and the padding modes of convolution, which pad first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv.problem.options import Sides
from fastconv.typing import PaddingMode


def check_sides(op: str, sides: Sides, mode: PaddingMode, size: tuple[int, int]) -> None:
    """Refuse sides that a mode cannot fill from an image of `size`."""
    for axis, name in enumerate(("vertical", "horizontal")):
        largest = max(sides[2 * axis : 2 * axis + 2])
        limit = {"reflect": size[axis] - 1, "circular": size[axis]}.get(mode, largest)
        if largest > limit:
            raise ValueError(
                f"{op}: {name} padding is {largest}, but mode {mode!r} allows at most {limit} "
                f"for an image of {size[axis]}"
            )


def sources(size: int, before: int, after: int, mode: PaddingMode) -> NDArray[np.int64]:
    """For each pixel of a padded axis the pixel of the image that it copies, -1 for the fill value."""
    i = np.arange(-before, size + after, dtype=np.int64)
    if mode == "zeros":
        return np.where((i >= 0) & (i < size), i, -1)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "circular":
        return i % size
    i = np.abs(i)
    return np.where(i >= size, 2 * (size - 1) - i, i)
