"""Networks in files: arrays in the safetensors format, the structure as JSON in its metadata.

Used by `module.py` and `load.py`.

A file holds 8 bytes with the length of a JSON header, the header, and the arrays. Nothing in it is ever run: what may
be made of a structure are the classes of `fastconv.nn`, and those that the reader names.

References
----------
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.settings.folder import write_whole
from fastconv.typing import Array

_LONGEST_HEADER = 100_000_000
_NAMES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
_WORDS = {np.dtype(kind): word for word, kind in _NAMES.items()}


class FileError(ValueError):
    """A file that is none, or holds what it may not."""


def write(path: str | os.PathLike[str], arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write a file as a whole, or leave what was there.

    Parameters
    ----------
    path : path_like
    arrays : dict of str to ndarray
    metadata : dict of str to str
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    start, parts = 0, []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array)
        plain = plain.astype(plain.dtype.newbyteorder("<"), copy=False).reshape(np.shape(array))
        word = _WORDS.get(plain.dtype.newbyteorder("<"))
        if word is None:
            raise TypeError(f"save: {name} is of dtype {plain.dtype}, which such files do not hold")
        header[name] = {
            "dtype": word,
            "shape": list(plain.shape),
            "data_offsets": [start, start + plain.nbytes],
        }
        start += plain.nbytes
        parts.append(plain)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    start_of_file = [len(text).to_bytes(8, "little"), text]
    write_whole(Path(path), b"".join([*start_of_file, *(plain.tobytes() for plain in parts)]))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Read a file, checking all that it says.

    Parameters
    ----------
    path : path_like

    Returns
    -------
    arrays : dict of str to ndarray
    metadata : dict of str to str

    Raises
    ------
    FileError
        If it is truncated, or no such file.
    """
    data = Path(path).read_bytes()
    if len(data) < 8:
        raise FileError(f"{path}: {len(data)} bytes are no safetensors file")
    length = int.from_bytes(data[:8], "little")
    if length > min(_LONGEST_HEADER, len(data) - 8):
        raise FileError(
            f"{path}: the header would have {length} bytes, but the file has {len(data) - 8} more"
        )
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise FileError(f"{path}: the header is not an object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileError(f"{path}: the metadata are not words")
    body = memoryview(data)[8 + length :]
    return {name: _array(path, name, entry, body) for name, entry in header.items()}, metadata


def _array(path: Any, name: str, entry: Any, body: memoryview) -> Array:
    try:
        kind, shape, (start, stop) = _NAMES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = [*shape, start, stop]
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{path}: the entry of {name!r} is not understood") from None
    if not all(type(size) is int and size >= 0 for size in whole):
        raise FileError(f"{path}: the sizes of {name!r} are {shape} from {start} to {stop}")
    wanted = math.prod(shape) * np.dtype(kind).itemsize
    if not start <= stop <= len(body) or stop - start != wanted:
        raise FileError(
            f"{path}: {name!r} of shape {tuple(shape)} needs {wanted} bytes, but has {start} to {stop} of {len(body)}"
        )
    array: Array = np.frombuffer(body[start:stop], np.dtype(kind)).reshape(shape)
    return array.astype(array.dtype.newbyteorder("="), copy=True)
