"""Padding along one axis: from where a mode fills it.

Used by `pad2d`, its gradient, and the padding modes of convolution, which pad first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastconv.typing import PaddingMode


def sources(size: int, before: int, after: int, mode: PaddingMode) -> NDArray[np.int64]:
    """For each pixel of a padded axis the pixel of the image that it copies, -1 for the fill value.

    Sides longer than the image go on with its pattern, as those of `numpy.pad` do.
    """
    i = np.arange(-before, size + after, dtype=np.int64)
    if mode == "zeros":
        return np.where((i >= 0) & (i < size), i, -1)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "circular":
        return i % size
    # There and back again, without the pixels at both ends a second time.
    period = max(1, 2 * (size - 1))
    i %= period
    return np.minimum(i, period - i)
