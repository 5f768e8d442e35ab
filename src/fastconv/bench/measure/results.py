"""What a measurement gave, with all that is needed to believe it, and its file format (JSON).

Made by `session.py`; read by the report.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.reading import load_json, read, sentence
from fastconv.limits import Limits

FORMAT = "fastconv bench 1"
ONE_LAYER = "one layer"  # the group of a call of `fastconv bench` that gives shapes instead of networks


@dataclass(frozen=True)
class Row:
    """One layer by one runner.

    Parameters
    ----------
    group : str
        The network, or other set of layers.
    layer : Layer
    count : int
        How often the network has it.
    runner : str
        As in ``"cython"``, ``"onnxruntime"``, ``"pytorch channels_last"``.
    peer : bool
        Whether it is not a backend of fastconv.
    detail : str
        The algorithm, where it is known.
    seconds : tuple of float
        Of one call; a sample for each round.
    flops, bytes : int
        The work: textbook multiplications and additions, and every array once.
    bound : float
        Seconds that the machine's limits allow for `operations` and for moving `moved`; 0 where they are not known.
    error : float
        Largest difference to float64 at some 64 elements, as a fraction of the largest of them.
    operations : int
        Multiplications and additions of the algorithm's sums of products, where it is known; else `flops`.
    moved : int
        Bytes of `bytes`, with the weights in the form in which they were prepared, where that is known.
    limit : str
        Which of both the bound is: ``"arithmetic"``, or the level of memory that holds the data, such as ``"L2"``.
    """

    group: str
    layer: Layer
    count: int
    runner: str
    peer: bool
    detail: str
    seconds: tuple[float, ...]
    flops: int
    bytes: int
    bound: float
    error: float
    operations: int = 0
    moved: int = 0
    limit: str = ""

    @property
    def time(self) -> float:
        """Median seconds of one call."""
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """The slowest round over the fastest."""
        return max(self.seconds) / min(self.seconds)

    @property
    def rate(self) -> float:
        """Flop/s; for layers without, byte/s."""
        return (self.flops or self.bytes) / self.time

    @property
    def unit(self) -> str:
        """Of `rate`, in billions."""
        return "GFLOP/s" if self.flops else "GB/s"

    @property
    def share(self) -> float:
        """Of what the machine's limits allow; above 1 where an unknown algorithm multiplies less than the textbook."""
        return self.bound / self.time


@dataclass(frozen=True)
class ScalingPoint:
    """A layer on some of the threads."""

    layer: str
    runner: str
    threads: int
    seconds: float


@dataclass(frozen=True)
class ChoicePoint:
    """The algorithm that a backend takes for a convolution of `channels` to `channels`."""

    kernel: int
    channels: int
    size: int
    algorithm: str


@dataclass(frozen=True)
class AccuracyPoint:
    """One algorithm on one layer; `error` is the root mean square to float64 over that of the results."""

    layer: str
    algorithm: str
    seconds: float
    flops: int
    error: float


@dataclass(frozen=True)
class ThreadingPoint:
    """A layer with threads of the pool or of OpenMP, in a situation of `measure/threading.py`."""

    situation: str
    layer: str
    threading: str
    threads: int
    seconds: float


@dataclass
class Results:
    """A whole measurement."""

    date: str  # ISO 8601
    config: dict[str, Any]  # `fastconv.config.build_config()`
    settings: Settings
    limits: Limits | None
    versions: dict[str, str] = field(default_factory=dict)  # of the peers
    missing: dict[str, str] = field(default_factory=dict)  # peers that did not run, and why
    warnings: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    scaling: list[ScalingPoint] = field(default_factory=list)
    choice: list[ChoicePoint] = field(default_factory=list)
    accuracy: list[AccuracyPoint] = field(default_factory=list)
    threading: list[ThreadingPoint] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """In the order of their first rows."""
        return list(dict.fromkeys(row.group for row in self.rows))

    @property
    def runners(self) -> list[str]:
        """fastconv's first, then the peers."""
        return list(dict.fromkeys(row.runner for row in sorted(self.rows, key=lambda row: row.peer)))

    def of(self, group: str | None = None, runner: str | None = None) -> list[Row]:
        """The rows of a group, of a runner, or of both."""
        return [
            row
            for row in self.rows
            if (group is None or row.group == group) and (runner is None or row.runner == runner)
        ]

    def layers(self, group: str) -> list[Layer]:
        """Those of a group, in the order of their first rows."""
        return list(dict.fromkeys(row.layer for row in self.of(group)))

    @property
    def noise(self) -> float:
        """Median over the rows of the slowest round over the fastest: 1 on a quiet machine."""
        return median(row.spread for row in self.rows) if self.rows else 1.0

    def save(self, path: Path) -> None:
        """Write as JSON, a line for each row."""
        content = {"format": FORMAT, **asdict(self), "limits": self.limits and self.limits.to_dict()}
        lists = [name for name, value in content.items() if isinstance(value, list)]
        parts = [f"{json.dumps(name)}: {json.dumps(content[name])}" for name in content if name not in lists]
        for name in lists:
            items = ",\n".join(map(json.dumps, content[name]))
            parts.append(f"{json.dumps(name)}: [\n{items}\n]" if items else f"{json.dumps(name)}: []")
        path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is something else.
        """
        try:
            content = load_json(path)
            if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
                raise ValueError("another format")
            limits = content.pop("limits", None)
            results = read(cls, {**content, "limits": None})
            if limits is not None:
                results.limits = Limits.from_dict(limits)
                results.limits.peak(results.settings.dtype, results.settings.threads)  # there is one
            results._check()
            return results
        except (TypeError, ValueError) as error:
            raise ValueError(sentence(path, error)) from error

    def _check(self) -> None:
        """Refuse what no measurement gives, though its types are right."""
        for name in ("build", "environment"):
            if not isinstance(self.config.get(name, {}), dict):
                raise ValueError(f"config.{name} is {self.config[name]!r}, but needs names and values")
        seen = set()
        for row in self.rows:
            if not (row.group.strip() and row.runner.strip() and row.layer.name.strip()):
                raise ValueError("a group, a layer or a runner has no name")
            if not row.seconds:
                raise ValueError(f"layer {row.layer.name!r} has no times")
            key = row.group, row.layer, row.runner
            if key in seen:
                raise ValueError(
                    f"layer {row.layer.name!r} of {row.group!r} by {row.runner!r} is there twice"
                )
            seen.add(key)
        both = {row.runner for row in self.rows if row.peer} & {
            row.runner for row in self.rows if not row.peer
        }
        if both:
            raise ValueError(f"{min(both)!r} is a backend of fastconv and another library")
