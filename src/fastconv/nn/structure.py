"""A network's structure as JSON: its class and what it was made with, part by part.

Used by `module.py` and `load.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastconv.nn.core import CLASSES, Core, class_name

_DEEPEST = 64


def structure_of(net: Core) -> dict[str, Any]:
    """What `made` makes the network of, without its arrays.

    Raises
    ------
    TypeError
        If an argument is something that JSON does not have, as a function.
    """
    args, named = net.__dict__["_made_with"]
    told: dict[str, Any] = {"class": class_name(type(net))}
    parts = net.current_parts()
    if parts is not None:
        told["args"] = [{"dict": {name: _written(net, part) for name, part in parts.items()}}]
    elif args:
        told["args"] = [_written(net, value) for value in args]
    if named:
        told["named"] = {name: _written(net, value) for name, value in named.items()}
    replaced = _replaced(net, told)
    return told | ({"replaced": replaced} if replaced else {})


def _replaced(net: Core, told: dict[str, Any]) -> dict[str, Any]:
    """Attributes that are other modules than those that the class makes."""
    fresh = made(told, _classes_in(net))
    known = {name: repr(part) for name, part in fresh.__dict__.items() if isinstance(part, Core)}
    return {
        name: structure_of(part)
        for name, part in net.__dict__.items()
        if isinstance(part, Core) and known.get(name) != repr(part)
    }


def _classes_in(net: Core) -> dict[str, type]:
    return {class_name(type(module)): type(module) for _, module in net.named_modules()}


def _written(net: Core, value: Any) -> Any:
    if isinstance(value, Core):
        return {"module": structure_of(value)}
    if isinstance(value, Mapping):
        return {"dict": {str(key): _written(net, part) for key, part in value.items()}}
    if isinstance(value, (tuple, list)):
        return {"tuple": [_written(net, part) for part in value]}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    name = getattr(value, "__name__", type(value).__name__)
    raise TypeError(
        f"save: {type(net).__name__} was made with {name}, which a file cannot hold: use words and numbers, or save "
        "the weights alone, with structure=False"
    )


def made(told: Any, classes: Mapping[str, type] | None = None) -> Any:
    """The network that a structure tells of.

    Parameters
    ----------
    told : dict
        From a file, perhaps a stranger's.
    classes : dict of str to type, optional
        Beside those of `fastconv.nn`.

    Raises
    ------
    ValueError
        If it is no structure, or has an unknown class.
    """
    return _made(told, {**CLASSES, **(classes or {})}, 0)


def _made(told: Any, classes: Mapping[str, type], depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"load: the structure is more than {_DEEPEST} deep")
    if not isinstance(told, dict) or not isinstance(told.get("class"), str):
        raise ValueError("load: the structure is not understood")
    kind = classes.get(told["class"])
    if kind is None:
        raise ValueError(
            f"load: the network has a {told['class']}, which is not of fastconv.nn: give it with classes=[...], or "
            "make the network and use load_weights"
        )
    args, named, replaced = told.get("args", []), told.get("named", {}), told.get("replaced", {})
    if not isinstance(args, list) or not isinstance(named, dict) or not isinstance(replaced, dict):
        raise ValueError("load: the structure is not understood")
    try:
        net = kind(
            *(_read(value, classes, depth + 1) for value in args),
            **{str(name): _read(value, classes, depth + 1) for name, value in named.items()},
        )
    except (TypeError, AttributeError, LookupError, ArithmeticError, MemoryError) as error:
        raise ValueError(f"load: a {told['class']} cannot be made so: {error}") from None
    for name, part in replaced.items():
        if not isinstance(net.__dict__.get(name, name), (Core, type(None))):
            raise ValueError(f"load: {told['class']} has no part {name!r}")
        setattr(net, name, _made(part, classes, depth + 1))
    return net


def _read(value: Any, classes: Mapping[str, type], depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"load: the structure is more than {_DEEPEST} deep")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if key == "module":
            return _made(inner, classes, depth + 1)
        if key == "dict" and isinstance(inner, dict):
            return {name: _read(part, classes, depth + 1) for name, part in inner.items()}
        if key == "tuple" and isinstance(inner, list):
            return tuple(_read(part, classes, depth + 1) for part in inner)
    raise ValueError("load: the structure is not understood")


def classes_by_name(classes: Iterable[type]) -> dict[str, type]:
    return {class_name(one): one for one in classes}
