"""Reads single arguments: numbers, pairs and words, each error naming the operation, the argument and what it needs.

The ground floor: settings and problems are read with it. Nothing here knows an array or another module. What comes out
is of Python's own types, never of a subclass, so that equal values can be one key of a cache.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex, TypeGuard, TypeVar, cast, get_args

import numpy as np

from fastconv.text import echo
from fastconv.typing import PairLike, Precision, SingleLike

Pair = tuple[int, int]

WordT = TypeVar("WordT", bound=str)

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LARGEST = 2**31 - 1  # of sizes, strides and everything else that counts pixels


def choice(op: str, name: str, value: object, valid: tuple[WordT, ...]) -> WordT:
    """The word of `valid` that `value` is."""
    if not isinstance(value, str):
        raise TypeError(f"{op}: {name} is {echo(value)} ({type(value).__name__}), but needs a string")
    for word in valid:
        if word == value:
            return word
    raise ValueError(f"{op}: {name} is {echo(value)}, but needs to be one of {', '.join(map(repr, valid))}")


def integer(op: str, name: str, value: SupportsIndex, minimum: int, most: int = LARGEST) -> int:
    if type(value) is int:
        number = value
    else:
        try:
            if isinstance(value, bool):
                raise TypeError
            number = int.__int__(operator.index(value))
        except TypeError:
            raise TypeError(
                f"{op}: {name} is {echo(value)} ({type(value).__name__}), but needs an integer"
            ) from None
    if not minimum <= number <= most:
        raise ValueError(f"{op}: {name} is {echo(number)}, but needs an integer from {minimum} to {most}")
    return number


def is_integer(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and getattr(value, "ndim", 0) == 0


def is_sequence(value: object) -> TypeGuard[Sequence[SupportsIndex]]:
    return isinstance(value, (tuple, list)) or getattr(value, "ndim", 0) == 1


def pair(op: str, name: str, value: PairLike, minimum: int) -> Pair:
    """An int for both axes, or a pair (vertical, horizontal)."""
    if type(value) is int or not is_sequence(value):
        both = integer(op, name, cast(SupportsIndex, value), minimum)
        return both, both
    if len(value) != 2:
        raise ValueError(
            f"{op}: {name} is {echo(value)}, but needs an integer or a pair (vertical, horizontal)"
        )
    return integer(op, name, value[0], minimum), integer(op, name, value[1], minimum)


def single(op: str, name: str, value: SingleLike, minimum: int) -> int:
    """An int, or a tuple of one: an option of an operation with one spatial axis."""
    if is_sequence(value):
        if len(value) != 1:
            raise ValueError(f"{op}: {name} is {echo(value)}, but needs an integer")
        return integer(op, name, value[0], minimum)
    return integer(op, name, cast(SupportsIndex, value), minimum)


def number(op: str, name: str, value: SupportsFloat) -> float:
    """A real number: no string, and nothing that `float` takes a part of (complex numbers, masked ones)."""
    try:
        kind = getattr(getattr(value, "dtype", None), "kind", None)
        if isinstance(value, (str, bytes)) or hasattr(value, "mask") or kind == "c":
            raise TypeError
        return float(value)
    except OverflowError:
        raise ValueError(f"{op}: {name} is too large for a floating-point number") from None
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} is {echo(value)}, but needs a number") from None


def flag(op: str, name: str, value: object) -> bool:
    """True or False, also as NumPy has them; a word such as "no" would count as True."""
    if isinstance(value, (bool, np.bool)):
        return bool(value)
    raise TypeError(f"{op}: {name} is {echo(value)} ({type(value).__name__}), but needs True or False")


def precision(op: str, value: object) -> Precision:
    return choice(op, "precision", value, PRECISIONS)
