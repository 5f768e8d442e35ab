"""What calls do at first use, importing and compiling, takes locks that are Python's and numba's: forks wait for them.

A process that forks while one of its threads imports would leave the child with the lock of a module that nobody
releases, and the next import of that module would wait for ever. So every import within a function is made ``with
importing:``, and a fork takes that lock first. A module's own body never takes it: another thread may wait for this
module with the lock in its hands.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol


class _Lock(Protocol):
    """One that its thread may take again: a fork may come from a signal's handler, or from an imported module."""

    def acquire(self) -> object: ...

    def release(self) -> object: ...


class _Forks(threading.local):
    """What each fork that is under way has taken; more than one where a signal's handler forks within a fork."""

    def __init__(self) -> None:
        self.taken: list[list[_Lock]] = []


class _Importing:
    """The lock of imports, which its thread may take again."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def acquire(self) -> bool:
        return self._lock.acquire()

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        _take_part_in_forks()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


importing = _Importing()
# In the order in which they are taken: who imports may compile, and who compiles imports nothing of ours.
_locks: list[_Lock] = [importing]
_forks = _Forks()
_takes_part = False


def forks_wait_for(lock: _Lock) -> None:
    """From now on no process forks while another thread has this lock."""
    _take_part_in_forks()
    _locks.append(lock)


def _take_part_in_forks() -> None:
    """Forks take the locks of those first that registered last. Python's own that do so come before us, lest a fork has
    theirs and waits for ours, while an import that has ours wants theirs; at first use, as they take long to import."""
    global _takes_part
    if _takes_part:
        return
    import concurrent.futures.thread  # noqa: F401  (and with it logging)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_acquire, after_in_parent=_release, after_in_child=_release)
    # Two threads that come at once both register: locks can be taken twice.
    _takes_part = True


def _acquire() -> None:
    taken: list[_Lock] = []
    _forks.taken.append(taken)
    for lock in tuple(_locks):
        lock.acquire()
        taken.append(lock)


def _release() -> None:
    for lock in reversed(_forks.taken.pop()):
        lock.release()
