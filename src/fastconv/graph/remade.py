"""Constants that passes made of others, and that need not stay in memory once they are packed for kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.typing import Array


class Remade:
    """An array that is made again, of the same bits, where it is asked for after it was let go of.

    Parameters
    ----------
    array : ndarray
    make : callable
        Makes the same.
    """

    __slots__ = ("_array", "_make", "dtype", "nbytes", "shape")

    def __init__(self, array: Array, make: Callable[[], Array]) -> None:
        self._array: Array | None = array
        self._make = make
        self.nbytes, self.shape, self.dtype = array.nbytes, array.shape, array.dtype

    def array(self) -> Array:
        """By whoever comes first; of two threads that come at once, both make it."""
        array = self._array
        if array is None:
            self._array = array = self._make()
        return array

    def forget(self) -> None:
        self._array = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.array(),)


def _itself(array: Array) -> Array:
    return array


def array_of(held: Array | Remade) -> Array:
    return held.array() if isinstance(held, Remade) else held
