"""What a machine can do at most, as the two sides of a roofline: peaks of arithmetic, and bandwidths.

Filled by `limits.py`, which measures them; its users see the classes there. The roofline is that of S. Williams,
A. Waterman and D. Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52 (2009), 65-76.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike

from fastconv.arguments import choice, integer, number

LEVELS = ("L1", "L2", "L3", "memory")
DTYPES = ("float32", "float64")  # in the order of fastconv.h


@dataclass(frozen=True)
class Bandwidth:
    """How fast one level of memory is read and copied.

    Attributes
    ----------
    level : {"L1", "L2", "L3", "memory"}
    bytes : int
        The working set that was measured, of each thread.
    read_one, read_all : float
        Bytes per second that one thread reads, and all of them together, each in memory of its own.
    copy_one, copy_all : float
        The same for copying one half of the working set to the other: bytes read plus bytes written, with ordinary
        stores. That the processor reads a line of its cache before it is written ("write allocate") is not counted.
    capacity : int
        Bytes of a working set that the level holds, for each thread, where they are more than `bytes`; 0 for memory.
    """

    level: str
    bytes: int
    read_one: float
    read_all: float
    copy_one: float
    copy_all: float
    capacity: int = 0


@dataclass(frozen=True)
class Peak:
    """How fast an instruction set does arithmetic in registers, in floating-point operations per second.

    Attributes
    ----------
    isa : str
        The instruction set, as in ``FASTCONV_ISA``.
    dtype : {"float32", "float64"}
    one, all : float
        Of one thread, and of all of them together. A fused multiply-add counts as two operations. The x86-64
        baseline has none; its multiplications and additions, in equal numbers, count as one each.
    """

    isa: str
    dtype: str
    one: float
    all: float


@dataclass(frozen=True)
class Limits:
    """What a machine can do at most, measured.

    Attributes
    ----------
    processor : str
        Its name.
    version : str
        Of fastconv, whose loops were measured.
    date : str
        In ISO 8601.
    threads : int
        How many "all threads" are.
    isa : str
        The instruction set in use, which is that of `bandwidths`.
    peaks : tuple of Peak
        For every instruction set of the processor, and each dtype.
    bandwidths : tuple of Bandwidth
        From L1 to memory.
    noise : float
        By how much the median round of a loop took longer than its best round, which is the one that counts; of
        all loops the median. On a quiet machine it is a few hundredths.

    Examples
    --------
    >>> from fastconv.limits import Bandwidth, Limits, Peak
    >>> limits = Limits(
    ...     "example", "0.1.0", "2025-01-01T00:00:00+00:00", threads=2, isa="avx2",
    ...     peaks=(Peak("avx2", "float32", one=100e9, all=190e9),),
    ...     bandwidths=(
    ...         Bandwidth("L2", 2**19, read_one=60e9, read_all=120e9, copy_one=50e9, copy_all=90e9, capacity=2**20),
    ...         Bandwidth("memory", 2**28, read_one=10e9, read_all=18e9, copy_one=11e9, copy_all=16e9),
    ...     ),
    ...     noise=0.02,
    ... )
    >>> limits.peak("float32", threads=2) / 1e9
    190.0
    >>> limits.bandwidth(2**26) / 1e9
    11.0
    >>> limits.attainable(flops=1e9, bytes=2**20)  # limited by arithmetic
    0.01
    >>> limits.binding(flops=1e9, bytes=2**20), limits.binding(flops=1e6, bytes=2**20)
    ('arithmetic', 'L2')
    >>> limits.ridge("float32", threads=2)  # FLOPs per byte of memory from which on it is
    10.555555555555555
    """

    processor: str
    version: str
    date: str
    threads: int
    isa: str
    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    noise: float

    def peak(self, dtype: DTypeLike = "float32", threads: SupportsIndex = 1, isa: str | None = None) -> float:
        """Floating-point operations per second.

        Parameters
        ----------
        dtype : {"float32", "float64"} or numpy dtype
        threads : int
            From 1 on. Between one and all of those measured: that many times the peak of one, but no more than that of
            all.
        isa : str, optional
            By default the one in use.

        Raises
        ------
        ValueError, TypeError
            For a dtype or instruction set that was not measured, or a wrong `threads`.
        """
        dtype = choice("peak", "dtype", dtype if isinstance(dtype, str) else np.dtype(dtype).name, DTYPES)
        isa = choice(
            "peak", "isa", self.isa if isa is None else isa, tuple(dict.fromkeys(p.isa for p in self.peaks))
        )
        threads = integer("peak", "threads", threads, 1)
        for peak in self.peaks:
            if (peak.isa, peak.dtype) == (isa, dtype):
                return min(threads * peak.one, peak.all) if threads > 1 else peak.one
        raise ValueError(f"peak: dtype is {dtype!r}, which was not measured for {isa!r}")

    def bandwidth(self, working_set: SupportsIndex, threads: SupportsIndex = 1) -> float:
        """Bytes per second from the smallest level of memory that holds a working set.

        Parameters
        ----------
        working_set : int
            Bytes in all; each thread has an equal share of them, and L1 and L2 of its own. L3 is that of all threads
            that were measured, however few use it.
        threads : int
            As for `peak`.

        Returns
        -------
        float
            The higher of the rates of reading and copying: an operation does both, in a proportion of its own, and a
            limit must not be below what is possible.

        Raises
        ------
        ValueError, TypeError
            If `working_set` is negative or `threads` is below 1, or one of them is not an integer.
        """
        working_set = integer("bandwidth", "working_set", working_set, 0, most=2**62)
        threads = integer("bandwidth", "threads", threads, 1)
        level = self._level(working_set, threads)
        one, everyone = max(level.read_one, level.copy_one), max(level.read_all, level.copy_all)
        return min(threads * one, everyone) if threads > 1 else one

    def _level(self, working_set: int, threads: int) -> Bandwidth:
        """The smallest level that holds it."""
        own = working_set / min(threads, self.threads)
        # Few threads have the shares of L3 of all.
        share = working_set / self.threads
        return next(
            (b for b in self.bandwidths if (share if b.level == "L3" else own) <= max(b.bytes, b.capacity)),
            self.bandwidths[-1],
        )

    def attainable(
        self, flops: float, bytes: float, dtype: DTypeLike = "float32", threads: SupportsIndex = 1
    ) -> float:
        """Seconds that the roofline allows for an operation: the longer of arithmetic and of moving its data.

        Parameters
        ----------
        flops : float
            Floating-point operations.
        bytes : float
            What has to be read or written at least, each byte once. So it is the working set, too: data that fits a
            cache is taken to be there.
        dtype, threads
            As for `peak`.

        Raises
        ------
        ValueError, TypeError
            If `flops` or `bytes` is negative, or for a wrong dtype or number of threads.
        """
        return max(self._seconds("attainable", flops, bytes, dtype, threads))

    def binding(
        self, flops: float, bytes: float, dtype: DTypeLike = "float32", threads: SupportsIndex = 1
    ) -> str:
        """Which side of the roofline `attainable` is: arithmetic, or the level of memory that holds the data.

        Parameters
        ----------
        flops, bytes, dtype, threads
            As for `attainable`.

        Returns
        -------
        {"arithmetic", "L1", "L2", "L3", "memory"}

        Raises
        ------
        ValueError, TypeError
            As for `attainable`.
        """
        arithmetic, moving = self._seconds("binding", flops, bytes, dtype, threads)
        return "arithmetic" if arithmetic >= moving else self._level(math.ceil(bytes), int(threads)).level

    def _seconds(
        self, where: str, flops: float, bytes: float, dtype: DTypeLike, threads: SupportsIndex
    ) -> tuple[float, float]:
        """What arithmetic takes at least, and moving the data."""
        for name, value in (("flops", flops), ("bytes", bytes)):
            if not 0 <= number(where, name, value) < math.inf:
                raise ValueError(f"{where}: {name} is {value!r}, but needs a finite number from 0 on")
        rate = self.bandwidth(math.ceil(bytes), threads)
        return flops / self.peak(dtype, threads), bytes / rate

    def ridge(self, dtype: DTypeLike = "float32", threads: SupportsIndex = 1) -> float:
        """FLOPs per byte of memory from which on arithmetic is the limit, and below which bandwidth is.

        Parameters
        ----------
        dtype, threads
            As for `peak`.
        """
        memory = dataclasses.replace(self, bandwidths=self.bandwidths[-1:])
        return self.peak(dtype, threads) / memory.bandwidth(0, threads)

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON knows; `from_dict` is the way back."""
        fields = dataclasses.asdict(self)
        return fields | {name: list(fields[name]) for name in ("peaks", "bandwidths")}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Limits:
        """Limits from what `to_dict` gave.

        Parameters
        ----------
        fields : dict

        Raises
        ------
        ValueError, TypeError
            If something is missing, of another kind, or not a number that can have been measured.
        """
        limits: Limits = _read(cls, fields)
        if not isinstance(limits.peaks, list) or not isinstance(limits.bandwidths, list):
            raise TypeError("from_dict: peaks and bandwidths need to be lists")
        peaks = tuple(_read(Peak, peak) for peak in limits.peaks)
        bandwidths = tuple(_read(Bandwidth, bandwidth) for bandwidth in limits.bandwidths)
        if [b.level for b in bandwidths] != [
            level for level in LEVELS if level in {b.level for b in bandwidths}
        ]:
            raise ValueError(f"from_dict: bandwidths needs levels in the order of {', '.join(LEVELS)}")
        if not any(peak.isa == limits.isa for peak in peaks) or not bandwidths:
            raise ValueError(f"from_dict: peaks of {limits.isa!r} and bandwidths are needed")
        return dataclasses.replace(limits, peaks=peaks, bandwidths=bandwidths)


def _read(kind: type[Any], fields: object) -> Any:
    """A dataclass from a dictionary of its fields, which are checked."""
    if not isinstance(fields, dict):
        raise TypeError(f"from_dict: {kind.__name__} is {fields!r}, but needs a dictionary")
    known = {field.name: field.type for field in dataclasses.fields(kind)}
    if fields.keys() != known.keys():
        raise ValueError(
            f"from_dict: {kind.__name__} needs {', '.join(known)}, got {', '.join(map(str, fields))}"
        )
    least = {"threads": 1, "bytes": 1, "capacity": 0, "noise": 0}
    values: dict[str, Any] = fields
    for name, value in values.items():
        if known[name] == "int":
            integer("from_dict", name, value, least[name], most=2**62)
        elif known[name] == "str":
            if not isinstance(value, str) or not value.isprintable():
                raise TypeError(f"from_dict: {name} is {value!r}, but needs a string that can be printed")
        elif known[name] == "float" and not least.get(name, 1) <= number("from_dict", name, value) < math.inf:
            raise ValueError(
                f"from_dict: {name} is {value!r}, but needs a rate of 1 per second or more, or a noise from 0 on"
            )
    return kind(**values)
