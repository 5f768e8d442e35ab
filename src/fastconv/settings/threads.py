"""How many threads the kernels use: the user's choice, or the cores this process may really use."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextvars import Context
from typing import SupportsIndex

from fastconv.arguments import integer
from fastconv.settings.setting import Setting, Using, Variable

__all__ = ["get_num_threads", "num_threads", "set_num_threads"]

StrPath = str | os.PathLike[str]

MOST_THREADS = 1024  # FC_MOST_THREADS of csrc/fastconv.h


def _check(value: SupportsIndex, source: str) -> int:
    return integer(source, "n", value, 1, MOST_THREADS)


def _parse(text: str, source: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_THREADS:
        raise ValueError(f"{source} is {text!r}, but needs a number of threads from 1 to {MOST_THREADS}")
    return int(text)


def _parse_openmp(text: str, source: str) -> int:
    """The first of a list of numbers, one for each nesting level; more threads than there may be are as many."""
    numbers = [number.strip() for number in text.split(",")]
    if not all(number.isdecimal() and int(number) for number in numbers):
        raise ValueError(
            f"{source} is {text!r}, but OpenMP needs numbers of threads, with commas between them"
        )
    return min(int(numbers[0]), MOST_THREADS)


def available_cores(root: StrPath = "/") -> int:
    """Cores this process may use: its affinity, lowered by a container's CPU quota (cgroup v1 or v2)."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(root))))


def cgroup_folders(root: StrPath, controller: str) -> Iterator[tuple[int, str]]:
    """The version (1 or 2) and folder of every cgroup above this process that may limit it, by `controller`."""
    try:
        lines = read_text(root, "proc/self/cgroup").splitlines()
    except OSError:
        return
    mount = os.path.join(root, "sys/fs/cgroup")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version, base = 2, mount
        elif controller in controllers.split(","):
            version, base = 1, os.path.join(mount, controller)
            if not os.path.exists(base):
                base = os.path.join(mount, controllers)
        else:
            continue
        # A limit may stand at any level; inside a container the path may name levels that are not mounted.
        levels = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(levels) + 1):
            yield version, os.path.join(base, *levels[:depth])


def read_text(folder: StrPath, name: str) -> str:
    with open(os.path.join(folder, name), encoding="utf-8") as file:  # pathlib takes long to import
        return file.read()


def _quota(root: StrPath) -> float:
    """CPUs' worth of time that the cgroups above this process allow; infinity where nothing limits it."""
    limits = [(_quota_v1, _quota_v2)[version - 1](folder) for version, folder in cgroup_folders(root, "cpu")]
    return min(limits, default=math.inf)


def _quota_v2(folder: str) -> float:
    try:
        quota, period = read_text(folder, "cpu.max").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf


def _quota_v1(folder: str) -> float:
    try:
        quota = int(read_text(folder, "cpu.cfs_quota_us"))
        period = int(read_text(folder, "cpu.cfs_period_us"))
        return quota / period if quota > 0 and period > 0 else math.inf
    except (OSError, ValueError):
        return math.inf


THREADS = Setting(
    (Variable("FASTCONV_NUM_THREADS", _parse), Variable("OMP_NUM_THREADS", _parse_openmp, foreign=True)),
    _check,
    lambda: min(available_cores(), MOST_THREADS),
)


class Limit:
    """That of threadpoolctl, and what a call used before."""

    most = lifted_at = MOST_THREADS


LIMIT = Limit()


def threads_of_process() -> int:
    """What a call uses outside of all blocks."""
    return min(Context().run(THREADS.get), LIMIT.most)


def limit_threads(n: int) -> None:
    """No call uses more from now on, also within blocks; as many as there were before the limit lift it."""
    if LIMIT.most == MOST_THREADS:
        LIMIT.lifted_at = threads_of_process()
    LIMIT.most = n if n < LIMIT.lifted_at else MOST_THREADS


def get_num_threads() -> int:
    """Number of threads that the next call in this context may use.

    Returns
    -------
    int
        The value of `num_threads`, else of `set_num_threads`, else of ``FASTCONV_NUM_THREADS``, else of
        ``OMP_NUM_THREADS`` where it can be read, else the cores that this process may use (affinity and container
        limits). Not more than a limit that threadpoolctl has set for fastconv (``user_api="fastconv"``). One that is
        set for OpenMP alone counts for calls whose threads come from OpenMP, but does not show here.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_num_threads() >= 1
    True
    """
    n = THREADS.get()
    return n if n < LIMIT.most else LIMIT.most


def set_num_threads(n: SupportsIndex) -> None:
    """Set the number of threads for the whole process.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an integer, or out of range.

    Examples
    --------
    >>> import fastconv
    >>> before = fastconv.get_num_threads()
    >>> fastconv.set_num_threads(2)
    >>> fastconv.get_num_threads()
    2
    >>> fastconv.set_num_threads(before)
    """
    THREADS.set(n, "set_num_threads")


def num_threads(n: SupportsIndex) -> Using[int]:
    """Use `n` threads within a ``with`` block, in this thread or task only.

    Parameters
    ----------
    n : int
        From 1 to 1024.

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.num_threads(1):
    ...     fastconv.get_num_threads()
    1
    """
    return THREADS.using(n, "num_threads")
