"""Reads the file of a measurement, whoever wrote it: nothing in it is taken for granted. Called by `results.py`.

JSON knows a few types; the annotations of the classes say which of them belongs where.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from fastconv.caches import constant
from fastconv.commands.printable import printable

Kind = TypeVar("Kind")

MOST_BYTES = 64 << 20
MOST_DIGITS = 20  # of a number
DEEPEST = 12  # lists within lists
LARGEST = 1e30  # of numbers; and the smallest that is not 0 is as small as that is large
# What the numbers of a field are at least, wherever it is.
LEAST = {
    "threads": 1, "rounds": 1, "count": 1, "bytes": 1, "kernel": 1, "channels": 1, "size": 1, "seconds": 1e-12,
    "shapes": 0, "block": 0, "idle": 0, "neighbours": 0, "flops": 0, "operations": 0, "moved": 0, "bound": 0,
    "error": 0,
}  # fmt: skip


def load_json(path: Path) -> Any:
    """The content of a file: nested no deeper than `DEEPEST`, and all its numbers finite and its texts printable.

    Raises
    ------
    ValueError
        If it is something else.
    OSError
        If the file cannot be read.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 20} MiB")
    try:
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text, parse_int=_integer, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check(content, 0)
    return content


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


def _check(content: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(content, dict):
        for name, value in content.items():
            _check(name, depth)
            _check(value, depth + 1)
    elif isinstance(content, list):
        for value in content:
            _check(value, depth + 1)
    elif isinstance(content, str):
        if not content.isprintable():
            raise ValueError(f"{content[:40]!r} has letters that cannot be printed")
    elif isinstance(content, float) and not (content == 0 or 1 / LARGEST <= abs(content) <= LARGEST):
        raise ValueError(f"the number {content} is not one that can have been measured")


def read(kind: type[Kind], content: Any, where: str = "") -> Kind:
    """An object of a dataclass from its fields, whose types are those that are annotated.

    Raises
    ------
    ValueError
        If a field is missing, unknown, of another type, or too small. It says where.
    """
    dataclass: Any = kind
    known = _fields(dataclass)
    if not isinstance(content, dict):
        _refuse(content, where, f"the fields of {kind.__name__}")
    for name in content:
        if name not in known:
            raise ValueError(f"{where or 'it'} has the unknown field {name!r}")
    for field in dataclasses.fields(dataclass):
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if field.name not in content and not optional:
            raise ValueError(f"{where or 'it'} lacks the field {field.name!r}")
    return kind(
        **{name: _value(known[name], value, _inner(where, name), name) for name, value in content.items()}
    )


@constant
def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a dataclass, and their types."""
    types_of = get_type_hints(kind)
    return {field.name: types_of[field.name] for field in dataclasses.fields(kind)}


def _inner(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _value(kind: Any, value: Any, where: str, name: str) -> Any:
    """A value as the annotation `kind` has it; `name` is that of the field in which it is."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return _tuples(value)
    if dataclasses.is_dataclass(kind):
        return read(kind, value, where)  # type: ignore[arg-type]
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _value(next(one for one in inner if one is not type(None)), value, where, name)
    if origin is Literal:
        return value if value in inner else _refuse(value, where, f"one of {', '.join(map(repr, inner))}")
    if origin in (list, tuple):
        if not isinstance(value, list):
            _refuse(value, where, "a list")
        return origin(_value(inner[0], item, f"{where}[{index}]", name) for index, item in enumerate(value))
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, dict):
            _refuse(value, where, "names and values")
        return {key: _value(inner[1], item, _inner(where, key), name) for key, item in value.items()}
    return _plain(kind, value, where, LEAST.get(name, -math.inf))


def _plain(kind: Any, value: Any, where: str, least: float) -> Any:
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        _refuse(value, where, words[kind])
    if isinstance(value, (int, float)) and value < least:
        _refuse(value, where, f"at least {least:g}")
    return float(value) if kind is float else value


def _tuples(value: Any) -> Any:
    """Lists as tuples, which options are made of."""
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _refuse(value: Any, where: str, needed: str) -> NoReturn:
    shown = repr(value)
    raise ValueError(
        f"{where or 'it'} is {shown if len(shown) < 60 else shown[:60] + '...'}, but needs {needed}"
    )


def sentence(path: Path, error: Exception) -> str:
    """What is wrong with a file, on one line."""
    return printable(f"{path} is no file of `fastconv bench --json`: {error}")
