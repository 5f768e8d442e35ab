"""Where a model comes from: a path, bytes or an open file, as one view of bytes. Called by `load`."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from fastconv.onnx.error import ModelError
from fastconv.onnx.external import Folder, mapped


class Readable(Protocol):
    """An open file, in binary mode."""

    def read(self) -> bytes: ...


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable


def opened(source: Source) -> tuple[memoryview, Folder]:
    """The bytes, and the folder in which they lie."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return memoryview(bytes(source)), Folder(None)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if not isinstance(path, str):
            raise TypeError(f"load: source is the path {path!r}, but needs one of text")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ModelError(f"onnx: {path} is no regular file")
        return mapped(path), Folder(os.path.dirname(os.path.abspath(path)))
    read = getattr(source, "read", None)
    if read is None:
        raise TypeError(f"load: source is {type(source).__name__}, but needs a path, bytes or an open file")
    data = read()
    if not isinstance(data, bytes):
        raise TypeError(
            f"load: source reads {type(data).__name__}, but needs bytes: open the file in binary mode"
        )
    return memoryview(data), Folder(None)
