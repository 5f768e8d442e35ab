"""Memory of results: large ones come from a bounded pool of what earlier results gave back.

Fresh pages cost more than many a convolution. The arrays are ordinary ones that own their data; it returns to the
pool when the last array or view of it is gone. Called by `arrays.py`, for every result that fastconv makes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, SupportsIndex, cast

import numpy as np

from fastconv import backends
from fastconv.settings.cache import choose_cache_size
from fastconv.typing import Array

__all__ = ["clear_cache", "set_cache_size"]


_RECYCLED = 64 << 10  # smaller ones are quick to get from malloc


@cache
def extension() -> Any:
    """The compiled extension, which holds the pool; None where it was not built."""
    try:
        backends.load("cython")
    except backends.BackendUnavailableError:
        return None
    from fastconv.backends.cython import _engine

    return _engine


@cache
def _pool() -> Callable[[tuple[int, ...], Any], Array]:
    engine = extension()
    return np.empty if engine is None else cast(Callable[[tuple[int, ...], Any], Array], engine.recycled)


def allocator(size: int) -> Callable[[tuple[int, ...], Any], Array]:
    """`np.empty`, or for so large a `size` (in bytes) the same from the pool."""
    return np.empty if size < _RECYCLED else _pool()


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
    """Give all memory that is kept for coming results back to the system.

    Results that are still in use are not touched.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.clear_cache()
    """
    engine = extension()
    if engine is not None:
        engine.clear_recycled()
