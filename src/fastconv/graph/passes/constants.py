"""The pass `constants`: what can be computed now is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.graph.graph import Node, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.passes.editor import Editor, told
from fastconv.graph.passes.matching import attribute, is_known
from fastconv.graph.passes.types import learn

# A result may have so many bytes for each of its node's constants (4: quantised weights), and some in any case.
_TIMES, _FREE = 4, 2**16
# Operations whose results are bounded by their inputs though no rule says their shapes.
_BOUNDED = {"NonZero"}


def constants(editor: Editor) -> None:
    """Compute nodes whose inputs are all constants, and shapes that are known; not what is much larger than its inputs
    (an Expand): that would only fill memory. What follows for the types of later nodes is found on the way, so that a
    network of many computed shapes takes no round of all passes for each of them."""
    known_better: set[Value] = set()
    for node in editor.nodes():
        if known_better and not known_better.isdisjoint(node.reads()) and learn(node):
            known_better.update(output for output in node.outputs if output is not None)
        results = _results(node)
        if results is None:
            continue
        for output, result in zip(node.outputs, results, strict=False):
            if output is not None:
                constant = Value.of(output.name, result, output.element)
                editor.substitute(output, constant)
                known_better.add(constant)
        editor.remove(node, line=f"{told(node)} is computed")


def _results(node: Node) -> list[Any] | None:
    """Arrays for all its outputs; None where they are not known now."""
    if node.operation in ("Shape", "Size"):
        return _sizes(node)
    values = [value for value in node.inputs if value is not None]
    if (
        not values
        or not all(value.is_constant for value in values)
        or node.graphs()
        or not _is_small(node, values)
    ):
        return None
    operation = TABLE[node.operation]
    attributes = node.attributes | ({"outputs": len(node.outputs)} if operation.counts_outputs else {})
    arrays = [None if value is None else value.constant for value in node.inputs]
    try:
        with np.errstate(all="ignore"):
            result = operation.run(*arrays, **attributes)
    except Exception:  # running says so
        return None
    results = [*result] if isinstance(result, tuple) else [result]
    if any(isinstance(result, list) for result in results) or len(results) < len(node.outputs):
        return None
    return [np.asarray(result) for result in results]


def _is_small(node: Node, values: list[Value]) -> bool:
    most = _FREE + _TIMES * sum(int(value.constant.nbytes) for value in values)
    if node.operation in _BOUNDED:
        return True
    for output in node.outputs:
        if output is None:
            continue
        if output.dtype is None or output.shape is None:
            return False
        sizes = [size for size in output.shape if isinstance(size, int)]
        if len(sizes) < len(output.shape) or math.prod(sizes) * output.dtype.itemsize > most:
            return False
    return True


def _sizes(node: Node) -> list[Any] | None:
    x = node.inputs[0]
    if x is None or x.shape is None:
        return None
    shape = x.shape
    if node.operation == "Shape":
        shape = shape[attribute(node, "start") : attribute(node, "end")]
    if not is_known(shape) or not all(isinstance(size, int) for size in shape):
        return None
    sizes = [size for size in shape if isinstance(size, int)]
    count = math.prod(sizes)
    if node.operation == "Size" and count > np.iinfo(np.int64).max:
        return None  # running says so, where it comes to that
    return [np.array(sizes if node.operation == "Shape" else count, np.int64)]
