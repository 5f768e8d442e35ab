"""Memory of results: large ones come from a bounded pool of what earlier results gave back.

Fresh pages cost more than many a convolution. The arrays are ordinary ones that own their data; it returns to the
pool when the last array or view of it is gone. Called by `arrays.py`, for every result that fastconv makes. One that
memory cannot hold is refused, before any work is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, SupportsIndex, cast

import numpy as np

from fastconv import backends
from fastconv.caches import clear_all, constant
from fastconv.first_use import importing
from fastconv.settings.cache import choose_cache_size
from fastconv.settings.memory import total_memory
from fastconv.typing import Array

__all__ = ["clear_cache", "set_cache_size"]


_RECYCLED = 64 << 10  # smaller ones are quick to get from malloc
_LARGE = 1 << 30  # smaller ones are not compared with what memory there is


@constant
def extension() -> Any:
    """The compiled extension, which holds the pool; None where it was not built."""
    try:
        backends.load("cython")
    except backends.BackendUnavailableError:
        return None
    with importing:
        import fastconv.backends.cython._engine as _engine
    return _engine


@constant
def _pool() -> Callable[[tuple[int, ...], Any], Array]:
    engine = extension()
    return np.empty if engine is None else cast(Callable[[tuple[int, ...], Any], Array], engine.recycled)


def allocator(size: int) -> Callable[[tuple[int, ...], Any], Array]:
    """`np.empty`, or for so large a `size` (in bytes) the same from the pool."""
    return np.empty if size < _RECYCLED else _pool()


def check_memory(
    op: str, shape: tuple[int, ...], itemsize: int, what: str = "the result", held: int = 0
) -> int:
    """The bytes of an array, or of several of one shape; a `MemoryError` where that, with the bytes `held` by what it
    is made of, is more than there is in all.

    A system that promises more memory than it has would let it be made, and end the process when it is filled.
    """
    size = math.prod(shape) * itemsize
    if size >= _LARGE:
        most = total_memory()
        if most is not None and size + held > most:
            beside = f" beside {held / 2**30:.1f} GiB of inputs" if held else ""
            raise MemoryError(
                f"{op}: {what} of shape {shape} needs {size / 2**30:.1f} GiB{beside}, but there are only "
                f"{most / 2**30:.1f} GiB of memory"
            )
    return size


def empty(op: str, shape: tuple[int, ...], dtype: np.dtype[Any], what: str = "the result") -> Array:
    """A new array; too large a one is a `MemoryError` that names the operation and the size."""
    size = check_memory(op, shape, dtype.itemsize, what)
    try:
        return allocator(size)(shape, dtype)
    except MemoryError:
        raise MemoryError(f"{op}: {what} of shape {shape} needs {size / 2**30:.1f} GiB") from None
    except ValueError:  # an empty one too: NumPy counts its elements as if it were not
        raise MemoryError(f"{op}: {what} of shape {shape} is more than an array can hold") from None


class memory_errors:
    """Within it, a `MemoryError` of what is not a result names the operation, too."""

    __slots__ = ("_op",)

    def __init__(self, op: str) -> None:
        self._op = op

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, MemoryError) and not str(error).startswith(self._op):
            raise MemoryError(f"{self._op}: not enough memory for the work: {error}") from None


def set_cache_size(size: SupportsIndex) -> None:
    """Set how many bytes of freed results may be kept for the next ones; 0 keeps none.

    Parameters
    ----------
    size : int
        In bytes, for the whole process. What is kept beyond it is released at once.

    Raises
    ------
    ValueError, TypeError
        If `size` is not an integer from 0 on.

    Examples
    --------
    >>> import fastconv
    >>> before = fastconv.get_cache_size()
    >>> fastconv.set_cache_size(64 * 2**20)
    >>> fastconv.set_cache_size(before)
    """
    limit = choose_cache_size(size, "set_cache_size")
    engine = extension()
    if engine is not None:
        engine.limit_recycling(limit)


def clear_cache() -> None:
    """Give all memory that is kept for coming calls back to the system.

    That is the memory of freed results, and what was worked out for the options and shapes of earlier calls, which the
    next call like them works out again. Results that are still in use are not touched, nor is what a plan holds.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.clear_cache()
    """
    clear_all()
    engine = extension()
    if engine is not None:
        engine.clear_recycled()
