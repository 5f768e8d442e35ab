"""Sequences of tensors: Python's lists, which no operation changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.graph.operations.shape import sizes, split
from fastconv.graph.operations.table import operation
from fastconv.typing import Array


@operation("SequenceConstruct")
def construct(*values: Array) -> Any:
    return (list(values),)


@operation("SequenceEmpty")
def empty(*, dtype: int = 1) -> Any:
    return ([],)


@operation("SequenceInsert")
def insert(sequence: list[Array], value: Array, place: Array | None = None) -> Any:
    changed = list(sequence)
    at = len(changed) if place is None else int(place.item())
    if not -len(changed) <= at <= len(changed):
        raise ValueError(f"SequenceInsert: place {at} of {len(changed)}")
    changed.insert(at, value)
    return (changed,)


@operation("SequenceErase")
def erase(sequence: list[Array], place: Array | None = None) -> Any:
    changed = list(sequence)
    del changed[-1 if place is None else int(place.item())]
    return (changed,)


@operation("SequenceAt")
def at(sequence: list[Array], place: Array) -> Any:
    return sequence[int(place.item())]


@operation("SequenceLength")
def length(sequence: list[Array]) -> Any:
    return np.array(len(sequence), np.int64)


@operation("SplitToSequence")
def split_to_sequence(x: Array, parts: Array | None = None, *, axis: int = 0, keepdims: int = 1) -> Any:
    if parts is None:
        pieces = np.split(x, x.shape[axis], axis)
        return ([piece if keepdims else piece.squeeze(axis) for piece in pieces],)
    if parts.ndim == 0:
        return (np.split(x, range(int(parts.item()), x.shape[axis], int(parts.item())), axis),)
    return (list(split(x, np.array(sizes(parts)), axis=axis, outputs=parts.size)),)


@operation("ConcatFromSequence")
def concatenate(sequence: list[Array], *, axis: int, new_axis: int = 0) -> Any:
    return np.stack(sequence, axis) if new_axis else np.concatenate(sequence, axis)
