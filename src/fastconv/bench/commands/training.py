"""``fastconv bench --training``: a training step of whole networks beside PyTorch's: forward, backward, update.

Each runs in a process of its own, as for ``--model``. Called by `fastconv.cli`.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import fastconv
from fastconv.bench.commands.arguments import chosen_peers
from fastconv.bench.commands.model import OF_LAYERS, chosen_backends, measured, show_progress
from fastconv.bench.commands.training_check import Checked, check_training
from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.apart import ApartRunner
from fastconv.bench.runners.peers import PEERS
from fastconv.bench.runners.training import NETWORKS, Asked, own_runner, pytorch_runner
from fastconv.commands.error import CommandError
from fastconv.commands.files import check_target, writing
from fastconv.machine.processor import processor_name
from fastconv.text import ABSENT, byte_text, counted, digits, duration, table_lines

BATCH = 32
_TERMS = (
    ("time", "median of the rounds; each library in a process of its own, in turns, stopped while another runs"),
    ("ratio", "PyTorch's time over this one: above 1, this one is faster"),
    ("peak memory", "what the process had at most beyond what it had before it made the network"),
    ("difference", "the largest one of the losses of the first steps in float64 to PyTorch's, as a fraction of these"),
    ("rounding", "the same of the losses in float32 to those in float64, each library to its own"),
)  # fmt: skip


def run_training_bench(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Returns
    -------
    int
        0, or 1 where fastconv's losses are not PyTorch's, or its float32 errs by more than rounding explains.

    Raises
    ------
    CommandError
        If an argument is not for training.
    """
    for name, default in OF_LAYERS.items():
        if name not in ("batch", "layout") and getattr(arguments, name) != default:
            raise CommandError(f"--training measures whole networks: {name} is not for it")
    if arguments.shape:
        raise CommandError("--training knows the shapes of its networks: --shape is not for it")
    if arguments.json:
        check_target("--json", arguments.json)
    own, peers = chosen_backends(arguments), chosen_peers(arguments, PEERS)
    settings = Settings(
        layout=arguments.layout,
        threads=arguments.threads or fastconv.get_num_threads(),
        rounds=arguments.rounds,
    )
    told: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "threads": settings.threads,
        "layout": settings.layout,
        "versions": {"fastconv": fastconv.__version__},
        "left_out": {},
        "rows": [],
    }
    with_pytorch = peers is None or "pytorch" in peers
    if with_pytorch and importlib.util.find_spec("torch") is None:
        told["left_out"]["pytorch"] = "is not installed (pip install torch)"
        with_pytorch = False
    if with_pytorch:
        told["versions"]["pytorch"] = importlib.metadata.version("torch").split("+")[0]
    names = list(NETWORKS) if "all" in arguments.training else arguments.training
    for network in names:
        for batch in arguments.batch or (BATCH,):
            told["rows"] += _of_one(network, batch, own, with_pytorch, settings, told["left_out"])
    print("\n".join(_lines(told)))
    if arguments.json:
        text = json.dumps(told, indent=2) + "\n"
        writing(arguments.json, lambda path: path.write_text(text, encoding="utf-8"))
    return int(any(row["wrong"] for row in told["rows"]))


def _of_one(
    network: str,
    batch: int,
    own: Sequence[str],
    with_pytorch: bool,
    settings: Settings,
    missing: dict[str, str],
) -> list[dict[str, Any]]:
    """The rows of a network."""
    asked = partial(Asked, network, settings.layout)
    draw = partial(NETWORKS[network].arrays, batch)
    with _running(own, with_pytorch) as runners:
        rows, _ = measured(runners, own, network, asked, draw(), settings, missing)
    peer = next((row for row in rows if row.peer), None)
    checked: dict[str, Checked] = {}
    if peer is not None:
        show_progress(f"{network} is checked")
        with _running(own, True) as (*ours, pytorch):  # its memory is not the measured one's
            checked = check_training(ours, pytorch, lambda seed: draw(seed=seed), asked, settings)
        show_progress("")
    told = []
    for row in rows:
        found = checked.get(row.runner)
        told.append(
            {
                "network": network,
                "batch": batch,
                **vars(row),
                "median": row.time,
                "ratio": None if peer is None else peer.time / row.time,
                "difference": None if found is None or row.peer else found.difference,
                "rounding": None if found is None else found.rounding,
                "wrong": found is not None and found.wrong,
            }
        )
    return told


@contextmanager
def _running(own: Sequence[str], with_pytorch: bool) -> Iterator[list[ApartRunner]]:
    """Processes, which end with the block."""
    runners = [*map(own_runner, own), *([pytorch_runner()] if with_pytorch else [])]
    try:
        yield runners
    finally:
        for runner in runners:
            runner.end()


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"A training step with Adam: {told['layout']}, {counted(told['threads'], 'thread')}, {told['processor']}; "
        + ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    )
    yield ""
    table = [
        ["network", "batch", "runner", "time", "slowest", "ratio", "peak memory", "difference", "rounding"]
    ]
    for row in told["rows"]:
        difference, rounding = (
            ABSENT if row[name] is None else f"{row[name]:.1e}" for name in ("difference", "rounding")
        )
        table.append(
            [
                row["network"],
                str(row["batch"]),
                row["runner"] if row["peer"] else f"fastconv {row['runner']}",
                duration(row["median"]),
                digits(max(row["seconds"]) / row["median"]),
                ABSENT if row["peer"] or row["ratio"] is None else digits(row["ratio"]),
                byte_text(row["peak_bytes"]) if row["peak_bytes"] else ABSENT,
                difference,
                rounding + (" WRONG" if row["wrong"] else ""),
            ]
        )
    yield from table_lines(table, right={1, 3, 4, 5, 6, 7, 8})
    yield ""
    yield from table_lines(_TERMS)
    for name, why in told["left_out"].items():
        yield f"{name} is left out: it {why}"
