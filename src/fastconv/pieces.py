"""Long work of NumPy in pieces. Used by the ``numpy`` backend, and where NumPy does the work of all backends."""

from __future__ import annotations

from collections.abc import Iterator

# Elements of a few arrays of one step: a millisecond of NumPy's work, and few enough for a cache, and for memory that
# the allocator keeps, as fresh pages cost more than the sums.
PIECE = 2**18


def pieces(elements: int, *sizes: int, least: int = 0) -> Iterator[tuple[slice, ...]]:
    """Cut axes of these sizes, with so many elements in all: Python handles signals between NumPy's calls, not within.

    An axis is only cut where one index of those before it is too much. Pieces may have so many as `least`.
    """
    most = max(PIECE, least)
    size, *inner = sizes
    each = -(-elements // max(1, size))
    step = max(1, most // max(1, each))
    for first in range(0, size, step):
        own = slice(first, min(first + step, size))
        if inner and each > most:
            for more in pieces(each, *inner, least=least):
                yield own, *more
        else:
            yield own, *(slice(0, n) for n in inner)
