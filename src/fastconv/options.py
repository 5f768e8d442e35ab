"""Reads the options that operations share: sizes, padding, layout, activation; all their error texts.

Called by the descriptions of a problem (`problem.py`, `windows.py`); nothing here knows an array.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, bottom, left, right
Padding = str | Sides

LAYOUTS = ("NCHW", "NHWC")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
_LIMIT = 2**31 - 1


def choice(op: str, name: str, value: Any, valid: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{op}: {name} is {value!r} ({type(value).__name__}), but needs a string")
    if value not in valid:
        raise ValueError(f"{op}: {name} is {value!r}, but needs to be one of {', '.join(map(repr, valid))}")
    return value


def integer(op: str, name: str, value: Any, minimum: int, most: int = _LIMIT) -> int:
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


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or getattr(value, "ndim", 0) == 1


def pair(op: str, name: str, value: Any, minimum: int) -> Pair:
    """An int for both axes, or a pair (vertical, horizontal)."""
    if not _is_sequence(value):
        value = integer(op, name, value, minimum)
        return value, value
    if len(value) != 2:
        raise ValueError(f"{op}: {name} is {value!r}, but needs an integer or a pair (vertical, horizontal)")
    return integer(op, name, value[0], minimum), integer(op, name, value[1], minimum)


def single(op: str, name: str, value: Any, minimum: int) -> int:
    """An int, or a tuple of one: an option of an operation with one spatial axis."""
    if _is_sequence(value):
        if len(value) != 1:
            raise ValueError(f"{op}: {name} is {value!r}, but needs an integer")
        value = value[0]
    return integer(op, name, value, minimum)


def padding(op: str, value: Any) -> Padding:
    """An int, a pair, ``((top, bottom), (left, right))`` or a word, as sides or that word."""
    if isinstance(value, str):
        return choice(op, "padding", value, ("valid", "same", "full"))
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_sequence, value)):
        (top, bottom), (left, right) = (pair(op, "padding", v, 0) for v in value)
        return top, bottom, left, right
    vertical, horizontal = pair(op, "padding", value, 0)
    return vertical, vertical, horizontal, horizontal


def padding_1d(op: str, value: Any) -> Padding:
    """An int, ``(before, after)``, ``((before, after),)`` or a word."""
    if isinstance(value, str):
        return choice(op, "padding", value, ("valid", "same", "full"))
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    before, after = pair(op, "padding", value, 0)
    return 0, 0, before, after


class Activation(NamedTuple):
    """An elementwise function of the finished output: its name and its two parameters, where it has them."""

    name: str
    a: float = 0.0
    b: float = 0.0


_PLAIN = {
    "relu": Activation("relu"),
    "relu6": Activation("clip", 0.0, 6.0),
    "leaky_relu": Activation("leaky_relu", 0.01),
    "sigmoid": Activation("sigmoid"),
    "tanh": Activation("tanh"),
    "silu": Activation("silu"),
    "hardswish": Activation("hardswish"),
    "gelu": Activation("gelu"),
}


def activation(op: str, value: Any, argument: str = "activation") -> Activation | None:
    if value is None:
        return None
    if isinstance(value, str) and value in _PLAIN:
        return _PLAIN[value]
    if isinstance(value, (tuple, list)) and value and value[0] in ("leaky_relu", "clip"):
        needed = {"leaky_relu": ("slope",), "clip": ("low", "high")}[value[0]]
        if len(value) - 1 != len(needed):
            raise ValueError(f"{op}: {argument} is {value!r}, but needs ({value[0]!r}, {', '.join(needed)})")
        numbers = [_number(op, f"{argument}'s {n}", v) for n, v in zip(needed, value[1:], strict=True)]
        if value[0] == "clip" and not numbers[0] <= numbers[1]:
            raise ValueError(f"{op}: {argument} is {value!r}, but needs low <= high")
        return Activation(value[0], *numbers)
    names = ", ".join(map(repr, _PLAIN))
    raise (ValueError if isinstance(value, (str, tuple, list)) else TypeError)(
        f"{op}: {argument} is {value!r}, but needs one of {names}, ('leaky_relu', slope) or ('clip', low, high)"
    )


def _number(op: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} is {value!r}, but needs a number") from None


def number(op: str, name: str, value: Any) -> float:
    """A real number, not a string."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} is {value!r}, but needs a number")
    return _number(op, name, value)
