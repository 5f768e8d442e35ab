"""``fastconv inspect``: what a model is made of, what it costs, and what the passes make of it. Called by `cli.py`.

NumPy is enough for it, but for the page, which needs jinja2.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fastconv
from fastconv.backends import get_backend
from fastconv.commands.files import check_target
from fastconv.commands.inspection import Inspection, operators_of
from fastconv.commands.model_arguments import add_model
from fastconv.commands.model_file import (
    as_command_error,
    assumed,
    given_shapes,
    input_shapes,
    open_model,
    random_inputs,
)
from fastconv.commands.printable import printable
from fastconv.onnx import Model
from fastconv.text import ABSENT, count_text, counted, duration, shape_text, table_lines

DESCRIPTION = """\
Shows what an ONNX model is made of: inputs, outputs, operators, parameters;
and, for one set of shapes, operations, memory, what the passes fused, and
where it runs. The page draws the network, each node with its cost.
"""

EPILOG = """\
examples:
  fastconv inspect resnet50.onnx
  fastconv inspect unet.onnx --shape 1,3,512,512 --html unet.html --profile

exit status:
  0  shown
  2  the file could not be read: the message says why
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model(parser)
    parser.add_argument("--profile", action="store_true", help="time every step on random numbers, too")
    parser.add_argument("--html", metavar="FILE", type=Path, help="draw the network, in one file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def inspect_model(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Raises
    ------
    CommandError
        If the file cannot be read, or the page not be written.
    """
    page: Callable[[Inspection, Path], None] | None = None
    target: Path | None = arguments.html
    if target is not None:
        # Needs jinja2; what is missing shows before the work.
        from fastconv.commands.network_page import write_page

        page = write_page
        check_target("--html", target)
    start = time.perf_counter()
    model = open_model(arguments.model, arguments.backend)
    seconds = time.perf_counter() - start
    with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
        found = _inspected(arguments, model, seconds)
        if page is not None and target is not None:
            if found.program is None:
                input_shapes(model, arguments.shape)  # says which size is open
            page(found, target)
        if arguments.json:
            print(json.dumps(_as_json(found), indent=2))
        else:
            print("\n".join(_lines(found)))
    if target is not None and not arguments.json:
        print(f"\npage: {printable(str(target.resolve()))}")
    return 0


def _inspected(arguments: argparse.Namespace, model: Model, seconds: float) -> Inspection:
    given = given_shapes(model, arguments.shape)
    known = all(tensor.name in given or assumed(tensor) is not None for tensor in model.inputs)
    if not known:
        if arguments.profile:
            input_shapes(model, arguments.shape)
        return Inspection(arguments.model, model, seconds, operators_of(model.graph), None, None)
    shapes = input_shapes(model, arguments.shape)
    with as_command_error(arguments.model):
        plain = model.compile(shapes, optimize=False).graph
        program = model.compile(shapes)
        profile = program.profile(random_inputs(model, shapes)) if arguments.profile else None
    return Inspection(arguments.model, model, seconds, operators_of(plain), program, profile)


def _lines(found: Inspection) -> Iterator[str]:
    model = found.model
    nodes = counted(len(model.graph.nodes), "node")
    name = printable(model.graph.name)
    yield f"{printable(str(found.path))}: {name}, {nodes}, read in {duration(found.seconds)}"
    for word, tensors in (("input ", model.inputs), ("output", model.outputs)):
        for tensor in tensors:
            yield f"{word} {printable(tensor.name)}: {tensor.dtype} {shape_text(tensor.shape)}"
    yield ""
    rows = [
        [
            one.name,
            f"{one.count:,}",
            f"{one.parameters:,}" if one.parameters else ABSENT,
            count_text(one.flops) if one.flops else ABSENT,
        ]
        for one in found.operators
    ]
    sums = ["all", f"{sum(one.count for one in found.operators):,}", f"{found.parameters:,}"]
    sums.append(count_text(sum(one.flops for one in found.operators)) if found.program else ABSENT)
    yield from table_lines([["operator", "nodes", "parameters", "FLOP"], *rows, sums], right={1, 2, 3})
    yield ""
    if found.program is None:
        yield "The file leaves sizes open: with --shape, costs, memory and what the passes do are shown, too."
        return
    yield from map(_safe, found.program.explain().splitlines())
    if found.profile is not None:
        yield ""
        yield from map(_safe, str(found.profile).splitlines())


def _safe(line: str) -> str:
    """A line with names of other hands, its spaces kept."""
    return line if line.isprintable() else " ".join(printable(word) for word in line.split(" "))


def _as_json(found: Inspection) -> dict[str, Any]:
    model, program = found.model, found.program
    told: dict[str, Any] = {
        "model": str(found.path),
        "graph": model.graph.name,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "nodes": len(model.graph.nodes),
        "parameters": found.parameters,
        "operators": [vars(operator) for operator in found.operators],
    }
    if program is None:
        return told
    steps = program.steps()
    told |= {
        "backend": found.model._backend or get_backend(),
        "threads": fastconv.get_num_threads(),
        "input_shapes": {tensor.name: tensor.shape for tensor in program.inputs},
        "flops": sum(step.flops for step in steps),
        "bytes": sum(step.bytes for step in steps),
        "memory": vars(program.memory()),
        "passes": {one.name: list(one.lines) for one in program.applied},
        "steps": [
            {
                "output": step.name,
                "shape": step.shape,
                "operation": step.operation,
                "algorithm": step.algorithm,
                "flops": step.flops,
                "bytes": step.bytes,
                "cycles": step.cycles,
                "where": step.where,
            }
            for step in steps
        ],
    }
    if found.profile is not None:
        told["seconds"] = found.profile.seconds
        for step, taken in zip(told["steps"], found.profile.steps, strict=True):
            step["seconds"] = taken.seconds
    return told


def _tensor(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": str(tensor.dtype), "shape": tensor.shape}
