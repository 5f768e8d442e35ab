"""A file that says which tiles are done, so that a run that was killed goes on where it stopped.

Its first line says what the run is; then there is a line for each tile. A tile gets its line after what was written is
on its way to the disk (`flush`), so that a line is never wrong: at worst some tiles are computed twice.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable
from typing import IO, Any

import numpy as np

from fastconv.graph.graph import Graph, Node, Value


class Journal:
    """Open for one run at a time."""

    def __init__(self, path: str | os.PathLike[str], run: str, tiles: int) -> None:
        header = json.dumps({"fastconv.tiles": 1, "run": run, "tiles": tiles})
        self._file: IO[bytes] = open(path, "a+b")  # noqa: SIM115
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            content = self._file.read()
            whole, _, _ = content.rpartition(b"\n")  # a line that was cut short does not count
            lines = whole.decode(errors="replace").split("\n") if whole else []
            if content and (not lines or lines[0] != header):
                raise ValueError(
                    f"tiles: journal {os.fspath(path)!r} is that of another run, or none: delete it to begin anew"
                )
            self.done = {int(line) for line in lines[1:]}
            self._file.truncate(len(whole) + 1 if lines else 0)
            if not lines:
                self._add([header])
        except BlockingIOError:
            self._file.close()
            raise ValueError(f"tiles: journal {os.fspath(path)!r} is in use by another run") from None
        except BaseException:
            self._file.close()
            raise

    def add(self, tiles: Iterable[int]) -> None:
        self._add(map(str, tiles))

    def _add(self, lines: Iterable[str]) -> None:
        self._file.write("".join(f"{line}\n" for line in lines).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def fingerprint(*parts: Any) -> str:
    """The same for the same run in another process: of the operation with its weights, the shapes and the tiles."""
    digest = hashlib.sha256()
    _feed(digest, parts, {})
    return digest.hexdigest()


def _feed(digest: Any, part: Any, seen: dict[int, int]) -> None:
    """What a part is, in the order in which it is met."""
    if isinstance(part, (Graph, Node, Value)):
        if id(part) in seen:
            digest.update(f"again {seen[id(part)]};".encode())
            return
        seen[id(part)] = len(seen)
        part = [type(part).__name__, *(getattr(part, name) for name in type(part).__slots__)]
    if hasattr(part, "__array__"):  # a tensor, too
        part = np.asarray(part)
    if isinstance(part, np.ndarray):
        digest.update(f"array {part.dtype.str} {part.shape};".encode())
        digest.update(
            part.astype(str).tobytes() if part.dtype.hasobject else np.ascontiguousarray(part).tobytes()
        )
    elif isinstance(part, dict):
        digest.update(f"dict {len(part)};".encode())
        for key, value in part.items():
            _feed(digest, key, seen)
            _feed(digest, value, seen)
    elif isinstance(part, (list, tuple)):
        digest.update(f"list {len(part)};".encode())
        for value in part:
            _feed(digest, value, seen)
    else:
        digest.update(f"{type(part).__name__} {getattr(part, '__qualname__', part)!r};".encode())
