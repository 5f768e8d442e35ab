"""The values of a node's attributes. Called by `reader.py` and `functions.py`."""

from __future__ import annotations

from typing import Any

from fastconv.onnx.error import Path, model_error
from fastconv.onnx.external import Folder
from fastconv.onnx.tensors import read_tensor
from fastconv.onnx.wire import Record

# AttributeProto.type, and the field that it says to read.
_FIELDS = {
    1: "f",
    2: "i",
    3: "s",
    4: "t",
    5: "g",
    6: "floats",
    7: "ints",
    8: "strings",
    9: "tensors",
    13: "tp",
}
_REPEATED = ("floats", "ints", "strings", "tensors")
_ZERO = {"f": 0.0, "i": 0, "s": b""}


def attribute_value(attribute: Record, path: Path, folder: Folder, bound: dict[str, Any] | None) -> Any:
    """A number, a string, an array, a tuple of these, or the message of a graph; None where a function got none.

    `bound` are the attributes that the call of a function gave, where the node is in a function's body.
    """
    at, reference = attribute["@"], attribute.get("ref_attr_name")
    if reference:
        if bound is None:
            raise model_error(f"it refers to an attribute {reference!r} outside of a function", path, at)
        return bound.get(reference)
    if "value" not in attribute:  # kept: a function's body is read wherever it is called
        attribute["value"] = _value(attribute, path, folder)
    return attribute["value"]


def _value(attribute: Record, path: Path, folder: Folder) -> Any:
    at, kind = attribute["@"], attribute.get("type", 0)
    # Files of before there was a type have one field alone.
    name = _FIELDS.get(kind) if kind else next((f for f in _FIELDS.values() if f in attribute), None)
    if name is None:
        raise model_error(f"attributes of type {kind} are not supported", path, at)
    value = attribute.get(name, _ZERO.get(name, () if name in _REPEATED else None))
    if value is None:
        raise model_error(f"attribute {attribute.get('name', '')!r} has no value", path, at)
    if name == "s":
        return _text(value)
    if name == "strings":
        return tuple(map(_text, value))
    if name == "t":
        return read_tensor(value, (path, "t", None), folder)
    if name == "tensors":
        return tuple(read_tensor(tensor, (path, name, place), folder) for place, tensor in enumerate(value))
    if name == "tp":
        return int(value.get("tensor_type", {}).get("elem_type", 0))
    return tuple(value) if name in _REPEATED else value


def _text(value: memoryview | bytes) -> str:
    return str(value, "utf-8", "replace")
