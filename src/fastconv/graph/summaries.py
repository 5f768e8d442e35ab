"""A graph as a table for people: what each node is, what it makes, and how many numbers it holds."""

from __future__ import annotations

from collections.abc import Iterable

from fastconv.graph.graph import Graph, Value

_WIDEST = 40  # letters of a column


def summary(graph: Graph) -> str:
    """List a graph's nodes, with what is known of their outputs, and its constants' elements.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    str
        A line for each input and node; at the end the sums. A constant counts where it is read first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.graph import Graph, Node, Value, summary
    >>> x, y = (Value(name, np.dtype(np.float32), ("N", 3)) for name in "xy")
    >>> print(summary(Graph([x], [y], [Node("Add", [x, Value.of("c", np.ones(3, np.float32))], [y])])))
    output  operation  dtype    shape   constants
    x       input      float32  (N, 3)
    y       Add        float32  (N, 3)          3
    1 node, 1 constant of 3 elements, 12 bytes
    """
    seen: dict[int, Value] = {}
    rows = [("output", "operation", "dtype", "shape", "constants")]
    rows += [(*_value(value, "input"), "") for value in graph.inputs]
    for node in graph.nodes:
        before = _elements(seen)
        _add(node.reads(), seen)
        for inner in node.graphs().values():
            _add_constants(inner, seen)
        own = _elements(seen) - before
        first = next((value for value in node.outputs if value is not None), None)
        rows.append((*_value(first, node.operation), f"{own:,}" if own else ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            [
                *(cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)),
                row[4].rjust(widths[4]),
            ]
        )
        for row in rows
    ]
    size = sum(value.held.nbytes for value in seen.values())
    counts = f"{_count(len(graph.nodes), 'node')}, {_count(len(seen), 'constant')}"
    return "\n".join(
        [*(line.rstrip() for line in lines), f"{counts} of {_elements(seen):,} elements, {size:,} bytes"]
    )


def _add(values: Iterable[Value], seen: dict[int, Value]) -> None:
    for value in values:
        if value.is_constant:
            seen[id(value)] = value


def _add_constants(graph: Graph, seen: dict[int, Value]) -> None:
    for node in graph.nodes:
        _add(node.reads(), seen)
        for inner in node.graphs().values():
            _add_constants(inner, seen)
    _add(graph.outputs, seen)


def _elements(seen: dict[int, Value]) -> int:
    return sum(int(value.constant.size) for value in seen.values())


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _value(value: Value | None, operation: str) -> tuple[str, str, str, str]:
    if value is None:
        return "", operation, "", ""
    shape = (
        "?" if value.shape is None else f"({', '.join('?' if s is None else str(s) for s in value.shape)})"
    )
    name = value.name if len(value.name) <= _WIDEST else f"...{value.name[3 - _WIDEST :]}"
    return name, operation, "?" if value.dtype is None else str(value.dtype), shape
