"""The door to numba: how kernels are compiled, and in what form they take arrays.

Every kernel file of this backend uses it. A kernel is serial, runs without the GIL and sees only flat arrays and
integers, so that there is one compiled version for each dtype, whatever the shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba  # type: ignore[import-untyped]
import numba.extending
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

# Fused multiply-add may be used; NaN, infinity and the order of sums stay as written.
_OPTIONS = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}


def kernel(function: F) -> F:
    """A function that Python calls; compiled at the first call and kept on disk where a folder can be written."""
    try:
        compiled: F = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # "no locator available": neither __pycache__ nor the user's cache folder can be written
        compiled = numba.njit(**_OPTIONS)(function)
    return compiled


def device(function: F) -> F:
    """A function that only kernels call; compiled into each of them."""
    compiled: F = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    return compiled


def intrinsic(function: F) -> F:
    """A function that writes LLVM code."""
    made: F = numba.extending.intrinsic(function)
    return made


def read(array: Array) -> Array:
    """`array`, flat and read-only: numba types read-only arrays apart, so all inputs are made so."""
    view = array.reshape(-1)
    view.flags.writeable = False
    return view


def optional(array: Array | None, dtype: np.dtype[Any]) -> Array:
    """`read`, with an empty array for None: None would be another type and another compilation."""
    return read(np.empty(0, dtype) if array is None else array)


def write(array: Array) -> Array:
    """`array`, flat, to be written to."""
    return array.reshape(-1)


def bits(array: Array) -> Array:
    """`array` as unsigned integers: what only moves elements is compiled once for each size of them."""
    return array.view(np.dtype(f"u{array.dtype.itemsize}"))


def table(values: Any) -> Array:
    """Read-only int64 array of these numbers."""
    return read(np.array(values, np.int64))
