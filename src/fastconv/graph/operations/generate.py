"""Arrays that are made of numbers: constants, ranges, windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.graph import Value
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import ALWAYS, Reading, Type, operation, upgrade
from fastconv.typing import Array


@operation("Constant")
def constant(*, value: Array) -> Any:
    """What a file's node of this kind says is known when it is read; none is left in a graph."""
    return value


@upgrade("Constant", to=ALWAYS)
def one_value(reading: Reading) -> None:
    """A number, or several, or strings, in place of a tensor."""
    if reading.attributes.keys() == {"value"}:  # most are tensors
        return
    kinds: dict[str, Any] = {"float": np.float32, "int": np.int64, "string": object}
    for name, dtype in kinds.items():
        for key in (f"value_{name}", f"value_{name}s"):
            if key in reading.attributes:
                reading.attributes["value"] = np.array(reading.attributes.pop(key), dtype)


@operation("ConstantOfShape", rule=shape_rules.filled, grows=True)
def constant_of_shape(shape: Array, *, value: Array | None = None) -> Any:
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(sizes(shape), fill.ravel()[0], fill.dtype)


@operation("Range", rule=shape_rules.in_a_row, grows=True)
def range_of(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Any:
    first, step = start.item(), delta.item()
    return (first + np.arange(shape_rules.steps_of(first, limit.item(), step)) * step).astype(start.dtype)


@operation("EyeLike", rule=shape_rules.of_type("dtype"))
def eye_like(x: Array, *, dtype: int | None = None, k: int = 0) -> Any:
    rows, columns = x.shape
    return np.eye(rows, columns, k, x.dtype if dtype is None else ELEMENTS[dtype].dtype)


def _cosines(size: Array, periodic: int, output_datatype: int, terms: tuple[float, ...]) -> Array:
    """A window that is a sum of cosines."""
    count = int(size.item())
    angle = 2 * np.pi * np.arange(count) / (count if periodic else count - 1)
    result = sum(a * np.cos(k * angle) for k, a in enumerate(terms))
    return np.asarray(result).astype(ELEMENTS[output_datatype].dtype)


def _window(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    size = shape_rules.integers(inputs, 0)
    dtype = ELEMENTS[attributes.get("output_datatype", 1)].dtype
    return [Type(dtype, (size[0] if size else None,))]


@operation("HannWindow", rule=_window, grows=True)
def hann_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (0.5, -0.5))


@operation("HammingWindow", rule=_window, grows=True)
def hamming_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (25 / 46, -21 / 46))


@operation("BlackmanWindow", rule=_window, grows=True)
def blackman_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (0.42, -0.5, 0.08))
