"""Reads single arguments: numbers, pairs and words, each error naming the operation, the argument and what it needs.

The ground floor: settings and problems are read with it. Nothing here knows an array or another module.
"""

from __future__ import annotations

import operator
from typing import Any

Pair = tuple[int, int]

PRECISIONS = ("fast", "strict")
LARGEST = 2**31 - 1  # of sizes, strides and everything else that counts pixels


def choice(op: str, name: str, value: Any, valid: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{op}: {name} is {value!r} ({type(value).__name__}), but needs a string")
    if value not in valid:
        raise ValueError(f"{op}: {name} is {value!r}, but needs to be one of {', '.join(map(repr, valid))}")
    return value


def integer(op: str, name: str, value: Any, minimum: int, most: int = LARGEST) -> int:
    if type(value) is not int:
        try:
            if isinstance(value, bool):
                raise TypeError
            value = operator.index(value)
        except TypeError:
            raise TypeError(
                f"{op}: {name} is {value!r} ({type(value).__name__}), but needs an integer"
            ) from None
    if not minimum <= value <= most:
        raise ValueError(f"{op}: {name} is {value}, but needs an integer from {minimum} to {most}")
    return int(value)


def is_integer(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and getattr(value, "ndim", 0) == 0


def is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or getattr(value, "ndim", 0) == 1


def pair(op: str, name: str, value: Any, minimum: int) -> Pair:
    """An int for both axes, or a pair (vertical, horizontal)."""
    if not is_sequence(value):
        value = integer(op, name, value, minimum)
        return value, value
    if len(value) != 2:
        raise ValueError(f"{op}: {name} is {value!r}, but needs an integer or a pair (vertical, horizontal)")
    return integer(op, name, value[0], minimum), integer(op, name, value[1], minimum)


def single(op: str, name: str, value: Any, minimum: int) -> int:
    """An int, or a tuple of one: an option of an operation with one spatial axis."""
    if is_sequence(value):
        if len(value) != 1:
            raise ValueError(f"{op}: {name} is {value!r}, but needs an integer")
        value = value[0]
    return integer(op, name, value, minimum)


def number(op: str, name: str, value: Any) -> float:
    """A real number, not a string."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} is {value!r}, but needs a number")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} is {value!r}, but needs a number") from None


def precision(op: str, value: Any) -> str:
    return choice(op, "precision", value, PRECISIONS)
