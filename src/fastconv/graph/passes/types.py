"""What is known of values' types, brought together: by the rules of the table, and as often as more is known."""

from __future__ import annotations

from fastconv.graph.graph import NUMBERS, Node, Size, Value
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
    found = 0
    for output, known in zip(node.outputs, types, strict=False):
        if output is not None:
            found += refine(output, known)
    return found


def _is_whole(value: Value | None) -> bool:
    """Is nothing left to learn?"""
    if value is None:
        return True
    if value.dtype is None or value.shape is None:
        return False
    return {*map(type, value.shape)} <= NUMBERS


def refine(value: Value, known: Type) -> bool:
    """Add what is known to what a value has; numbers say more than symbols. Whether that was something."""
    found = False
    if value.dtype is None and known.dtype is not None:
        value.dtype, found = known.dtype, True
    old, new = value.shape, known.shape
    if new is None or new == old:
        return found
    if old is None:
        value.shape = new
    elif len(new) == len(old):
        value.shape = tuple(map(_better, old, new))
    return found or value.shape != old


def _better(old: Size, new: Size) -> Size:
    if isinstance(old, int) or new is None:
        return old
    return new if old is None or isinstance(new, int) else old
