"""What the commands on ONNX files share: opening the file, and the shapes of its inputs.

Called by the modules of these commands, here and in the benchmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.commands.error import CommandError
from fastconv.commands.model_arguments import Shape
from fastconv.onnx import Model, ModelError, Tensor, load
from fastconv.text import shape_text
from fastconv.typing import BackendName


def open_model(path: Path, backend: BackendName | None = None) -> Model:
    """Load a file.

    Raises
    ------
    CommandError
        If it cannot be read, or holds what is not supported.
    """
    try:
        return load(path, backend=backend)
    except FileNotFoundError:
        raise CommandError(f"there is no file {path}") from None
    except ModelError as error:
        raise CommandError(f"{path}: {str(error).removeprefix('onnx: ')}") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror or error}") from None


def given_shapes(model: Model, given: Sequence[tuple[str | None, Shape]]) -> dict[str, Shape]:
    """Those of the option, by the inputs' names.

    Raises
    ------
    CommandError
        If there is no such input, or the shape does not fit it.
    """
    inputs = {tensor.name: tensor for tensor in model.inputs}
    shapes: dict[str, Shape] = {}
    for name, shape in given:
        if name is None and len(inputs) != 1:
            raise CommandError(f"--shape needs a name, as in --shape NAME=1,3,224,224: {_listed(inputs)}")
        name = next(iter(inputs)) if name is None else name
        if name not in inputs:
            raise CommandError(f"--shape names {name!r}, but {_listed(inputs)}")
        declared = inputs[name].shape
        if declared is not None and not _fits(shape, declared):
            raise CommandError(f"--shape {name}={shape_text(shape)} does not fit: {_listed(inputs)}")
        shapes[name] = shape
    return shapes


def input_shapes(
    model: Model, given: Sequence[tuple[str | None, Shape]], known: Mapping[str, Shape] | None = None
) -> dict[str, Shape]:
    """The shapes of all inputs: as the option says, or `known`, or the file; of open sizes the first is 1.

    Raises
    ------
    CommandError
        As `given_shapes`, or if another size is open.
    """
    shapes = {**(known or {}), **given_shapes(model, given)}
    for tensor in model.inputs:
        if tensor.name not in shapes:
            shape = assumed(tensor)
            if shape is None:
                raise CommandError(
                    f"the file leaves sizes open: say them with --shape, as in --shape {tensor.name}=1,3,224,224; "
                    f"{_listed({t.name: t for t in model.inputs})}"
                )
            shapes[tensor.name] = shape
    return {tensor.name: shapes[tensor.name] for tensor in model.inputs}


def assumed(tensor: Tensor) -> Shape | None:
    """The shape with 1 for a first size that is open; None where another one is."""
    if tensor.shape is None:
        return None
    sizes = [
        1 if not place and not isinstance(size, int) else size for place, size in enumerate(tensor.shape)
    ]
    known = tuple(size for size in sizes if isinstance(size, int))
    return known if len(known) == len(sizes) else None


def random_inputs(model: Model, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Normally distributed numbers, always the same; zeros for inputs that are no floats."""
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {}
    for tensor in model.inputs:
        shape, dtype = shapes[tensor.name], tensor.dtype or np.dtype(np.float32)
        if dtype.kind not in "fbiu":
            raise CommandError(f"input {tensor.name!r} is {dtype}: there are no random numbers of that kind")
        made[tensor.name] = (
            rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)
        )
    return made


@contextmanager
def as_command_error(path: Path) -> Iterator[None]:
    """Let what goes wrong in a network, which is the file's or its input's fault, be said in one line."""
    try:
        yield
    except (ValueError, TypeError, IndexError, ArithmeticError, NotImplementedError) as error:
        notes = "".join(f", {note}" for note in getattr(error, "__notes__", ()))
        raise CommandError(f"{path} cannot be run on this: {error}{notes}") from None


def _listed(inputs: Mapping[str, Tensor]) -> str:
    told = ", ".join(f"{name} ({shape_text(tensor.shape)})" for name, tensor in inputs.items())
    return f"the inputs are {told}" if inputs else "there are no inputs"


def _fits(shape: Shape, declared: Sequence[Any]) -> bool:
    return len(shape) == len(declared) and all(
        not isinstance(size, int) or size == got for got, size in zip(shape, declared, strict=True)
    )
