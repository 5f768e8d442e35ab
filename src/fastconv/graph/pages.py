"""Memory of weights: what the system may have back of a mapped file once it was read, and where what is made of that
lies."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from fastconv.execution.memory import allocator
from fastconv.graph.graph import Graph
from fastconv.typing import Array

_ADVICE = getattr(mmap, "MADV_DONTNEED", None)
# Smaller ones are left alone: to tell the system takes longer than they are worth.
_LEAST, _PIECE = 64 << 10, 16 << 20


class Blocks:
    """Memory of weights, which lie side by side: a large block has huge pages, and to get as many small ones from the
    system takes longer than to compute what they hold. Each block is larger than the one before, so that little is left
    over; `expected` is how many bytes there may be in all."""

    _FIRST, _LARGEST, _HUGE_PAGE, _LINE = 1 << 18, 8 << 20, 2 << 20, 64

    def __init__(self, expected: int) -> None:
        self._rest: Array = np.empty(0, np.uint8)
        self._next = self._FIRST if expected < self._HUGE_PAGE else self._HUGE_PAGE

    def take(self, size: int) -> Array:
        """So many bytes, from a cache line's start on."""
        if size > len(self._rest):
            block, self._next = self._next, min(2 * self._next, self._LARGEST)
            if size >= min(block, self._HUGE_PAGE):
                return _bytes(size)
            self._rest = _bytes(block)
        taken, self._rest = self._rest[:size], self._rest[-(-size // self._LINE) * self._LINE :]
        return taken

    def like(self, array: Array) -> Array:
        """Memory for an array of the same shape and dtype, in C order."""
        return self.take(array.nbytes).view(array.dtype.newbyteorder("=")).reshape(array.shape)


def _bytes(size: int) -> Array:
    return allocator(size)((size,), np.uint8)


def constant_bytes(graph: Graph) -> int:
    """Of what the nodes of a graph read, those in its nodes left out."""
    read = {id(value): value for node in graph.nodes for value in node.inputs if value is not None}
    return sum(value.constant.nbytes for value in read.values() if value.is_constant)


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
    if not isinstance(owner, mmap.mmap) or _ADVICE is None:
        return
    first = np.frombuffer(owner, np.uint8).__array_interface__["data"][0]
    low, high = np.lib.array_utils.byte_bounds(array)
    start = (low - first) // mmap.PAGESIZE * mmap.PAGESIZE
    owner.madvise(_ADVICE, start, high - first - start)


def aligned(array: Array) -> Array:
    """An array where kernels can read it: itself, or a copy, of which the file's pages are forgotten piece by piece."""
    if array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative:
        return array
    result = _bytes(array.nbytes).view(array.dtype.newbyteorder("=")).reshape(array.shape)
    rows = max(1, _PIECE * len(array) // max(array.nbytes, 1)) if array.ndim else 1
    if not array.ndim:
        result[...] = array
        return result
    for first in range(0, len(array), rows):
        piece = array[first : first + rows]
        result[first : first + rows] = piece
        forget_pages(piece)
    return result
