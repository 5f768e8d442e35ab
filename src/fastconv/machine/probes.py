"""Runs the loops of `csrc/base/probe.c`: how often, on how much memory, and what came of it. Called by `limits.py`."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastconv.backends.cython._engine as _engine
from fastconv.backends.cython import INSTRUCTION_SET
from fastconv.machine.roofline import DTYPES
from fastconv.settings.threads import cgroup_folders, read_text

ARITHMETIC, WRITE, READ, COPY = range(4)  # as in fastconv.h
MIB = 1 << 20
# Caches of a thread, where the system does not tell: what nearly every processor has at least.
ASSUMED = {"L1": 32 << 10, "L2": 256 << 10}


class Effort(NamedTuple):
    """Every loop is visited `sweeps` times, so that a busy second does not spoil all of its rounds.

    A round takes `seconds`, less than what a scheduler lets another process run for; a visit has as many of them as fit
    `visit` seconds, but at least 2. No sweep begins after `deadline` seconds.
    """

    sweeps: int
    visit: float
    seconds: float
    memory: int  # the most bytes of a thread's working set in memory
    deadline: float = 6.0


THOROUGH = Effort(sweeps=5, visit=0.018, seconds=0.0015, memory=512 * MIB)
QUICK = Effort(sweeps=1, visit=0.006, seconds=0.001, memory=128 * MIB)


class Probe:
    """One loop on one number of threads, and the rate of each of its rounds, in operations or bytes per second."""

    def __init__(
        self, kind: int, threads: int, size: int = 0, isa: str = INSTRUCTION_SET, dtype: str = "float32"
    ):
        names = [name for name, _ in _engine.instruction_sets()]
        self._key = names.index(isa), DTYPES.index(dtype), kind
        self._threads, self._size = threads, size
        self._pace = 0.0  # repetitions per second, of the fastest round
        self.rates: list[float] = []

    @property
    def best(self) -> float:
        """The limit: whatever else the machine does makes a round slower, never faster."""
        return max(self.rates)

    @property
    def spread(self) -> float:
        """How much longer the median of the rounds took than the best."""
        return self.best / statistics.median(self.rates) - 1

    def run(self, memory: NDArray[Any], stride: int, effort: Effort, like: Probe | None = None) -> None:
        """A few more rounds; thread i works in `memory` from i * `stride` on.

        The first is as long as with the pace of `like`: how long a short one on several threads takes is chance.
        """
        rounds, start = 0, time.monotonic()
        while rounds < 2 or time.monotonic() - start < effort.visit:
            pace = self._pace or (like._pace if like else 0)
            repeats = math.ceil(pace * effort.seconds) or 1
            work, seconds = _engine.probe(*self._key, memory, stride, self._size, repeats, self._threads)
            self._pace = max(self._pace, repeats / max(seconds, 1e-9))
            # One that was far too short does not count; it has at least doubled the pace.
            if 2 * repeats >= self._pace * effort.seconds:
                self.rates.append(work / seconds)
                rounds += 1


class ProbePair(NamedTuple):
    """One loop, measured on one thread and on all."""

    one: Probe
    all: Probe

    def run(self, memory: NDArray[Any], stride: int, effort: Effort) -> None:
        self.one.run(memory, stride, effort)
        self.all.run(memory, stride, effort, like=self.one)


class Level(NamedTuple):
    """A level of memory: bytes that it holds for each thread (0: everything), and the working set that is measured."""

    name: str
    capacity: int
    size: int


class Measured(NamedTuple):
    peaks: dict[tuple[str, str], ProbePair]  # of (instruction set, dtype)
    bandwidths: dict[Level, tuple[ProbePair, ProbePair]]  # reading, copying
    spread: float


def measure(threads: int, effort: Effort, progress: Callable[[str], None]) -> Measured:
    """All probes: those of arithmetic for every instruction set of this processor, the others for the one in use."""
    usable = [name for name, here in _engine.instruction_sets() if here]

    def pair(kind: int, **options: Any) -> ProbePair:
        return ProbePair(Probe(kind, 1, **options), Probe(kind, threads, **options))

    found = levels(caches(threads), effort.memory, free_memory() // (4 * threads))
    peaks = {(isa, dtype): pair(ARITHMETIC, isa=isa, dtype=dtype) for isa in usable for dtype in DTYPES}
    bandwidths = {level: (pair(READ, size=level.size), pair(COPY, size=level.size)) for level in found}
    pairs = [*peaks.values(), *(pair for both in bandwidths.values() for pair in both)]
    stride = found[-1].size
    memory = aligned(threads * stride)
    progress(f"{threads} x {stride // MIB} MiB of memory")
    _engine.probe(0, 0, WRITE, memory, stride, stride, 1, threads)
    start = time.monotonic()
    for sweep in range(effort.sweeps):
        if sweep and time.monotonic() - start > effort.deadline:
            break
        progress(f"sweep {sweep + 1} of {effort.sweeps}")
        for loop in pairs:
            loop.run(memory, stride, effort)
    spread = statistics.median(probe.spread for loop in pairs for probe in loop)
    if found[-2].name == "L3":
        rates = [bandwidths[level][0].one.best for level in found[-2:]]
        held = found[-2]._replace(capacity=reach(found[-2], rates, memory, effort))
        bandwidths = {held if level is found[-2] else level: both for level, both in bandwidths.items()}
    return Measured(peaks, bandwidths, spread)


def reach(level: Level, rates: list[float], memory: NDArray[Any], effort: Effort) -> int:
    """How much of a shared cache one gets: the largest working set still read nearer its rate than memory's.

    Virtual machines report the whole cache of a processor whose other cores belong to strangers.
    """
    size = level.size
    while 2 * size <= min(level.capacity, memory.size):
        probe = Probe(READ, 1, 2 * size)
        probe.run(memory, 0, effort)
        if probe.best < math.sqrt(rates[0] * rates[1]):
            return size
        size *= 2
    return level.capacity


def levels(cache: dict[str, int], most: int, free: int) -> list[Level]:
    """The working sets of a thread, from what it has of each cache: half of L1 and of L2; of L3 too, but 2 to 8 times
    L2. In memory 4 times L3, but from 256 MiB to `most`, and no more than `free`.
    """
    l1, l2, l3 = cache["L1"], cache["L2"], cache.get("L3", 0)
    found = [Level("L1", l1, l1 // 2), Level("L2", l2, l2 // 2)]
    if l3:
        size = max(2 * l2, min(l3 // 2, 8 * l2))
        found.append(Level("L3", max(l3, size), size))
    beyond = max(4 * found[-1].capacity, 256 * MIB)
    found.append(Level("memory", 0, max(min(beyond, most, free), 2 * found[-1].size)))
    return [level._replace(size=level.size // 4096 * 4096) for level in found]


def caches(threads: int, root: Path = Path("/")) -> dict[str, int]:
    """Bytes of data that each level holds for one of so many threads; without "L3" where there is none."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        allowed = {0}
    found = dict(ASSUMED)
    folder = root / f"sys/devices/system/cpu/cpu{min(allowed)}/cache"
    for index in sorted(folder.glob("index*")):
        try:
            texts = [
                (index / name).read_text().strip() for name in ("level", "type", "size", "shared_cpu_list")
            ]
        except OSError:
            continue
        level, kind, size, shared = texts
        if kind != "Instruction" and level in "123" and size.endswith("K"):
            sharers = min(threads, len(allowed.intersection(_numbers(shared))))
            found[f"L{level}"] = int(size[:-1]) * 1024 // max(1, sharers)
    return found


def _numbers(text: str) -> Iterator[int]:
    """The numbers that a list such as 0-3,8 names."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that may be used without harm to others: those that the system and all cgroups have left."""
    free = 1024 * MIB  # where the system does not tell
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    except OSError:
        pass
    names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
    for version, folder in cgroup_folders(root, "memory"):
        try:
            limit, used = (read_text(folder, name).strip() for name in names[version])
        except OSError:
            continue
        if limit != "max":
            free = min(free, int(limit) - int(used))
    return max(free, 0)


def aligned(size: int) -> NDArray[Any]:
    """Bytes from a page's start on, which nobody has touched."""
    memory = np.empty(size + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    return memory[start : start + size]
