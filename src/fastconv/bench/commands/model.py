"""``fastconv bench --model``: a whole network beside the libraries that read ONNX files.

Each runs in a process of its own, which is stopped while another is timed: threads that spin would slow the others.
Called by `fastconv.cli`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

import fastconv
from fastconv import backends
from fastconv.bench.commands.arguments import chosen_peers
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.timer import side_by_side
from fastconv.bench.oracle.check import AGREEMENT
from fastconv.bench.runners.apart import ApartRunner
from fastconv.bench.runners.models import libraries, own_runner
from fastconv.bench.runners.models.network import Found, ModelFile
from fastconv.bench.runners.peers import PEERS
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.commands.error import CommandError
from fastconv.commands.files import check_target, writing
from fastconv.commands.model_file import input_shapes, open_model, random_inputs
from fastconv.commands.printable import printable
from fastconv.machine.processor import processor_name
from fastconv.text import ABSENT, byte_text, counted, digits, duration, shape_text, table_lines

# What says which layers, or how layers are measured, and their default.
OF_LAYERS: dict[str, Any] = {
    "operation": None, "x": None, "w": None, "network": None, "batch": None, "algorithms": None, "layout": "NCHW",
    "dtype": "float32", "precision": "fast", "mode": "plan", "busy": 0, "html": None, "pictures": None,
    "markdown": None, "studies": (), "load": None, "compare": None,
}  # fmt: skip
# The columns of the table.
_TERMS = (
    (
        "time",
        "median of the rounds; each runner in a process of its own, in turns, stopped while another runs",
    ),
    ("slowest", "the slowest round over the median"),
    ("peer", "time of the fastest other library over this one: above 1, this one is faster"),
    ("load", "from the file to the first result"),
    ("peak memory", "what the process had at most beyond what it had before it opened the file"),
)


@dataclass(frozen=True)
class Row:
    """A runner's measurement; `difference` is the largest one to the reference's outputs, as a fraction of theirs."""

    runner: str
    peer: bool
    seconds: tuple[float, ...]
    load_seconds: float
    peak_bytes: int
    difference: float | None

    @property
    def time(self) -> float:
        return median(self.seconds)


def run_model_bench(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Returns
    -------
    int
        0, or 1 where fastconv's outputs are not those of another library.

    Raises
    ------
    CommandError
        If the model cannot be read, or an argument is not for networks.
    """
    for name, default in OF_LAYERS.items():
        if getattr(arguments, name) != default:
            raise CommandError(f"--model measures a whole network: {name} is not for it")
    if arguments.json:
        check_target("--json", arguments.json)
    names = chosen_backends(arguments)
    model = open_model(arguments.model, names[0])
    arrays = random_inputs(model, input_shapes(model, arguments.shape))
    settings = Settings(threads=arguments.threads or fastconv.get_num_threads(), rounds=arguments.rounds)
    peers, versions, missing = libraries(chosen_peers(arguments, PEERS))
    runners = [*map(own_runner, names), *peers]
    try:
        path = str(arguments.model.resolve())
        rows, reference = measured(
            runners, names, path, lambda name: ModelFile(path, name), arrays, settings, missing
        )
    finally:
        for runner in runners:
            runner.end()
    told = {
        "model": str(arguments.model),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "threads": settings.threads,
        "inputs": {name: list(array.shape) for name, array in arrays.items()},
        "versions": {"fastconv": fastconv.__version__, **versions},
        "left_out": missing,
        "reference": reference,
        "rows": [vars(row) | {"median": row.time} for row in rows],
    }
    print("\n".join(_lines(told, rows)))
    if arguments.json:
        text = json.dumps(told, indent=2) + "\n"
        writing(arguments.json, lambda path: path.write_text(text, encoding="utf-8"))
        print(f"Results: {printable(str(arguments.json.resolve()))}")
    return int(any(is_wrong(row) for row in rows if not row.peer))


def measured(
    runners: Sequence[ApartRunner],
    own: Sequence[str],
    what: str,
    asked: Callable[[str], Any],
    arrays: Mapping[str, Any],
    settings: Settings,
    missing: dict[str, str],
) -> tuple[list[Row], str]:
    """The rows, and whose outputs are compared with; a library that cannot do it goes to `missing`.

    `asked` gives what a runner is asked for, by its name; `what` names it to people.
    """
    ready: dict[str, PreparedLayer] = {}
    for runner in runners:
        show_progress(f"{runner.name} loads")
        try:
            prepared = runner.prepare(asked(runner.name), arrays, settings)
        except RuntimeError as error:
            if runner.name in own:
                raise CommandError(f"{what} cannot be run on {runner.name}: {error}") from None
            missing[runner.name] = f"cannot run it: {error}"
            continue
        if prepared is not None:
            ready[runner.name] = prepared
    round_ = iter(range(1, settings.rounds + 1))
    seconds = side_by_side(
        {name: prepared.run for name, prepared in ready.items()},
        settings,
        lambda: show_progress(f"round {next(round_, settings.rounds)} of {settings.rounds}"),
    )
    show_progress("")
    found: dict[str, Found] = {name: prepared.run()[0] for name, prepared in ready.items()}
    reference = next((name for name in found if name not in own), next(iter(found)))
    rows = [
        Row(
            name,
            name not in own,
            seconds[name],
            one.load_seconds,
            one.peak_bytes,
            None if name == reference else _difference(one.outputs, found[reference].outputs),
        )
        for name, one in found.items()
    ]
    return rows, reference


def _difference(outputs: Sequence[Any], others: Sequence[Any]) -> float:
    """The largest one, as a fraction of the largest number of the output; infinite for other shapes."""
    worst = 0.0 if len(outputs) == len(others) else np.inf
    for a, b in zip(outputs, others, strict=False):
        if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.shape != b.shape:
            return float(np.inf)
        if a.size and a.dtype.kind in "fbiu":
            first, second = a.astype(np.float64), b.astype(np.float64)
            apart = float(np.abs(first - second).max() / (np.abs(second).max() or 1.0))
            worst = max(worst, np.inf if np.isnan(apart) else apart)
    return float(worst)


def is_wrong(row: Row) -> bool:
    return row.difference is not None and row.difference > AGREEMENT["float32"]


def chosen_backends(arguments: argparse.Namespace) -> Sequence[Any]:
    names = arguments.backends or (fastconv.get_backend(),)
    if "all" in names:
        names = fastconv.available_backends()
    for name in names:
        backends.load(name)
    return tuple(names)


def show_progress(text: str) -> None:
    """On one line, for people who wait."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _lines(told: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    inputs = ", ".join(f"{printable(name)} {shape_text(shape)}" for name, shape in told["inputs"].items())
    yield f"{printable(told['model'])}: {inputs}, {counted(told['threads'], 'thread')}, {told['processor']}"
    yield ""
    best = min((row.time for row in rows if row.peer), default=None)
    heads = ["runner", "version", "time", "slowest", "peer", "load", "peak memory", "difference"]
    table = [heads]
    for row in sorted(rows, key=lambda row: row.time):
        version = told["versions"].get(row.runner, told["versions"]["fastconv"])
        table.append(
            [
                row.runner if row.peer else f"fastconv {row.runner}",
                version,
                duration(row.time),
                digits(max(row.seconds) / row.time),
                ABSENT if best is None else digits(best / row.time),
                duration(row.load_seconds),
                byte_text(row.peak_bytes) if row.peak_bytes else ABSENT,
                ABSENT
                if row.difference is None
                else f"{row.difference:.1e}" + (" WRONG" if is_wrong(row) else ""),
            ]
        )
    yield from table_lines(table, right={2, 3, 4, 5, 6, 7})
    yield ""
    yield from table_lines(
        [*_TERMS, ("difference", f"the largest to {told['reference']}'s outputs, over their largest")]
    )
    for name, why in told["left_out"].items():
        yield f"{name} is left out: it {printable(why)}"
