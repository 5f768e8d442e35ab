"""The tuning file: where it is, what is in it, and how several processes add to it at once.

Readers take the file as it is, since it is always written whole. Who writes holds a lock, in a file beside it, from
before the file is read until after it is written: so no entry is lost, and of two processes that want to measure the
same problem the second one finds the answer of the first.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastconv.caches import kept
from fastconv.settings.folder import kept_file, write_whole
from fastconv.settings.warning import warn_once
from fastconv.tuning.entries import MOST_BYTES, Content, Entries, Machine, as_text, from_text

VARIABLE = "FASTCONV_TUNING"
PATIENCE = 300.0  # seconds to wait for others: dozens of processes may measure one after the other
DAMAGED = ".damaged"  # what is added to the name of a file that cannot be read, before a new one is written


class NotKept(Exception):
    """Nothing can be added to the file; the message says why."""


class ReadOnly(NotKept):
    """The file is not to be written."""


def location() -> Path:
    """Where tuned kernels are kept."""
    text = os.environ.get(VARIABLE, "").strip()
    # The file that a link leads to is written, not the link.
    return Path(os.path.realpath(os.path.expanduser(text) if text else kept_file("tuning.json")))


def read(path: Path, machine: Machine | None = None) -> Entries:
    """The entries of a file that need not be there.

    One warning says how many count for nothing: those that are malformed, and those of another machine than `machine`.
    """
    try:
        content = load(path)
    except (OSError, ValueError) as error:
        _warn_unreadable(path, error)
        return {}
    warn_of(path, content, machine)
    return content.entries


def load(path: Path) -> Content:
    """All of a file; one that is not there has no entries.

    Raises
    ------
    ValueError
        If it is no tuning file.
    OSError
        If it cannot be read.
    """
    try:
        at = path.stat()
    except FileNotFoundError:
        return Content({}, 0)
    if not path.is_file():
        return Content({}, 0)  # /dev/null, say
    return _content(path, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns)


@kept(8)
def _content(path: Path, device: int, node: int, size: int, time: int) -> Content:
    """What a file holds, read once for each time that it was written."""
    if size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
    return from_text(path.read_bytes())


def warn_of(path: Path, content: Content, machine: Machine | None) -> None:
    foreign = sum(machine is not None and entry.machine != machine for entry in content.entries.values())
    parts = []
    if content.malformed:
        parts.append(f"{content.malformed} malformed")
    if foreign:
        parts.append(f"{foreign} of another processor, instruction set or version of fastconv")
    if parts:  # without the number of those that count, which grows: the warning is to come once
        warn_once(f"entries of the tuning file {path} are ignored: {', '.join(parts)}", RuntimeWarning)


def _warn_unreadable(path: Path, error: Exception) -> None:
    reason = error.strerror if isinstance(error, OSError) else error
    warn_once(f"the tuning file {path} is ignored: {reason}", RuntimeWarning)


@contextmanager
def writing(path: Path) -> Iterator[Entries]:
    """Within it, the entries of the file are this process's to change; they are written at its end.

    Raises
    ------
    NotKept
        At its beginning, if that cannot be; at its end, if the disk is full, say.
    """
    _check_writable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise NotKept(f"{path} cannot be written ({error.strerror})") from None
    try:
        _wait_for(lock, path)
        try:
            yield from _changed(path)
        finally:
            # Closing would not do: a child that was forked meanwhile has the file open, too.
            fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def _changed(path: Path) -> Iterator[Entries]:
    damaged = False
    try:
        before, malformed = load(path)
    except ValueError as error:
        _warn_unreadable(path, error)
        before, malformed, damaged = {}, 0, True
    except OSError as error:
        raise NotKept(f"{path} cannot be read ({error.strerror})") from None
    entries = dict(before)
    yield entries
    if entries == before and not malformed and not damaged:
        return
    try:
        if damaged:  # whatever it was, it is not ours to lose
            path.replace(path.with_name(path.name + DAMAGED))
        write_whole(path, as_text(entries))
    except OSError as error:
        raise NotKept(f"{path} cannot be written ({error.strerror})") from None


def _check_writable(path: Path) -> None:
    """A file that nobody may write stays as it is, though its folder would allow to put another in its place."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not path.is_file():
        raise NotKept(f"{path} is no ordinary file")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise ReadOnly(f"{path} is read-only")


def _wait_for(lock: int, path: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise NotKept(f"{path} is locked by another process") from None
            time.sleep(0.005)
        except OSError as error:
            raise NotKept(f"{path} cannot be locked ({error.strerror})") from None
