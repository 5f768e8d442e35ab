"""Arrays in files, on their way to another process: it gets where they are in place of what they hold."""

from __future__ import annotations

import importlib
import os
from typing import Any, NamedTuple

import numpy as np

from fastconv.first_use import importing


class Mapped(NamedTuple):
    """A part of a memory-mapped file that lies there in one piece."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    def opened(self) -> Any:
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


class Stored(NamedTuple):
    """A data set of an HDF5 file."""

    path: str
    name: str

    def opened(self) -> Any:
        with importing:
            h5py = importlib.import_module("h5py")
        return h5py.File(self.path, "r")[self.name]


def lasting(array: Any) -> Any:
    """What to send of an array: where it is, for memory-mapped files and HDF5's; else itself."""
    file, name = getattr(array, "file", None), getattr(array, "name", None)
    if isinstance(array, np.memmap) and array.flags.c_contiguous and array.filename is not None:
        root = array
        while isinstance(root.base, np.memmap):  # `offset` is that of the mapping, also in a view of it
            root = root.base
        begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
        path = os.path.abspath(array.filename)
        return Mapped(path, array.dtype, root.offset + begin, array.shape)
    if type(array).__module__.startswith("h5py") and file is not None:
        return Stored(os.path.abspath(file.filename), str(name))
    return array
