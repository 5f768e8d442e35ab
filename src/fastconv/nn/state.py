"""What a network holds, by paths: parameters and buffers, read, loaded, frozen. Used by `stateful.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from fastconv.nn.core import Core
from fastconv.nn.operations.weights import stored
from fastconv.typing import Array


def named(net: Core, kinds: tuple[str, ...] = ("_parameters", "_buffers")) -> Iterator[tuple[str, Core, str]]:
    """Every entry: its path, its layer, and its name there. One that is shared comes once."""
    seen: set[tuple[int, str]] = set()
    for path, module in net.named_modules():
        for kind in kinds:
            for name in module.__dict__[kind]:
                if (id(module), name) not in seen:
                    seen.add((id(module), name))
                    yield f"{path}.{name}" if path else name, module, name


def parameters(net: Core, trainable: bool = False) -> dict[str, Array]:
    """The parameters that were made; with `trainable` without frozen ones."""
    found: dict[str, Array] = {}
    for path, module, name in named(net, ("_parameters",)):
        array = module.__dict__["_parameters"][name]
        if array is None:
            continue
        if not (trainable and name in module.__dict__["_frozen"]):
            found[path] = array
    return found


def state_of(net: Core) -> dict[str, Array]:
    """All arrays by their paths."""
    result: dict[str, Array] = {}
    for path, module, name in named(net):
        array = module.__dict__["_parameters" if name in module.__dict__["_parameters"] else "_buffers"][name]
        if array is not None:
            result[path] = array
    return result


def load_state(net: Core, given: Mapping[str, Any], strict: bool) -> tuple[list[str], list[str]]:
    """Copy arrays into a network, also into one whose parameters were not made yet; nothing where one does not fit."""
    entries = {path: (module, name) for path, module, name in named(net)}
    missing = [path for path in entries if path not in given]
    unexpected = [path for path in given if path not in entries]
    if strict and (missing or unexpected):
        raise ValueError(
            f"load_state_dict: {_listed('missing', missing)}{'; ' if missing and unexpected else ''}"
            f"{_listed('not in the network', unexpected)} (strict=False loads the others)"
        )
    ready = [
        (*entries[path], _read(path, *entries[path], value))
        for path, value in given.items()
        if path in entries
    ]
    layout = net.layout or "NCHW"
    for module, name, array in ready:
        held = module.__dict__["_parameters" if name in module.__dict__["_parameters"] else "_buffers"]
        if held[name] is not None and held[name].flags.writeable:
            held[name][...] = array
        else:
            held[name] = stored(array, layout) if array.ndim in (3, 4) else array
    return missing, unexpected


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(names[:5])}{more}"


def _read(path: str, module: Core, name: str, value: Any) -> Array:
    """A copy of an array or a tensor, of the dtype of its place."""
    detach = getattr(value, "detach", None)  # a tensor that PyTorch would differentiate
    array = np.asarray(detach() if detach is not None else value)
    is_buffer = name in module.__dict__["_buffers"]
    known = module.__dict__["_buffers" if is_buffer else "_parameters"][name]
    if known is not None:
        wanted: tuple[int | None, ...] = known.shape
        dtype = known.dtype
    else:
        wanted, dtype = module.expected(name), module.dtype
    fits = array.ndim == len(wanted) and all(
        size is None or size == got for got, size in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        shown = "(" + ", ".join("any" if size is None else str(size) for size in wanted) + ")"
        raise ValueError(
            f"load_state_dict: {path} has shape {array.shape}, but {type(module).__name__} needs {shown}"
        )
    if array.dtype.kind not in "biuf":
        raise TypeError(f"load_state_dict: {path} is of dtype {array.dtype}, but needs real numbers")
    return array.astype(dtype)


def set_frozen(net: Core, pattern: str, frozen: bool) -> int:
    """Freeze the parameters whose path, or a part of it from the start, fits a pattern; how many these are."""
    count = 0
    for path, module, name in named(net, ("_parameters",)):
        words = path.split(".")
        if any(fnmatchcase(".".join(words[:stop]), pattern) for stop in range(1, len(words) + 1)):
            names = module.__dict__["_frozen"]
            (names.add if frozen else names.discard)(name)
            count += 1
    if not count:
        raise ValueError(f"{'freeze' if frozen else 'unfreeze'}: no parameter's path begins with {pattern!r}")
    return count


def set_dtype(net: Core, dtype: np.dtype[Any]) -> None:
    """Cast what holds real numbers, in place of it."""
    for _, module in net.named_modules():
        module.__dict__["dtype"] = dtype
        for kind in ("_parameters", "_buffers"):
            held = module.__dict__[kind]
            for name, array in held.items():
                if array is not None and array.dtype.kind == "f":
                    held[name] = array.astype(dtype, order="K")
