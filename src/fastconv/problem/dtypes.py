"""Which dtype an operation computes in and returns. Used by problems and by those who read arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

FLOATS = frozenset(map(np.dtype, (np.float16, np.float32, np.float64)))


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of it, in whatever byte order, are taken."""
    if dtype.kind == "f":
        return dtype.newbyteorder("=") in FLOATS
    return dtype.kind in "biu" or is_bfloat16(dtype)


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "V" and dtype.name == "bfloat16"  # names of NumPy's own take microseconds


def float_result(*operands: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of an operation that multiplies: integers are promoted together with float32."""
    dtypes = [d.newbyteorder("=") for d in operands]
    if any(d.kind in "biu" for d in dtypes):
        dtypes.append(np.dtype(np.float32))
    try:
        return np.result_type(*dtypes)
    except TypeError:  # float16 with bfloat16: neither holds the other
        return np.dtype(np.float32)


def compute_dtype(result: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that the kernels work in: half precisions are computed in float32."""
    if result == np.float16 or is_bfloat16(result):
        return np.dtype(np.float32)
    return result
