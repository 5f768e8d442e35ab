"""What may come in and go out: array protocols, dtypes, byte order, ``out=`` and overlap.

Every public function passes its arrays through here; no backend ever sees a foreign, byte-swapped or
non-contiguous array, a half-precision one, or an unbatched image. What is computed with is an `ndarray` and nothing
derived from it: whatever a subclass overrides is not called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv.execution.half import HALF, SINGLE, to_floats, to_halves
from fastconv.execution.memory import empty
from fastconv.problem.dtypes import compute_dtype, is_real
from fastconv.problem.layout import batch_shape, check_image, image_sizes, layout_in_memory
from fastconv.typing import Array, ArrayLike, Layout


def as_array(op: str, name: str, value: ArrayLike | None) -> Array:
    """`value` as a NumPy array of a real dtype, without a copy where its protocol allows that."""
    array: Array = value if type(value) is np.ndarray else _from_protocol(op, name, value)
    if is_real(array.dtype):
        return array
    raise TypeError(
        f"{op}: {name} has dtype {array.dtype}, but needs bool, an integer, float16, bfloat16, float32 or float64"
    )


def _from_protocol(op: str, name: str, value: ArrayLike | None) -> Array:
    kind = type(value)  # not `isinstance`, which believes an object's __class__
    if value is None or issubclass(kind, (str, bytes)):
        raise TypeError(f"{op}: {name} is {kind.__name__}, but needs an array")
    array: Array | None = None
    try:
        if not holds_masks(value):
            if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
                array = np.from_dlpack(value)  # type: ignore[arg-type]
            else:
                array = np.asanyarray(value)
    except Exception as error:
        raise TypeError(f"{op}: {name} ({kind.__name__}) cannot be read as an array: {error}") from error
    if array is None or isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{op}: {name} is or holds a masked array, whose mask would be lost; fill it first (x.filled(0))"
        )
    return _plain(array)


def holds_masks(value: Any) -> bool:
    """Is it a sequence with a masked array or value in it, however deep?"""
    if not issubclass(type(value), Sequence) or issubclass(type(value), (str, bytes, bytearray, memoryview)):
        return False
    kinds = set(map(type, value))  # mostly one: numbers need not be looked at one by one
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    return any(issubclass(kind, Sequence) for kind in kinds) and any(map(holds_masks, value))


def _plain(array: Array) -> Array:
    """`array` itself or, of a subclass, what it is below; the memory is the same."""
    return array if type(array) is np.ndarray else np.ndarray.view(array, np.ndarray)


def read_out(op: str, out: Any) -> Array:
    """A user's `out` as a plain array, to be written to."""
    if not issubclass(type(out), np.ndarray):
        raise TypeError(f"{op}: out is {type(out).__name__}, but needs a NumPy array")
    if issubclass(type(out), np.ma.MaskedArray):
        raise TypeError(f"{op}: out is a masked array, whose mask would stay; give its data (out.data)")
    return _plain(out)


def _is_native(array: Array, dtype: DTypeLike) -> bool:
    return array.dtype == dtype and array.flags.c_contiguous and array.flags.aligned


def native(array: Array, dtype: DTypeLike) -> Array:
    """`array` C-contiguous, in native byte order and of `dtype`; itself where it already is."""
    if _is_native(array, dtype):
        return array
    if array.dtype == HALF and dtype == SINGLE:
        return to_floats(array)
    return np.require(array, dtype, ["C", "A"])


def images(op: str, name: str, value: ArrayLike, layout: Layout) -> tuple[Array, bool]:
    """`value` as a batch, and whether it already was one."""
    array = as_array(op, name, value)
    if check_image(op, name, array.shape, layout):
        return array, True
    return array[np.newaxis], False


def as_in_memory(layout: Layout, *arrays: Array) -> tuple[Layout, list[Array]]:
    """Contiguous batches of as many channels each, and their layout, as backends are fastest with them."""
    seen = layout_in_memory(layout, image_sizes(arrays[0].shape, layout)[1])
    return seen, [a.reshape(batch_shape(seen, *image_sizes(a.shape, layout))) for a in arrays]


class Result:
    """The destination of one call: `buffer` is what a backend fills, `value()` what the user gets.

    `inputs` are arrays that the backend reads while it writes.
    """

    def __init__(
        self,
        op: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        out: Array | None,
        *inputs: Array | None,
        batched: bool = True,
    ) -> None:
        self._shape = shape if batched else shape[1:]
        self._dtype, self._out = dtype, out
        self._target: Array | None = None
        compute = compute_dtype(dtype)
        if out is not None:
            self._target = read_out(op, out)
            self._check(op, self._target, inputs)
        # What is computed, the same in the result's dtype, and `out` are one array where that can be.
        computed = None if compute == dtype else empty(op, self._shape, compute)
        if self._target is not None and _is_native(self._target, dtype):
            self._result = self._target
        else:
            self._result = empty(op, self._shape, dtype)
        self._computed = self._result if computed is None else computed
        self.buffer = self._computed.reshape(shape)

    def _check(self, op: str, out: Array, inputs: tuple[Array | None, ...]) -> None:
        if out.shape != self._shape:
            raise ValueError(f"{op}: out has shape {out.shape}, but the result has shape {self._shape}")
        if not is_real(out.dtype) or out.dtype.newbyteorder("=") != self._dtype:
            raise ValueError(f"{op}: out has dtype {out.dtype}, but the result has dtype {self._dtype}")
        if _overlaps_itself(out):
            raise ValueError(
                f"{op}: out holds some elements twice (strides {out.strides}), but needs each once"
            )
        if not out.flags.writeable:
            raise ValueError(f"{op}: out is read-only, but needs to be writeable")
        for array in inputs:
            if array is not None and _overlap(out, array):
                raise ValueError(f"{op}: out overlaps an input in memory, but needs memory of its own")

    def value(self) -> Array:
        if self._computed is not self._result:
            if self._dtype == HALF:
                to_halves(self._computed, self._result)
            else:
                self._result[...] = self._computed
        if self._out is None:
            return self._result
        if self._target is not None and self._target is not self._result:
            self._target[...] = self._result
        return self._out


def _overlaps_itself(out: Array) -> bool:
    if out.flags.c_contiguous:
        return False
    extent = out.itemsize  # of what lies along the axes so far
    for stride, size in sorted(
        (abs(stride), size) for stride, size in zip(out.strides, out.shape, strict=True)
    ):
        if size > 1:
            if stride < extent:
                return True
            extent += (size - 1) * stride
    return False


def _overlap(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
