"""Memory of arrays that lie in mapped files: what the system may have back once they were read."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np

from fastconv.typing import Array

_ADVICE = getattr(mmap, "MADV_DONTNEED", None)
# Smaller ones are left alone: to tell the system takes longer than they are worth.
_LEAST, _PIECE = 64 << 10, 16 << 20


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
    result = np.empty(array.shape, array.dtype.newbyteorder("="))
    rows = max(1, _PIECE * len(array) // max(array.nbytes, 1)) if array.ndim else 1
    if not array.ndim:
        result[...] = array
        return result
    for first in range(0, len(array), rows):
        piece = array[first : first + rows]
        result[first : first + rows] = piece
        forget_pages(piece)
    return result
