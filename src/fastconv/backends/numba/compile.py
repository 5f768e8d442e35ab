"""The door to numba: how kernels are compiled, and in what form they take arrays.

Every kernel file of this backend uses it. A kernel is serial, runs without the GIL and sees only flat arrays
and numbers, so that there is one compiled version for each dtype, whatever the shapes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numba.extending
import numpy as np
import numpy.ma  # which numba asks for when it sees the first array, outside of its lock
from numba.core.compiler_lock import global_compiler_lock

from fastconv.backends.numba.inlined import InlinedCompiler, for_any_number
from fastconv.first_use import forks_wait_for
from fastconv.typing import Array

F = TypeVar("F", bound=Callable[..., Any])

# A process that forks while one of its threads compiles would leave the child with a lock that nobody releases.
forks_wait_for(global_compiler_lock)

# Fused multiply-add may be used; NaN, infinity and the order of sums stay as written.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
_njit: Any = numba.njit

# An index that cannot be negative. Numba lets negative indices count from the end, and checking for them
# costs more than the work of most inner loops; a slice costs as much as hundreds of sums. So inner loops run
# over unsigned indices into whole arrays. (Mixed with signed ones they would become floats.)
unsigned: Any = np.uintp


def _digest() -> str:
    """Changes with every file of this folder.

    It is part of the kernels' names, because numba's cache watches only the file that a kernel is in, not
    those of the functions that are compiled into it.
    """
    files = sorted(Path(__file__).parent.glob("*.py"))
    return f"{zlib.crc32(b''.join(f.read_bytes() for f in files)):08x}"


_DIGEST = _digest()


def kernel(function: F) -> F:
    """A function that Python calls: compiled at its first call, and kept on disk where that is possible."""
    function.__qualname__ += f"_{_DIGEST}"
    try:
        compiled: F = _njit(cache=True, no_cfunc_wrapper=True, **_OPTIONS)(function)
    except RuntimeError:  # "no locator available": no folder to keep it in
        compiled = _njit(no_cfunc_wrapper=True, **_OPTIONS)(function)
    return compiled


def device(function: F) -> F:
    """A function that only kernels call: compiled into each of them."""
    return _device(function, forceinline=False)


def inner(function: F) -> F:
    """A `device` of so little work that a call, which pushes every number of every array, would cost as much."""
    return _device(function, forceinline=True)


def _device(function: F, **options: bool) -> F:
    compiled = _njit(
        pipeline_class=InlinedCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options, **_OPTIONS
    )(function)
    helper: F = for_any_number(compiled)
    return helper


def intrinsic(function: Callable[..., Any]) -> Any:
    """A function that writes LLVM code."""
    return numba.extending.intrinsic(function)


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
    """Read-only, flat int64 array of these numbers."""
    return read(np.array(values, np.int64))
