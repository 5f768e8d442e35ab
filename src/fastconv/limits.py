"""Placeholder until the probes are merged."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Bandwidth:
    level: str
    bytes: int
    read_one: float
    read_all: float
    copy_one: float
    copy_all: float


@dataclass(frozen=True)
class Peak:
    isa: str
    dtype: str
    one: float
    all: float


@dataclass(frozen=True)
class Limits:
    processor: str
    version: str
    date: str
    threads: int
    isa: str
    peaks: tuple[Peak, ...]
    bandwidths: tuple[Bandwidth, ...]
    noise: float

    def peak(self, dtype: str = "float32", threads: int = 1, isa: str | None = None) -> float:
        found = next(p for p in self.peaks if (p.dtype, p.isa) == (dtype, isa or self.isa))
        return min(threads * found.one, found.all)

    def bandwidth(self, working_set: int, threads: int = 1) -> float:
        level = next((b for b in self.bandwidths if working_set <= threads * b.bytes), self.bandwidths[-1])
        return min(threads * level.copy_one, level.copy_all)

    def attainable(self, flops: float, bytes: float, dtype: str = "float32", threads: int = 1) -> float:
        return max(flops / self.peak(dtype, threads), bytes / self.bandwidth(int(bytes), threads))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Limits:
        rest = {k: v for k, v in content.items() if k not in ("peaks", "bandwidths")}
        peaks = tuple(Peak(**p) for p in content["peaks"])
        return cls(**rest, peaks=peaks, bandwidths=tuple(Bandwidth(**b) for b in content["bandwidths"]))
