"""What a measurement gave, with all that is needed to believe it, and its file format (JSON).

Made by `session.py`; read by the tables, the pictures and the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from fastconv.bench.layer import Layer
from fastconv.limits import Limits
from fastconv.typing import Layout, Precision

FORMAT = "fastconv bench 1"


@dataclass(frozen=True)
class Settings:
    """What all rows of a measurement have in common.

    ``mode`` is ``"plan"`` (weights prepared before), ``"call"`` (the function, which prepares them) or
    ``"gradient"`` (of all arguments at once).
    """

    layout: Layout = "NCHW"
    dtype: str = "float32"
    threads: int = 1
    mode: str = "plan"
    precision: Precision = "fast"
    rounds: int = 5
    block: float = 0.012  # seconds that one sample lasts at least
    # Seconds before it, for others' threads to go to sleep: OpenBLAS's spin for 2**26 ticks, about 30 ms.
    idle: float = 0.05


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
        Seconds that the machine's limits allow for the textbook sum; 0 where they are not known.
    error : float
        Largest difference to float64 at some 64 elements, as a fraction of the largest of them.
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
        """Of what the machine's limits allow; above 1 where an algorithm multiplies less than the textbook."""
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

    def best_peers(self) -> dict[tuple[str, Layer], Row]:
        """The fastest peer on each layer, by group and layer; those that no peer has are not in it."""
        best: dict[tuple[str, Layer], Row] = {}
        for row in self.rows:
            key = row.group, row.layer
            if row.peer and (key not in best or row.time < best[key].time):
                best[key] = row
        return best

    def ratios(self) -> dict[Row, float]:
        """The time of each layer's best peer over that of each row: above 1, the row is faster. NaN without a peer."""
        best = self.best_peers()
        peers = ((row, best.get((row.group, row.layer))) for row in self.rows)
        return {row: peer.time / row.time if peer else math.nan for row, peer in peers}

    def total(self, group: str, runner: str) -> float:
        """Seconds for all layers of a network, each as often as it has it; NaN where the runner lacks one."""
        rows = self.of(group, runner)
        if len(rows) < len(self.layers(group)):
            return math.nan
        return sum(row.count * row.time for row in rows)

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
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            content["settings"] = Settings(**content["settings"])
            content["limits"] = content["limits"] and Limits.from_dict(content["limits"])
            content["rows"] = [_row(row) for row in content["rows"]]
            for name, kind in (
                ("scaling", ScalingPoint),
                ("choice", ChoicePoint),
                ("accuracy", AccuracyPoint),
            ):
                content[name] = _points(kind, content[name])
            return cls(**content)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no file of `fastconv bench --json`: {error}") from error


def _row(content: dict[str, Any]) -> Row:
    layer = content.pop("layer")
    shapes = {name: tuple(shape) for name, shape in layer["shapes"].items()}
    options = {name: _tuples(value) for name, value in layer["options"].items()}
    seconds = tuple(map(float, content.pop("seconds")))
    if not seconds or not all(sample > 0 for sample in seconds):
        raise ValueError(f"the times of layer {layer['name']!r} are {seconds}")
    return Row(layer=Layer(**{**layer, "shapes": shapes, "options": options}), seconds=seconds, **content)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _points(kind: Any, content: Iterable[dict[str, Any]]) -> list[Any]:
    return [kind(**point) for point in content]
