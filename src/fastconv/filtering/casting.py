"""Numbers into the dtype of a result, as a C cast does it on x86: SciPy's filters end in one."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.typing import Array


def cast(values: Array, dtype: np.dtype[Any], saturate: bool = False) -> Array:
    """`values` of that dtype: towards zero and wrapped for integers; or rounded and kept within the dtype's range."""
    dtype = dtype.newbyteorder("=")
    if values.dtype == dtype:
        return values
    if dtype.kind not in "biu":
        return values.astype(dtype)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)  # as SciPy, whose filters read everything as such
    with np.errstate(all="ignore"):
        if saturate and dtype.kind != "b":
            info = np.iinfo(dtype)
            wide = values.astype(np.float64, copy=False) if dtype.itemsize > 2 else values
            highest = np.nextafter(float(info.max) + 1, 0) if dtype.itemsize == 8 else info.max
            kept = np.minimum(np.fmax(np.rint(wide), info.min), highest)  # NaN becomes the lowest number
            whole = np.asarray(kept.astype(dtype))
            if dtype.itemsize == 8:  # no float64 is the largest number
                whole = np.where(np.rint(wide) > highest, dtype.type(info.max), whole)
            return whole
        if dtype.kind == "b":
            return np.asarray(values.astype(np.uint8) != 0)
        if dtype == np.uint32:
            return values.astype(np.int64).astype(dtype)
        return values.astype(dtype)
