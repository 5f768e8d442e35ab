"""``fastconv tune``: measures the kernels of layers, shows what came of it, and keeps, shares and forgets it.

Called by `fastconv.cli`; needs the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import fastconv
from fastconv import backends, tuning
from fastconv.bench.commands.arguments import chosen_layers, one_layer
from fastconv.bench.commands.tune_arguments import OPERATIONS
from fastconv.bench.layers.layer import Layer, to_layout
from fastconv.commands.error import CommandError
from fastconv.commands.printable import printable
from fastconv.problem.case import find_case
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.layout import batch_shape, weight_shape
from fastconv.text import ABSENT, digits, duration
from fastconv.tuning.choice import choose

WIDTH = 100  # of text that is piped or logged


def run_tune(arguments: argparse.Namespace) -> int:
    """Do what the arguments of `add_arguments` say.

    Returns
    -------
    int
        0.

    Raises
    ------
    CommandError
        If the layer is impossible, or a file cannot be read or written.
    BackendUnavailableError
        If the ``cython`` backend, whose kernels these are, was not built.
    """
    measures = arguments.operation is not None or arguments.network is not None
    if not (measures or arguments.clear or arguments.merge or arguments.list or arguments.export):
        raise CommandError(
            "needs an operation, such as `fastconv tune conv2d`, --network, --list, --export, --merge or --clear"
        )
    if arguments.export and arguments.export.is_dir():
        raise CommandError(f"--export needs a file name, but {arguments.export} is a folder")
    one_layer(arguments)  # refuses a shape that has no operation
    problems = _problems(arguments) if measures else []
    console = Console(width=None if Console().is_terminal else WIDTH, highlight=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _do(arguments, problems, console)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None
        finally:
            for warning in caught:
                print(f"fastconv tune: {printable(str(warning.message))}", file=sys.stderr)
    return 0


def _do(arguments: argparse.Namespace, problems: list[tuple[Layer, ConvProblem]], console: Console) -> None:
    def say(words: str, path: Path) -> None:
        console.print(f"{words} {printable(str(path.resolve()))}", soft_wrap=True, markup=False)

    if arguments.clear:
        tuning.clear()
        say("Forgotten:", tuning.location())
    if arguments.merge:
        here = tuning.load(arguments.merge)
        say(f"Added {here} of this machine:", arguments.merge)
    if problems:
        with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
            console.print(_measured(arguments, problems), "")
        say("Kept in", tuning.location())
    if arguments.list:
        console.print(_listed(tuning.entries()), "")
    if arguments.export:
        tuning.save(arguments.export)
        say("Exported:", arguments.export)


def _problems(arguments: argparse.Namespace) -> list[tuple[Layer, ConvProblem]]:
    """The convolutions that the arguments name."""
    try:
        return [
            (layer, _problem(layer, arguments))
            for _, layer, _ in chosen_layers(arguments)
            if layer.operation in OPERATIONS
        ]
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from None


def _problem(layer: Layer, arguments: argparse.Namespace) -> ConvProblem:
    """What a plan for a layer would have to choose a kernel for."""
    depthwise, transposed = "depthwise" in layer.operation, "transpose" in layer.operation
    given: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": None if depthwise else 1}
    if transposed:
        given["output_padding"] = 0
    options = ConvOptions.read(
        layer.operation, **{**given, **layer.options}, layout=arguments.layout, depthwise=depthwise
    )
    (batch, channels, *size), (outer, inner, *kernel) = layer.shapes["x"], layer.shapes["weight"]
    x = batch_shape(options.layout, batch, channels, (size[0], size[1]))
    weight = weight_shape(options.layout, outer, inner, (kernel[0], kernel[1]))
    dtype = np.dtype(arguments.dtype)
    return find_case(options, arguments.precision, x, dtype, weight, dtype).problem


def _measured(arguments: argparse.Namespace, problems: list[tuple[Layer, ConvProblem]]) -> Table:
    """One row per layer: what is fastest, and what would be taken without measuring."""
    backend = backends.load("cython")
    table = _table("The fastest kernels, and those of the least predicted cost")
    for heading in ("layer", "fastest", "time", "predicted", "takes, times"):
        number = "time" in heading
        table.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for layer, problem in problems:
        weight = to_layout("weight", np.ones(layer.shapes["weight"], problem.dtype), problem.layout)
        _, entry, told = choose(backend, problem, weight, arguments.seconds, arguments.again)
        name = Text.assemble((layer.name, "bold"), f"\n{layer}")
        predicted = backend.algorithm(problem)
        if entry is None and len(backend.candidates(problem)) > 1:
            raise CommandError(told)
        if entry is None:  # a single kernel can do it
            table.add_row(name, Text(predicted), ABSENT, Text(predicted), ABSENT)
            continue
        best, other = (entry.microseconds.get(kernel, np.nan) for kernel in (entry.kernel, predicted))
        table.add_row(name, Text(entry.kernel), duration(1e-6 * best), Text(predicted), digits(other / best))
    return table


def _listed(entries: tuple[tuning.Entry, ...]) -> Table:
    """One row per entry."""
    table = _table(f"{len(entries)} measured on this machine")
    for name in ("problem", "fastest", "others", "threads", "date"):
        table.add_column(name, overflow="fold", no_wrap=name == "date")
    for entry in entries:
        texts = {kernel: f"{kernel} {duration(1e-6 * time)}" for kernel, time in entry.microseconds.items()}
        fastest = texts.pop(entry.kernel)
        others = ", ".join(texts.values())
        cells = entry.problem, fastest, others, str(entry.threads), entry.date[:10]
        table.add_row(*map(Text, cells))
    return table


def _table(title: str) -> Table:
    return Table(
        title=Text(title, "bold"), title_justify="left", title_style="", box=box.SIMPLE_HEAD, show_edge=False
    )
