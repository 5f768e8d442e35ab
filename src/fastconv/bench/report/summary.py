"""Figures of a measurement as a whole, and numbers as text. Called by the tables, the pictures and the report."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fastconv.bench.layers.layer import Layer
from fastconv.bench.measure.results import Results, Row
from fastconv.limits import Limits

ABSENT = "-"
ONE_LAYER = "one layer"  # the group of a call of `fastconv bench` that gives shapes instead of networks


@dataclass(frozen=True)
class Standing:
    """How a backend does against the fastest peer of each layer; `worst` is None where no layer has a peer."""

    runner: str
    mean: float  # geometric, of the ratios
    layers: int
    ahead: int
    worst: Row | None
    worst_ratio: float


@dataclass(frozen=True)
class Sum:
    """All layers of a network by one runner; `ratio` is the time of the peer with the smallest sum over its own."""

    runner: str
    peer: bool
    seconds: float
    ratio: float


def standings(results: Results) -> list[Standing]:
    """Of every backend of fastconv, over all layers that it and a peer have."""
    ratios = results.ratios()
    found = []
    for runner in dict.fromkeys(row.runner for row in results.rows if not row.peer):
        rows = [row for row in results.of(runner=runner) if not math.isnan(ratios[row])]
        worst = min(rows, key=ratios.__getitem__, default=None)
        found.append(
            Standing(
                runner,
                geometric_mean(ratios[row] for row in rows),
                len(rows),
                sum(ratios[row] > 1 for row in rows),
                worst,
                ratios[worst] if worst else math.nan,
            )
        )
    return found


def network_sums(results: Results, group: str) -> list[Sum]:
    """Of every runner that has a layer of the group, fastconv's first."""
    peers = {row.runner: row.peer for row in results.of(group)}
    totals = {runner: results.total(group, runner) for runner in results.runners if runner in peers}
    best = min((t for runner, t in totals.items() if peers[runner] and not math.isnan(t)), default=math.nan)
    return [Sum(runner, peers[runner], seconds, best / seconds) for runner, seconds in totals.items()]


def least(values: Iterable[float]) -> float:
    """The smallest that is a number; NaN where there is none."""
    return min((value for value in values if not math.isnan(value)), default=math.nan)


def geometric_mean(values: Iterable[float]) -> float:
    """NaN where there are none."""
    logarithms = [math.log(value) for value in values]
    return math.exp(math.fsum(logarithms) / len(logarithms)) if logarithms else math.nan


def digits(value: float) -> str:
    """About three significant digits, as in ``1,234``, ``12.3``, ``0.98``."""
    if not math.isfinite(value):
        return ABSENT
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.0995 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.00995 else f"{value:.1g}"


def counted(number: int, what: str) -> str:
    """As in ``1 layer``, ``1,200 layers``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """With its unit, as in ``12.3 ms``."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= 0.9995 * unit:
            return f"{digits(seconds / unit)} {name}"
    return ABSENT if math.isnan(seconds) else f"{digits(1e6 * seconds)} µs"


def rate_text(row: Row) -> str:
    """With its unit, as in ``98.7 GFLOP/s``."""
    return f"{digits(row.rate / 1e9)} {row.unit}"


def share_text(row: Row) -> str:
    """Per cent of the limit; absent where the machine's limits are not known."""
    return f"{100 * row.share:.0f} %" if row.bound > 0 else ABSENT


def error_text(error: float) -> str:
    """As in ``1.2e-07``; zero is exact."""
    return ABSENT if math.isnan(error) else f"{error:.1e}" if error else "0"


def facts(results: Results) -> dict[str, str]:
    """Machine, build, settings, versions, what is missing and what was noticed, each by a name for it."""
    config, settings, build = results.config, results.settings, results.config.get("build", {})
    compiled = ", ".join(_listed(build[key]) for key in ("compiler", "flags") if build.get(key))
    found = {
        "date": results.date,
        "processor": _named(config, "processor", "machine"),
        "instruction set": _listed(build.get("instruction_set", "")),
        "threads": str(settings.threads),
        "fastconv": str(config.get("version", "")),
        "compiled with": compiled,
        "python": str(config.get("python", "")),
        "numpy": _named(config, "numpy", "blas"),
        "environment": ", ".join(f"{name}={value}" for name, value in config.get("environment", {}).items()),
        "layout": f"{settings.layout}, {settings.dtype}",
        "mode": f"{settings.mode}, precision {settings.precision}",
        "timing": (
            f"{settings.rounds} rounds in turns, samples of at least {1000 * settings.block:g} ms, "
            f"{1000 * settings.idle:g} ms of rest before each"
        ),
        "noise": f"{digits(results.noise)}: slowest round over fastest, in the median",
        "limits": _limits(results),
    }
    found |= {f"peer {name}": version for name, version in results.versions.items()}
    found |= {f"missing {name}": reason for name, reason in results.missing.items()}
    return {name: text for name, text in found.items() if text}


def command(results: Results) -> str:
    """The call of ``fastconv bench`` that measures the same."""
    settings = results.settings
    parts = ["fastconv", "bench"]
    if results.groups == [ONE_LAYER]:
        parts += _layer_arguments(results.layers(ONE_LAYER)[0])
    elif results.groups:
        named = [re.fullmatch(r"(?s)(.*?)(?:, batch (\d+))?", group) for group in results.groups]
        found = [(match[1], match[2] or "1") for match in named if match]
        networks, batches = (list(dict.fromkeys(part)) for part in zip(*found, strict=True))
        parts += ["--network", ",".join(networks), "--batch", ",".join(batches)]
    own = dict.fromkeys(row.runner.split()[0] for row in results.rows if not row.peer)
    parts += ["--backends", ",".join(own)] if own else []
    parts += ["--peers", ",".join([*results.versions, *results.missing]) or "none"]
    for name in ("threads", "layout", "dtype", "mode", "precision", "rounds"):
        parts += [f"--{name}", str(getattr(settings, name))]
    return shlex.join([*parts, "--json", "run.json", "--html", "report.html"])


def _layer_arguments(layer: Layer) -> list[str]:
    arguments = [layer.operation]
    given: dict[str, Any] = {
        {"x": "x", "weight": "w"}.get(name, ""): shape for name, shape in layer.shapes.items()
    }
    for name, value in {**given, **layer.options}.items():
        if name:
            arguments += [f"--{name.replace('_', '-')}", _listed(value).replace(" ", "")]
    return arguments


def _limits(results: Results) -> str:
    limits, settings = results.limits, results.settings
    if limits is None:
        return ""
    peak = limits.peak(settings.dtype, settings.threads) / 1e9
    rates = level_rates(limits, settings.threads)
    levels = ", ".join(f"{name} {digits(rate / 1e9)} GB/s" for name, rate in rates.items())
    return f"{limits.isa} {digits(peak)} GFLOP/s; {levels} (noise {digits(limits.noise)})"


def level_rates(limits: Limits, threads: int) -> dict[str, float]:
    """Bytes per second between so many cores and each level of the memory."""
    alone = {level.level: replace(limits, bandwidths=(level,)) for level in limits.bandwidths}
    return {name: level.bandwidth(0, threads) for name, level in alone.items()}


def _named(config: dict[str, Any], name: str, detail: str) -> str:
    text = str(config.get(name, ""))
    return f"{text} ({config[detail]})" if config.get(detail) else text


def _listed(value: Any) -> str:
    return ", ".join(map(_listed, value)) if isinstance(value, (tuple, list)) else str(value)
