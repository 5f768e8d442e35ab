"""The pass `common`: what is computed twice is computed once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.passes.editor import Editor, told

_SMALL = 256  # bytes of constants that are compared


def common(editor: Editor) -> None:
    """Of nodes that do the same with the same values, keep the first. Equal small constants are the same."""
    seen: dict[Hashable, Node] = {}
    for node in editor.nodes():
        if node.graphs():
            continue
        first = seen.setdefault(_key(node), node)
        if first is not node and not any(output and editor.is_output(output) for output in node.outputs):
            for output, same in zip(node.outputs, first.outputs, strict=True):
                if output is not None and same is not None:
                    editor.redirect(output, same)
            editor.remove(node, line=f"{told(node)} is {told(first)}")


def _key(node: Node) -> Hashable:
    inputs = tuple(None if value is None else _identity(value) for value in node.inputs)
    attributes = tuple(sorted((name, _frozen(value)) for name, value in node.attributes.items()))
    return node.operation, inputs, attributes, tuple(output is None for output in node.outputs)


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
