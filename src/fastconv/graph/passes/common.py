"""The pass `common`: what is computed twice is computed once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told

_SMALL = 256  # bytes of constants that are compared


def common(editor: Editor) -> None:
    """Of nodes that do the same with the same values, keep the first; let a Concat that begins with all that one before
    it joins, as those of DenseNet do, read that one's result. Equal small constants are the same."""
    seen: dict[Hashable, list[Node]] = {}
    joined: dict[Hashable, list[Value | None]] = {}
    for node in editor.nodes():
        if node.captures:
            continue
        others = seen.setdefault(_key(node), [])
        # Attributes are compared last: few nodes read the same.
        own = _attributes(node) if others else None
        first = next((other for other in others if _attributes(other) == own), node)
        if first is node:
            others.append(node)
            if node.operation == "Concat":
                _read_what_is_joined(node, joined, editor)
        elif not any(output and editor.is_output(output) for output in node.outputs):
            for output, same in zip(node.outputs, first.outputs, strict=True):
                if output is not None and same is not None:
                    editor.redirect(output, same)
            editor.remove(node, line=f"{told(node)} is {told(first)}")


def _read_what_is_joined(node: Node, joined: dict[Hashable, list[Value | None]], editor: Editor) -> None:
    """`joined` has the last Concat of each axis and first part: all its parts, and its result behind them."""
    axis, parts = node.attributes["axis"], node.inputs
    *known, result = joined.get((axis, parts[0]), (None,))
    joined[axis, parts[0]] = [*parts, node.outputs[0]]
    if result is not None and len(known) > 1 and parts[: len(known)] == known:
        new = Node(
            node.operation, [result, *parts[len(known) :]], node.outputs, node.attributes, name=node.name
        )
        editor.replace(node, new, line=f"{told(node)} begins with {result.name}")


def _key(node: Node) -> Hashable:
    inputs = tuple([None if value is None else _identity(value) for value in node.inputs])
    return node.operation, inputs, tuple([output is None for output in node.outputs])


def _attributes(node: Node) -> Hashable:
    return tuple(sorted((name, _frozen(value)) for name, value in node.attributes.items()))


def _identity(value: Value) -> Hashable:
    array = value.constant
    return (
        value
        if array is None or array.nbytes > _SMALL or array.dtype == object
        else (value.element, _frozen(array))
    )


def _frozen(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, id(value) if value.dtype == object else value.tobytes()
    # Equal numbers of different types, and zeros of different signs, are not the same.
    return repr(value)
