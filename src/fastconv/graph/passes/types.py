"""What is known of values' types, brought together: by the rules of the table, and as often as more is known."""

from __future__ import annotations

from fastconv.graph.graph import Node, Size, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.table import Type

# What a rule may raise about inputs that do not fit each other: running says so, where it comes to that.
_REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError, AssertionError)


def learn(node: Node) -> int:
    """Write what follows from the types of a node's inputs into its outputs; how many of these are known better."""
    if all(map(_is_whole, node.outputs)):
        return 0
    try:
        types = TABLE[node.operation].types(node.inputs, node.attributes)
    except _REFUSALS:
        return 0
    return sum(refine(output, known) for output, known in zip(node.outputs, types, strict=False) if output)


def _is_whole(value: Value | None) -> bool:
    """Is nothing left to learn?"""
    if value is None:
        return True
    if value.dtype is None or value.shape is None:
        return False
    return all(isinstance(size, int) for size in value.shape)


def refine(value: Value, known: Type) -> bool:
    """Add what is known to what a value has; numbers say more than symbols. Whether that was something."""
    before = value.dtype, value.shape
    if value.dtype is None:
        value.dtype = known.dtype
    if value.shape is None:
        value.shape = known.shape
    elif known.shape is not None and len(known.shape) == len(value.shape):
        value.shape = tuple(map(_better, value.shape, known.shape))
    return (value.dtype, value.shape) != before


def _better(old: Size, new: Size) -> Size:
    if isinstance(old, int) or new is None:
        return old
    return new if old is None or isinstance(new, int) else old
