"""``fastconv tune``: measures the kernels of layers and models, shows what came of it; keeps, shares and forgets it.

Called by `fastconv.cli`; needs the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

import fastconv
from fastconv import backends, tuning
from fastconv.bench.commands.arguments import chosen_layers, one_layer
from fastconv.bench.commands.tune_arguments import OPERATIONS, is_file
from fastconv.bench.layers.layer import Layer
from fastconv.commands.error import CommandError
from fastconv.commands.model_arguments import Shape
from fastconv.commands.model_file import as_command_error, input_shapes, open_model
from fastconv.commands.printable import printable
from fastconv.graph.program import Program
from fastconv.problem.case import find_case
from fastconv.problem.convolution import ConvOptions, ConvProblem
from fastconv.problem.layout import batch_shape, weight_shape
from fastconv.text import ABSENT, digits, duration
from fastconv.tuning.choice import choose
from fastconv.tuning.entries import in_words

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
        If the layer is impossible, a file cannot be read or written, or another backend than ``cython`` is in use.
    BackendUnavailableError
        If the ``cython`` backend, whose kernels these are, was not built.
    """
    measures = arguments.operation is not None or arguments.network is not None
    if not (measures or arguments.clear or arguments.merge or arguments.list or arguments.export):
        raise CommandError(
            "needs an operation, such as `fastconv tune conv2d`, or a model, or --network, --list, --export, --merge "
            "or --clear"
        )
    if arguments.export and arguments.export.is_dir():
        raise CommandError(f"--export needs a file name, but {arguments.export} is a folder")
    if measures:
        _check_backend()
    if arguments.operation in (None, *OPERATIONS):
        if arguments.shape:
            raise CommandError("--shape is that of an input of a model; that of a layer's is --x")
        one_layer(arguments)  # refuses a shape that has no operation
        rows = _of_layers(arguments) if measures else []
    else:
        rows = _of_model(arguments)
    console = Console(width=None if Console().is_terminal else WIDTH, highlight=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            _do(arguments, rows, console)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None
        finally:
            for warning in caught:
                print(f"fastconv tune: {printable(str(warning.message))}", file=sys.stderr)
    return 0


def _check_backend() -> None:
    """Refuse to measure, as plans with tune=True do, where another backend was chosen."""
    backends.load("cython")
    chosen = fastconv.get_backend()
    if chosen != "cython":
        raise CommandError(
            f"the {chosen} backend is in use, which has one algorithm, and nothing to measure: "
            "tune is for the cython backend"
        )


def _do(arguments: argparse.Namespace, rows: list[Row], console: Console) -> None:
    def say(words: str, path: Path) -> None:
        console.print(f"{words} {printable(str(path.resolve()))}", soft_wrap=True, markup=False)

    if arguments.clear:
        tuning.clear()
        say("Forgotten:", tuning.location())
    if arguments.merge:
        here = tuning.load(arguments.merge)
        say(f"Added {here} of this machine:", arguments.merge)
    if rows:
        with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
            console.print(_measured(arguments, rows), "")
        say("Kept in", tuning.location())
    if arguments.list:
        console.print(_listed(tuning.entries()), "")
    if arguments.export:
        tuning.save(arguments.export)
        say("Exported:", arguments.export)


class Row(NamedTuple):
    """A problem that is measured: its layers' name, and what it is."""

    name: str
    words: str
    problem: ConvProblem


def _of_layers(arguments: argparse.Namespace) -> list[Row]:
    """The convolutions that the arguments name."""
    try:
        return [
            Row(layer.name, str(layer), _problem(layer, arguments))
            for _, layer, _ in chosen_layers(arguments)
            if layer.operation in OPERATIONS
        ]
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from None


def _of_model(arguments: argparse.Namespace) -> list[Row]:
    """The different problems of a model's layers, as it is compiled: it chooses their layouts."""
    refused = {
        **dict.fromkeys(
            ("x", "w", "stride", "padding", "dilation", "groups", "output_padding", "network", "batch")
        ),
        **{"layout": "NCHW", "dtype": "float32"},
    }
    for name, usual in refused.items():
        if getattr(arguments, name) != usual:
            raise CommandError(f"--{name.replace('_', '-')} is for layers, not for a model")
    with fastconv.use_backend("cython"), fastconv.use_precision(arguments.precision):
        program = _program(arguments.operation, arguments.shape)
    problems: dict[str, ConvProblem] = {}
    names: dict[str, list[str]] = {}
    for name, problem in program.convolutions():
        words = in_words(problem)
        problems.setdefault(words, problem)
        names.setdefault(words, []).append(printable(name))
    return [
        Row(alike[0] if len(alike) == 1 else f"{alike[0]} and {len(alike) - 1} more", words, problems[words])
        for words, alike in names.items()
    ]


def _program(model: str, shape: list[tuple[str | None, Shape]]) -> Program:
    path = Path(model)
    if is_file(model):
        loaded = open_model(path, "cython")
        with as_command_error(path):
            return loaded.compile(input_shapes(loaded, shape))
    if len(shape) != 1 or shape[0][0] is not None:
        raise CommandError(f"{model} needs one --shape, that of its input, such as --shape 1,3,224,224")
    from fastconv.nn import models  # not before: it takes a while

    with as_command_error(path):
        return getattr(models, model)().compile(shape[0][1])  # type: ignore[no-any-return]


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


def _measured(arguments: argparse.Namespace, rows: list[Row]) -> Table:
    """What is fastest, and what would be taken without measuring."""
    backend = backends.load("cython")
    table = _table("The fastest kernels, and those of the least predicted cost")
    for heading in ("layer", "fastest", "time", "predicted", "takes, times"):
        number = "time" in heading
        table.add_column(heading, justify="right" if number else "left", no_wrap=number, overflow="fold")
    for layer, words, problem in rows:
        weight = partial(np.ones, problem.weight_shape, problem.dtype)
        _, entry, told = choose(backend, problem, weight, arguments.seconds, arguments.again)
        name = Text.assemble((layer, "bold"), f"\n{words}")
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
