"""What a measurement was made with, and the command that repeats it. Called by the tables, the report and the docs."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

from fastconv.bench.layers.layer import Layer
from fastconv.bench.measure.results import ONE_LAYER, Results
from fastconv.bench.report.text import listed
from fastconv.limits import Limits
from fastconv.text import digits


def facts(results: Results) -> dict[str, str]:
    """Machine, build, settings, versions, what is missing and what was noticed, each by a name for it."""
    config, settings, build = results.config, results.settings, results.config.get("build", {})
    compiled = ", ".join(listed(build[key]) for key in ("compiler", "flags") if build.get(key))
    found = {
        "date": results.date,
        "processor": _named(config, "processor", "machine"),
        "instruction set": listed(build.get("instruction_set", "")),
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
        "beside": f"{settings.neighbours} processes that compute" if settings.neighbours else "",
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
    algorithms = dict.fromkeys(
        name for row in results.rows if not row.peer for name in row.runner.split()[1:]
    )
    parts += ["--algorithms", ",".join(algorithms)] if algorithms else []
    parts += ["--peers", ",".join([*results.versions, *results.missing]) or "none"]
    for name in ("threads", "layout", "dtype", "mode", "precision", "rounds"):
        parts += [f"--{name}", str(getattr(settings, name))]
    parts += ["--busy", str(settings.neighbours)] if settings.neighbours else []
    studies = [name for name in ("choice", "scaling", "accuracy", "threading") if getattr(results, name)]
    parts += ["--studies", ",".join(studies)] if studies else []
    return shlex.join([*parts, "--json", "run.json", "--html", "report.html"])


def _layer_arguments(layer: Layer) -> list[str]:
    arguments = [layer.operation]
    given: dict[str, Any] = {
        {"x": "x", "weight": "w"}.get(name, ""): shape for name, shape in layer.shapes.items()
    }
    for name, value in {**given, **layer.options}.items():
        if name:
            arguments += [f"--{name.replace('_', '-')}", listed(value).replace(" ", "")]
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
