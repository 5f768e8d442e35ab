"""Arrays that are made of numbers: constants, ranges, windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS
from fastconv.graph.operations import shape_rules
from fastconv.graph.operations.shape import sizes
from fastconv.graph.operations.table import ALWAYS, Reading, operation, upgrade
from fastconv.typing import Array


@operation("Constant")
def constant(*, value: Array) -> Any:
    """What a file's node of this kind says is known when it is read; none is left in a graph."""
    return value


@upgrade("Constant", to=ALWAYS)
def one_value(reading: Reading) -> None:
    """A number, or several, or strings, in place of a tensor."""
    kinds: dict[str, Any] = {"float": np.float32, "int": np.int64, "string": object}
    for name, dtype in kinds.items():
        for key in (f"value_{name}", f"value_{name}s"):
            if key in reading.attributes:
                reading.attributes["value"] = np.array(reading.attributes.pop(key), dtype)


@operation("ConstantOfShape", rule=shape_rules.filled)
def constant_of_shape(shape: Array, *, value: Array | None = None) -> Any:
    fill = np.zeros(1, np.float32) if value is None else value
    return np.full(sizes(shape), fill.ravel()[0], fill.dtype)


@operation("Range", rule=shape_rules.in_a_row)
def range_of(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Any:
    first, step = start.item(), delta.item()
    count = max(int(np.ceil((limit.item() - first) / step)), 0)
    return (first + np.arange(count) * step).astype(start.dtype)


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


@operation("HannWindow")
def hann_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (0.5, -0.5))


@operation("HammingWindow")
def hamming_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (25 / 46, -21 / 46))


@operation("BlackmanWindow")
def blackman_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Any:
    return _cosines(size, periodic, output_datatype, (0.42, -0.5, 0.08))
