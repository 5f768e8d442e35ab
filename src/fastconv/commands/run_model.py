"""``fastconv run``: a model on pictures, or on random numbers. Called by `cli.py`.

Pictures need the ``demo`` extra; without them NumPy is enough.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import fastconv
from fastconv.backends import get_backend
from fastconv.commands.cluster import connected, in_order
from fastconv.commands.error import CommandError
from fastconv.commands.model_arguments import add_model, whole
from fastconv.commands.model_file import (
    as_command_error,
    given_shapes,
    input_shapes,
    open_model,
    random_inputs,
)
from fastconv.commands.printable import printable
from fastconv.onnx import Model
from fastconv.text import counted, duration, shape_text, table_lines

DESCRIPTION = """\
Runs an ONNX model on pictures: the best classes of each where the model is a
classifier, else shapes and ranges of its outputs. Without pictures it gets
random numbers, and is timed.
"""

EPILOG = """\
examples:
  fastconv run resnet50.onnx cat.jpg dog.jpg --labels imagenet.txt
  fastconv run vgg.onnx cat.jpg --mean 0 --std 0.00392157    values 0 to 255
  fastconv run unet.onnx scan.png --stretch --shape 1,3,512,512
  fastconv run mobilenetv2.onnx --shape 8,3,224,224          timed on random numbers
  fastconv run resnet50.onnx *.jpg --cluster tcp://10.0.0.1:8786

exit status:
  0  it ran
  2  it could not: the message says why
"""

_SECONDS, _MOST_CALLS, _LEAST_CALLS = 1.0, 100, 3  # of timing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add_model(parser)
    parser.add_argument("images", metavar="IMAGE", nargs="*", type=Path, help="picture files")
    parser.add_argument(
        "--top", metavar="N", type=whole(1, 1 << 20), default=5, help="classes to show (default: 5)"
    )
    parser.add_argument("--labels", metavar="FILE", type=Path, help="names of the classes, one on a line")
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="run on the workers of this dask scheduler, which see the pictures under the same paths",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    group = parser.add_argument_group("pictures")
    group.add_argument(
        "--mean", metavar="M[,M,M]", type=_numbers, help="of values from 0 to 1 (default: ImageNet's)"
    )
    group.add_argument("--std", metavar="S[,S,S]", type=_positive, help="the same for the standard deviation")
    group.add_argument(
        "--stretch",
        action="store_true",
        help="to the input's shape (default: cut off what is too wide or too high)",
    )


def run_model(arguments: argparse.Namespace) -> int:
    """Do what the arguments say.

    Raises
    ------
    CommandError
        If the model or a picture cannot be read, or does not fit.
    """
    if arguments.cluster is not None and not arguments.images:
        raise CommandError("--cluster is for pictures, but there are none")
    start = time.perf_counter()
    model = open_model(arguments.model, arguments.backend)
    loaded = time.perf_counter() - start
    with fastconv.num_threads(arguments.threads or fastconv.get_num_threads()):
        told: dict[str, Any] = {
            "model": str(arguments.model),
            "backend": arguments.backend or get_backend(),
            "threads": fastconv.get_num_threads(),
            "load_seconds": loaded,
        }
        told |= _on_pictures(arguments, model) if arguments.images else _on_random_numbers(arguments, model)
    if arguments.json:
        print(json.dumps(told, indent=2))
    else:
        print("\n".join(_lines(told)))
    return 0


def _on_random_numbers(arguments: argparse.Namespace, model: Model) -> dict[str, Any]:
    shapes = input_shapes(model, arguments.shape)
    inputs = random_inputs(model, shapes)
    with as_command_error(arguments.model):
        first, result = _timed(model, inputs)
    seconds: list[float] = []
    while len(seconds) < _LEAST_CALLS or (sum(seconds) < _SECONDS and len(seconds) < _MOST_CALLS):
        seconds.append(_timed(model, inputs)[0])
    return {
        "inputs": {name: list(shape) for name, shape in shapes.items()},
        "first_call_seconds": first,
        "calls": len(seconds),
        "seconds": median(seconds),
        "fastest_seconds": min(seconds),
        "slowest_seconds": max(seconds),
        "outputs": _outputs(model, result),
    }


def _on_pictures(arguments: argparse.Namespace, model: Model) -> dict[str, Any]:
    # Needs Pillow, which the rest of the command does without.
    from fastconv.commands.model_pictures import preprocessing

    shape = next(iter(given_shapes(model, arguments.shape).values()), None)
    how = preprocessing(model.inputs, shape, not arguments.stretch, arguments.mean, arguments.std)
    labels = _labels(arguments.labels)
    found: Iterable[tuple[tuple[int, ...], float, list[Any]]]
    if arguments.cluster is None:
        found = (_on_picture((model, how, arguments.model), path) for path in arguments.images)
        return _told(arguments, model, how, labels, found)
    with connected(arguments.cluster) as client:
        found = in_order(client, _on_picture, (model, how, arguments.model), arguments.images)
        return _told(arguments, model, how, labels, found)


def _on_picture(shared: tuple[Model, Any, Path], path: Path) -> tuple[tuple[int, ...], float, list[Any]]:
    """Shape, seconds and outputs."""
    model, how, file = shared
    array = how.array(path)
    with as_command_error(file):
        seconds, result = _timed(model, {model.inputs[0].name: array})
    return array.shape, seconds, result


def _told(
    arguments: argparse.Namespace,
    model: Model,
    how: Any,
    labels: list[str] | None,
    found: Iterable[tuple[tuple[int, ...], float, list[Any]]],
) -> dict[str, Any]:
    pictures = []
    paths = _with_progress(arguments.images)
    for path, (shape, seconds, result) in zip(paths, found, strict=True):
        one: dict[str, Any] = {"file": str(path), "shape": list(shape), "seconds": seconds}
        scores = _scores(model, result)
        if scores is None:
            one["outputs"] = _outputs(model, result)
        else:
            one["classes"] = _best(scores, arguments.top, labels)
        pictures.append(one)
    return {"preprocessing": str(how), "pictures": pictures}


def _timed(model: Model, inputs: dict[str, Any]) -> tuple[float, list[Any]]:
    """Seconds, and all outputs in order."""
    start = time.perf_counter()
    result = model(inputs)
    seconds = time.perf_counter() - start
    return seconds, [result] if len(model.outputs) == 1 else [result[tensor.name] for tensor in model.outputs]


def _with_progress(paths: Sequence[Path]) -> Iterator[Path]:
    """The paths, with a bar for people who wait for several."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if len(paths) < 2 or not console.is_terminal:
        yield from paths
    else:
        yield from track(paths, "running", console=console, transient=True)


def _scores(model: Model, result: list[Any]) -> Any:
    """The probabilities of the classes, None where the model is no classifier of one image."""
    if len(result) != 1 or not isinstance(result[0], np.ndarray) or result[0].dtype.kind != "f":
        return None
    array = result[0]
    if array.ndim < 2 or array.shape[0] != 1 or array.shape[1] != array.size or array.size < 2:
        return None
    scores = array.reshape(-1).astype(np.float64)
    if not np.isfinite(scores).all():
        return None
    if scores.min() >= 0 and abs(scores.sum() - 1) < 1e-3:
        return scores
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _best(scores: Any, top: int, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    if labels is not None and len(labels) != len(scores):
        raise CommandError(f"--labels has {len(labels)} lines, but the model has {len(scores)} classes")
    order = np.argsort(-scores, kind="stable")[:top]
    return [
        {"class": int(place), "probability": float(scores[place])}
        | ({"label": labels[place]} if labels else {})
        for place in order
    ]


def _outputs(model: Model, result: list[Any]) -> list[dict[str, Any]]:
    """Shapes and ranges."""
    told = []
    for tensor, array in zip(model.outputs, result, strict=True):
        one: dict[str, Any] = {"name": tensor.name}
        if isinstance(array, list):
            one["length"] = len(array)
        else:
            one |= {"dtype": str(array.dtype), "shape": list(array.shape)}
            if array.size and array.dtype.kind in "fbiu":
                values = array.astype(np.float64)
                statistics = {"min": values.min(), "mean": values.mean(), "max": values.max()}
                one |= {name: float(value) for name, value in statistics.items() if np.isfinite(value)}
        told.append(one)
    return told


def _labels(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--labels cannot be read: {error}") from None


def _lines(told: dict[str, Any]) -> Iterator[str]:
    """All of it for people."""
    setting = f"{told['backend']}, {counted(told['threads'], 'thread')}"
    yield f"{printable(told['model'])} on {setting}, loaded in {duration(told['load_seconds'])}"
    if "pictures" in told:
        yield f"pictures: {told['preprocessing']}"
        for one in told["pictures"]:
            yield f"{printable(one['file'])}: {duration(one['seconds'])}"
            yield from (
                f"  {line}"
                for line in (_classes(one["classes"]) if "classes" in one else _ranges(one["outputs"]))
            )
        yield "The first call of each shape compiles the model for it."
        return
    given = ", ".join(f"{printable(name)} {shape_text(shape)}" for name, shape in told["inputs"].items())
    yield f"random input: {given}"
    yield (
        f"{duration(told['seconds'])} a call: median of {told['calls']}, {duration(told['fastest_seconds'])} to "
        f"{duration(told['slowest_seconds'])}; the first, which compiles, {duration(told['first_call_seconds'])}"
    )
    yield from _ranges(told["outputs"])


def _classes(classes: list[dict[str, Any]]) -> list[str]:
    rows = [
        [f"{100 * one['probability']:.2f} %", str(one["class"]), printable(one.get("label", ""))]
        for one in classes
    ]
    return table_lines([["", "class", ""], *rows], right={0, 1})


def _ranges(outputs: list[dict[str, Any]]) -> list[str]:
    rows = [["output", "dtype", "shape", "min", "mean", "max"]]
    for one in outputs:
        shape = f"{one['length']} arrays" if "length" in one else shape_text(one["shape"])
        numbers = [_number(one.get(name)) for name in ("min", "mean", "max")]
        rows.append([printable(one["name"]), one.get("dtype", "sequence"), shape, *numbers])
    return table_lines(rows, right={3, 4, 5})


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs numbers with commas between, got {text!r}") from None


def _positive(text: str) -> tuple[float, ...]:
    values = _numbers(text)
    if not all(value > 0 for value in values):
        raise argparse.ArgumentTypeError(f"needs numbers above 0, got {text!r}")
    return values
