"""Tensors' data in files beside the model's. Called by `tensors.py`.

The names come from the model, so from anybody: only regular files within the model's own folder are opened, symbolic
links followed first.
"""

from __future__ import annotations

import mmap
import os
import stat

from fastconv.first_use import importing
from fastconv.onnx.error import Path, model_error
from fastconv.onnx.wire import Record


def mapped(path: str) -> memoryview:
    """A regular file's bytes, read when they are looked at."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no regular file")
        if status.st_size == 0:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


class Folder:
    """Where a model lies; None where it came as bytes, and can have no files beside it."""

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else os.path.realpath(folder)
        self._files: dict[str, memoryview] = {}

    def data(self, tensor: Record, path: Path | None) -> memoryview:
        """The bytes that a tensor's `external_data` names."""
        at = tensor["@"]
        entries = {entry.get("key", ""): entry.get("value", "") for entry in tensor.get("external_data", ())}
        location = entries.get("location", "")
        if self._folder is None:
            raise model_error(
                f"its data are in the file {location!r}, but the model came as bytes: load it by its path",
                path,
                at,
            )
        file = self._open(location, path, at)
        offset = _number(entries, "offset", 0, path, at)
        length = _number(entries, "length", max(len(file) - offset, 0), path, at)
        if offset + length > len(file):
            raise model_error(
                f"bytes {offset} to {offset + length} of {location!r}, which has {len(file)}", path, at
            )
        return file[offset : offset + length]

    def _open(self, location: str, path: Path | None, at: int) -> memoryview:
        assert self._folder is not None
        known = self._files.get(location)
        if known is not None:
            return known
        with importing:  # not at the top: it takes long, and few files need it
            from pathlib import PurePosixPath, PureWindowsPath
        named = PurePosixPath(location), PureWindowsPath(location)
        if not location or "\0" in location or any(p.anchor or ".." in p.parts for p in named):
            raise model_error(
                f"its data are in {location!r}, which is not within the model's folder", path, at
            )
        real = os.path.realpath(os.path.join(self._folder, location))
        if os.path.commonpath([real, self._folder]) != self._folder:
            raise model_error(
                f"its data are in {location!r}, which leads out of the model's folder", path, at
            )
        try:
            if not stat.S_ISREG(os.stat(real).st_mode):  # before it is opened: a pipe would wait
                raise model_error(f"its data are in {location!r}, which is no regular file", path, at)
            file = self._files[location] = mapped(real)
        except OSError as error:
            raise model_error(f"its data are in {location!r}: {error.strerror or error}", path, at) from error
        return file


def _number(entries: dict[str, str], key: str, default: int, path: Path | None, at: int) -> int:
    value = entries.get(key)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise model_error(f"{key} of its data is {value[:40]!r}, but needs a number of bytes", path, at)
    return int(value)
