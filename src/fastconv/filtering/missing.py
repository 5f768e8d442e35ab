"""Missing pixels: masked ones and, where NaN do not propagate, NaN; of which pixels the window holds one.

Called by the linear filters (`application.py`) and by those of order (`ordered.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastconv import arguments
from fastconv.execution.memory import empty
from fastconv.filtering import sliding
from fastconv.filtering.blocks import PASS_BYTES, Reach, block, regions
from fastconv.filtering.folding import shortened
from fastconv.typing import Array

NanPolicy = Literal["propagate", "omit", "interpolate"]
Missing = NDArray[np.bool_]


def check_policy(op: str, nan_policy: object) -> NanPolicy:
    return arguments.choice(op, "nan_policy", nan_policy, get_args(NanPolicy))


def missing_pixels(x: Array, nan_policy: NanPolicy) -> Missing | None:
    """Which pixels are missing; None where none can be."""
    missing = np.ma.getmaskarray(x) if isinstance(x, np.ma.MaskedArray) else None
    if nan_policy != "propagate" and x.dtype.kind == "f":
        nan = np.isnan(np.ma.getdata(x))
        missing = nan if missing is None else nan | missing
    return missing


def missing_beyond(reaches: Sequence[Reach], cval: complex, nan_policy: NanPolicy) -> bool:
    """Are the pixels beyond the array missing?"""
    if nan_policy == "propagate" or not np.isnan(cval):
        return False
    return any(each.mode == "zeros" and each.extent for each in reaches)


def boxes_with(
    missing: Missing, reaches: Sequence[Reach], combine: np.ufunc, beyond: bool, shape: Sequence[int]
) -> Missing:
    """Of which pixels of a result of that shape does the box hold a missing one, or nothing else?"""
    for axis, each in enumerate(reaches):
        if missing.shape[axis] == shape[axis]:  # else windows do not lie around the pixels
            each = shortened(shape[axis], each)
        if not each.extent:
            continue
        along = [Reach()] * missing.ndim
        along[axis] = each
        result = empty(
            "filter", (*missing.shape[:axis], shape[axis], *missing.shape[axis + 1 :]), missing.dtype
        )
        for region in regions(result.shape, [other.extent for other in along], 1, PASS_BYTES):
            window = block(missing, along, region, beyond, missing.dtype)
            result[region] = sliding.extrema(window, axis, each.extent + 1, combine)
        missing = result
    return missing if missing.shape == tuple(shape) else np.broadcast_to(missing, shape).copy()
