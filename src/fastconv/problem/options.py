"""Reads the options that operations share: padding and activation.

Called by the descriptions of a problem (`convolution.py`, `pooling.py`) and by the operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsFloat, cast, get_args

from fastconv.arguments import choice, integer, is_sequence, number, pair
from fastconv.text import echo
from fastconv.typing import (
    ActivationLike,
    ActivationName,
    PaddingLike,
    PaddingMode,
    PaddingWord,
    PairLike,
    SignalPaddingLike,
)

Sides = tuple[int, int, int, int]  # top, bottom, left, right
Padding = PaddingWord | Sides

PADDING_MODES: tuple[PaddingMode, ...] = get_args(PaddingMode)
PADDING_WORDS: tuple[PaddingWord, ...] = get_args(PaddingWord)


def padding(op: str, value: PaddingLike) -> Padding:
    """An int, a pair, ``((top, bottom), (left, right))`` or a word, as sides or that word."""
    if type(value) is int:
        value = integer(op, "padding", value, 0)
        return value, value, value, value
    if isinstance(value, str):
        word: PaddingWord = choice(op, "padding", value, PADDING_WORDS)
        return word
    if isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_sequence, value)):
        (top, bottom), (left, right) = (pair(op, "padding", v, 0) for v in value)
        return top, bottom, left, right
    if is_sequence(value) and (len(value) != 2 or any(map(is_sequence, value))):
        raise ValueError(
            f"{op}: padding is {echo(value)}, but needs an integer, a pair (vertical, horizontal), "
            "or ((top, bottom), (left, right))"
        )
    vertical, horizontal = pair(op, "padding", cast(PairLike, value), 0)
    return vertical, vertical, horizontal, horizontal


def padding_fill(op: str, mode: PaddingMode, value: SupportsFloat) -> tuple[PaddingMode, float]:
    """A mode, and what mode "constant" pads with; 0 is mode "zeros", which needs no padded image."""
    mode = choice(op, "padding_mode", mode, PADDING_MODES)
    fill = number(op, "padding_value", value)
    if mode != "constant":
        if fill:
            raise ValueError(
                f"{op}: padding_value is {echo(value)}, but padding_mode is {mode!r}: only 'constant' takes a value"
            )
        return mode, 0.0
    return ("constant", fill) if fill else ("zeros", 0.0)


def padding_in_numbers(op: str, value: PaddingLike) -> Sides:
    """As `padding`, where no word has a meaning."""
    sides = padding(op, value)
    if isinstance(sides, str):
        raise ValueError(
            f"{op}: padding is {echo(sides)}, but needs numbers: there is no kernel to derive them from"
        )
    return sides


def padding_1d(op: str, value: SignalPaddingLike) -> Padding:
    """An int, ``(before, after)``, ``((before, after),)`` or a word."""
    if isinstance(value, str):
        word: PaddingWord = choice(op, "padding", value, PADDING_WORDS)
        return word
    if isinstance(value, (tuple, list)) and len(value) == 1:
        value = value[0]
    before, after = pair(op, "padding", value, 0)
    return 0, 0, before, after


class Activation(NamedTuple):
    """An elementwise function of the finished output: its name and its two parameters, where it has them."""

    name: str
    a: float = 0.0
    b: float = 0.0

    def as_option(self) -> str | tuple[Any, ...]:
        """What a user would write."""
        parameters = _PARAMETERS.get(self.name)
        return self.name if parameters is None else tuple(self[: 1 + len(parameters)])


_PLAIN: dict[ActivationName, Activation] = {
    "relu": Activation("relu"),
    "relu6": Activation("clip", 0.0, 6.0),
    "leaky_relu": Activation("leaky_relu", 0.01),
    "sigmoid": Activation("sigmoid"),
    "tanh": Activation("tanh"),
    "silu": Activation("silu"),
    "hardswish": Activation("hardswish"),
    "gelu": Activation("gelu"),
}

_PARAMETERS = {"leaky_relu": ("slope",), "clip": ("low", "high")}


def activation(op: str, value: ActivationLike | None, argument: str = "activation") -> Activation | None:
    if value is None:
        return None
    if isinstance(value, str) and value in _PLAIN:
        return _PLAIN[value]
    parts: Sequence[Any] = value if isinstance(value, (tuple, list)) and value else (None,)
    if isinstance(parts[0], str) and parts[0] in _PARAMETERS:
        name = str.__str__(parts[0])
        needed = _PARAMETERS[name]
        if len(parts) - 1 != len(needed):
            raise ValueError(f"{op}: {argument} is {echo(value)}, but needs ({name!r}, {', '.join(needed)})")
        numbers = [number(op, f"{argument}'s {n}", v) for n, v in zip(needed, parts[1:], strict=True)]
        if name == "clip" and not numbers[0] <= numbers[1]:
            raise ValueError(f"{op}: {argument} is {echo(value)}, but needs low <= high")
        # One number for each value, so that equal activations are equal keys: no negative zero, one NaN.
        exact = [math.nan if math.isnan(n) else n + 0.0 for n in numbers]
        return Activation(name, *exact)
    names = ", ".join(map(repr, _PLAIN))
    raise (ValueError if isinstance(value, (str, tuple, list)) else TypeError)(
        f"{op}: {argument} is {echo(value)}, but needs one of {names}, ('leaky_relu', slope) or ('clip', low, high)"
    )
