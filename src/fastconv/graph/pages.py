"""Memory of weights: what the system may have back of a mapped file once it was read, and where what is made of that
lies."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from fastconv.execution.memory import allocator
from fastconv.graph.graph import Graph
from fastconv.graph.remade import Remade
from fastconv.typing import Array

_ADVICE = getattr(mmap, "MADV_DONTNEED", None)
_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_PRIVATE: dict[str, int] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
)
# Smaller ones are left alone: to tell the system takes longer than they are worth.
_LEAST, PIECE = 64 << 10, 16 << 20


class Blocks:
    """Memory of weights, which lie side by side: a large block has huge pages, and to get as many small ones from the
    system takes longer than to compute what they hold. Each block is larger than the one before, so that little is left
    over; `expected` is how many bytes there may be in all. That of `passing` arrays is not
    kept for results."""

    _FIRST, _LARGEST, _HUGE_PAGE, _LINE, _LEAST_COPY = 1 << 18, 8 << 20, 2 << 20, 64, 1 << 20

    def __init__(self, expected: int, passing: bool = False) -> None:
        self._new = _passing if passing else _bytes
        self._rests: list[Array] = []
        self._copy: Array = np.empty(0, np.uint8)
        self._next = self._FIRST if expected < self._HUGE_PAGE else self._HUGE_PAGE

    def take(self, size: int) -> Array:
        """So many bytes, from a cache line's start on."""
        fits = (place for place, rest in enumerate(self._rests) if len(rest) >= size)
        place = next(fits, None)
        if place is None:
            block, self._next = self._next, min(2 * self._next, self._LARGEST)
            if size >= min(block, self._HUGE_PAGE):
                return self._new(size)
            place = len(self._rests)
            self._rests.append(self._new(block))
        rest = self._rests[place]
        self._rests[place] = rest[-(-size // self._LINE) * self._LINE :]
        return rest[:size]

    def readable(self, array: Array) -> Array:
        """An array where kernels can read it, until the next is asked for: itself, or a copy."""
        if _is_readable(array):
            return array
        if array.nbytes > len(self._copy):
            self._copy = _passing(max(array.nbytes, self._LEAST_COPY))
        copy = self._copy[: array.nbytes].view(array.dtype.newbyteorder("=")).reshape(array.shape)
        _copy_forgetting(array, copy)
        return copy

    def like(self, array: Array) -> Array:
        """Memory for an array of the same shape and dtype, in C order."""
        return self.take(array.nbytes).view(array.dtype.newbyteorder("=")).reshape(array.shape)


def _bytes(size: int) -> Array:
    return allocator(size)((size,), np.uint8)


class _NoFile(mmap.mmap):
    """Memory of no file: what is forgotten of it is lost."""


def _passing(size: int) -> Array:
    """Memory that goes back to the system with the last array in it, and is not kept for results."""
    memory = _NoFile(-1, size, **_PRIVATE)
    if _HUGE_PAGES is not None:
        memory.madvise(_HUGE_PAGES)
    return np.frombuffer(memory, np.uint8)


def constant_bytes(graph: Graph) -> int:
    """Of what the nodes of a graph read, those in its nodes left out."""
    read = {id(value): value for node in graph.nodes for value in node.inputs if value is not None}
    return sum(value.held.nbytes for value in read.values() if value.is_constant)


def forget(held: Array | Remade) -> None:
    """Let the system have the memory of a constant back that can be had again."""
    if isinstance(held, Remade):
        held.forget()
    else:
        forget_pages(held)


def forget_pages(array: Array) -> None:
    """Let the system have the pages of a mapped file back that an array lies in; they are read again when they are
    looked at. Of other arrays nothing is forgotten, nor of small ones."""
    if array.nbytes < _LEAST:
        return
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if not isinstance(owner, mmap.mmap) or isinstance(owner, _NoFile) or _ADVICE is None:
        return
    first = np.frombuffer(owner, np.uint8).__array_interface__["data"][0]
    low, high = np.lib.array_utils.byte_bounds(array)
    start = (low - first) // mmap.PAGESIZE * mmap.PAGESIZE
    owner.madvise(_ADVICE, start, high - first - start)


def aligned(array: Array) -> Array:
    """An array where kernels can read it: itself, or a copy, of which the file's pages are forgotten piece by piece."""
    if _is_readable(array):
        return array
    result = _bytes(array.nbytes).view(array.dtype.newbyteorder("=")).reshape(array.shape)
    _copy_forgetting(array, result)
    return result


def _is_readable(array: Array) -> bool:
    return array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative


def _copy_forgetting(array: Array, result: Array) -> None:
    if not array.ndim:
        result[...] = array
        return
    rows = max(1, PIECE * len(array) // max(array.nbytes, 1))
    for first in range(0, len(array), rows):
        piece = array[first : first + rows]
        result[first : first + rows] = piece
        forget_pages(piece)
