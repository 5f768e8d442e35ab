"""The shapes of a fully connected layer."""

from __future__ import annotations


def dense_shape(op: str, x: tuple[int, ...], weight: tuple[int, ...]) -> tuple[int, ...]:
    """That of the result; refuses operands that do not fit."""
    if len(weight) != 2 or 0 in weight:
        raise ValueError(
            f"{op}: weight has shape {weight}, but needs (out_features, in_features), none of them 0"
        )
    if not x or x[-1] != weight[1]:
        raise ValueError(
            f"{op}: x has shape {x}, but weight {weight} needs (..., {weight[1]}): features on the last axis"
        )
    return (*x[:-1], weight[0])
