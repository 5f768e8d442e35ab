"""What may come in and go out: array protocols, dtypes, byte order, ``out=`` and overlap.

Every public function passes its arrays through here; no backend ever sees a foreign, byte-swapped or
non-contiguous array, a half-precision one, or an unbatched image.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.execution.memory import allocator
from fastconv.problem.dtypes import FLOATS, compute_dtype, is_bfloat16
from fastconv.problem.layout import check_image
from fastconv.typing import Array, ArrayLike, Layout


def as_array(op: str, name: str, value: ArrayLike | None) -> Array:
    """`value` as a NumPy array of a real dtype, without a copy where its protocol allows that."""
    if type(value) is not np.ndarray:
        value = _from_protocol(op, name, value)
    dtype = value.dtype
    if dtype in FLOATS or dtype.kind in "biu" or dtype.newbyteorder("=") in FLOATS or is_bfloat16(dtype):
        return value
    raise TypeError(
        f"{op}: {name} has dtype {dtype}, but needs bool, an integer, float16, bfloat16, float32 or float64"
    )


def _from_protocol(op: str, name: str, value: ArrayLike | None) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{op}: {name} is a masked array, whose mask would be lost; fill it first (x.filled(0))"
        )
    if value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} is {type(value).__name__}, but needs an array")
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)  # type: ignore[arg-type]
        return np.asarray(value)
    except Exception as error:
        raise TypeError(
            f"{op}: {name} ({type(value).__name__}) cannot be read as an array: {error}"
        ) from error


def native(array: Array, dtype: DTypeLike) -> Array:
    """`array` C-contiguous, in native byte order and of `dtype`; itself where it already is."""
    if array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, dtype, ["C", "A"])


def images(op: str, name: str, value: ArrayLike, layout: Layout) -> tuple[Array, bool]:
    """`value` as a batch, and whether it already was one."""
    array = as_array(op, name, value)
    if check_image(op, name, array.shape, layout):
        return array, True
    return array[np.newaxis], False


def empty(op: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A new array; too large a one is a `MemoryError` that names the operation and the size."""
    size = math.prod(shape) * dtype.itemsize
    allocate = allocator(size)
    try:
        return allocate(shape, dtype)
    except (MemoryError, ValueError):  # ValueError: more bytes than a pointer can count
        raise MemoryError(f"{op}: the result of shape {shape} needs {size / 2**30:.1f} GiB") from None


class Result:
    """The destination of one call: `buffer` is what a backend fills, `value()` what the user gets."""

    def __init__(
        self,
        op: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        out: Array | None,
        *inputs: Any,
        batched: bool = True,
    ) -> None:
        self._shape = shape if batched else shape[1:]
        self._dtype, self._out = dtype, out
        compute = compute_dtype(dtype)
        if out is not None:
            self._check(op, out, inputs)
            if out.dtype == compute and out.dtype.isnative and out.flags.c_contiguous and out.flags.aligned:
                self.buffer = out.reshape(shape)
                return
        self._own = empty(op, self._shape, compute)
        self.buffer = self._own.reshape(shape)

    def _check(self, op: str, out: Any, inputs: tuple[Any, ...]) -> None:
        if not isinstance(out, np.ndarray):
            raise TypeError(f"{op}: out is {type(out).__name__}, but needs a NumPy array")
        if out.shape != self._shape:
            raise ValueError(f"{op}: out has shape {out.shape}, but the result has shape {self._shape}")
        if out.dtype.newbyteorder("=") != self._dtype:
            raise ValueError(f"{op}: out has dtype {out.dtype}, but the result has dtype {self._dtype}")
        if not out.flags.writeable:
            raise ValueError(f"{op}: out is read-only, but needs to be writeable")
        for array in inputs:
            if isinstance(array, np.ndarray) and _overlap(out, array):
                raise ValueError(f"{op}: out overlaps an input in memory, but needs memory of its own")

    def value(self) -> Array:
        out = self._out
        if out is None:
            return self._own.astype(self._dtype, copy=False)
        if not np.may_share_memory(out, self.buffer):
            out[...] = self.buffer.reshape(self._shape)
        return out


def _overlap(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
