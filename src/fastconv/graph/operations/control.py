"""Branches and loops. Their graphs come as functions of arrays, which give lists of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastconv.graph.graph import Graph, Value
from fastconv.graph.operations.table import Reading, Type, operation, upgrade
from fastconv.typing import Array


class Body(Protocol):
    """A graph as a function; `types` is what is known of its results."""

    types: Sequence[Type]

    def __call__(self, *arrays: Any) -> list[Any]: ...


def _either(inputs: Sequence[Value | None], attributes: dict[str, Any]) -> list[Type]:
    """What both branches have in common."""
    graphs: list[Graph] = [attributes["then_branch"], attributes["else_branch"]]
    return [_common(one, other) for one, other in zip(*(graph.outputs for graph in graphs), strict=True)]


def _common(one: Value, other: Value) -> Type:
    dtype = one.dtype if one.dtype == other.dtype else None
    if one.shape is None or other.shape is None or len(one.shape) != len(other.shape):
        return Type(dtype)
    sizes = zip(one.shape, other.shape, strict=True)
    return Type(dtype, tuple(a if a == b else None for a, b in sizes))


def _only(name: str, value: Array) -> Any:
    """The value of an array that has one."""
    if value.size != 1:
        raise ValueError(f"{name} has shape {value.shape}, but needs one value")
    return value.item()


@operation("If", rule=_either)
def branch(condition: Array, *, then_branch: Body, else_branch: Body) -> Any:
    return tuple(then_branch() if _only("cond", condition) else else_branch())


def _stacked(rounds: Sequence[Any], known: Type, axis: int = 0) -> Any:
    """The results of all rounds; of none, what is known of one says the shape: a size that is not known is zero."""
    if rounds:
        return np.stack(rounds, axis)
    dtype = np.dtype(np.float32) if known.dtype is None else known.dtype
    sizes = () if known.shape is None else known.shape
    none = np.zeros((0, *(size if isinstance(size, int) else 0 for size in sizes)), dtype)
    return np.moveaxis(none, 0, 0 if known.shape is None else axis)


@operation("Loop")
def loop(most: Array | None, condition: Array | None = None, *state: Any, body: Body, outputs: int) -> Any:
    """The body's results are whether to go on, the new state, and what is stacked over all rounds."""
    states, goes_on, rounds = list(state), condition is None or bool(_only("cond", condition)), 0
    stacks: list[list[Any]] = [[] for _ in range(outputs - len(states))]
    limit = None if most is None else int(_only("M", most))
    while goes_on and (limit is None or rounds < limit):
        results = body(np.array(rounds, np.int64), np.array(goes_on), *states)
        goes_on, states = bool(_only("the body's condition", results[0])), results[1 : 1 + len(states)]
        for stack, value in zip(stacks, results[1 + len(states) :], strict=True):
            stack.append(value)
        rounds += 1
    return (*states, *map(_stacked, stacks, body.types[1 + len(states) :]))


@operation("Scan")
def scan(
    *values: Array,
    body: Body,
    num_scan_inputs: int,
    scan_input_axes: tuple[int, ...] | None = None,
    scan_input_directions: tuple[int, ...] | None = None,
    scan_output_axes: tuple[int, ...] | None = None,
    scan_output_directions: tuple[int, ...] | None = None,
) -> Any:
    """One round for each element along the scanned axes."""
    states, scanned = list(values[:-num_scan_inputs]), values[-num_scan_inputs:]
    axes = scan_input_axes or (0,) * num_scan_inputs
    turned = scan_input_directions or (0,) * num_scan_inputs
    parts = [
        np.moveaxis(value, axis, 0)[:: -1 if back else 1]
        for value, axis, back in zip(scanned, axes, turned, strict=True)
    ]
    known = body.types[len(states) :]
    stacks: list[list[Array]] = [[] for _ in known]
    for part in zip(*parts, strict=True):
        results = body(*states, *part)
        states = results[: len(states)]
        for stack, value in zip(stacks, results[len(states) :], strict=True):
            stack.append(value)
    ends = scan_output_axes or (0,) * len(stacks)
    back = scan_output_directions or (0,) * len(stacks)
    joined = [
        _stacked(stack[:: -1 if turn else 1], one, axis)
        for stack, one, axis, turn in zip(stacks, known, ends, back, strict=True)
    ]
    return (*states, *joined)


@upgrade("Scan", to=9)
def no_batch(reading: Reading) -> None:
    reading.refuse("sequences in batches, as before operator set 9")
