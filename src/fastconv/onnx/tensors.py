"""A file's tensors as NumPy arrays: whatever their type, and wherever their data are. Called by `reader.py`.

Data that NumPy can hold as they are stay where they are, in the file; no array is larger than what the file has for it
but where the type is held wider (`fastconv.graph.elements`).
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from fastconv.graph.elements import ELEMENTS, Element
from fastconv.onnx.error import Path, model_error
from fastconv.onnx.external import Folder
from fastconv.onnx.wire import Record
from fastconv.typing import Array

_EXTERNAL = 1
_LARGEST = 2**62
_INT32_DATA = {2, 3, 4, 5, 6, 9, 10, *range(16, 29)}
_FIELDS = {1: "float_data", 14: "float_data", 7: "int64_data", 8: "string_data"}
_FIELDS |= {11: "double_data", 15: "double_data", 12: "uint64_data", 13: "uint64_data"}
_FIELDS |= dict.fromkeys(_INT32_DATA, "int32_data")


def shape_of(tensor: Record, path: Path | None) -> tuple[int, ...]:
    shape = tuple(tensor.get("dims", ()))
    if len(shape) > 64:
        raise model_error(f"{len(shape)} dimensions, but NumPy has 64 at most", path, tensor["@"])
    if min(shape, default=0) < 0:
        raise model_error(f"dims is {shape}, but no size can be negative", path, tensor["@"])
    if math.prod(shape) > _LARGEST:
        raise model_error(f"dims is {shape}: too many elements", path, tensor["@"])
    return shape


def element_of(number: Any, path: Path | None, offset: int) -> Element:
    found = ELEMENTS.get(number)
    if found is None:
        raise model_error(
            f"data_type is {number}, which is no type of a tensor that is known here", path, offset
        )
    return found


def read_tensor(tensor: Record, path: Path | None, folder: Folder) -> Array:
    """The array of a TensorProto; read-only. It is kept: a function's body is read wherever it is called."""
    if "array" not in tensor:
        tensor["array"] = _read(tensor, path, folder)
    array: Array = tensor["array"]
    return array


def _read(tensor: Record, path: Path | None, folder: Folder) -> Array:
    at = tensor["@"]
    number = tensor.get("data_type", 0)
    element, shape = element_of(number, path, at), shape_of(tensor, path)
    count = math.prod(shape)
    if tensor.get("data_location") == _EXTERNAL:
        raw: memoryview | None = folder.data(tensor, path)
    else:
        raw = tensor.get("raw_data")
    if raw is not None and element.name != "string":
        flat = _from_bytes(raw, element, count, path, at)
    else:
        flat = _from_fields(tensor, number, element, count, path, at)
    array = flat.reshape(shape)
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def _needs(what: str, got: int, count: int, needed: int, path: Path | None, at: int) -> None:
    if got != needed:
        raise model_error(f"{what} has {got}, but {count} elements need {needed}", path, at)


def _from_bytes(raw: memoryview, element: Element, count: int, path: Path | None, at: int) -> Array:
    _needs("raw_data", len(raw), count, (count * element.bits + 7) // 8, path, at)
    if sys.byteorder == "little" and not element.is_held_wider:
        return np.frombuffer(raw, element.dtype)
    data = np.frombuffer(raw, np.uint8)
    if element.bits < 8:
        bits = np.unpackbits(data, bitorder="little")[: count * element.bits].reshape(count, element.bits)
        return _from_codes(np.packbits(bits, axis=1, bitorder="little").reshape(count), element)
    if element.small is not None:
        return _from_codes(data, element)
    if element.name == "bfloat16":
        return _from_codes(data.view("<u2"), element)
    return data.view(element.dtype.newbyteorder("<")).astype(element.dtype)


def _from_codes(codes: Array, element: Element) -> Array:
    """Values from the bits of each, as unsigned integers."""
    if element.small is not None:
        table: Array = element.small.table
        values: Array = table[codes & (len(table) - 1)]
        return values
    if element.name == "bfloat16":
        return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return element.cast(codes)  # which cuts integers of 4 and 2 bits, and finds their sign


def _from_fields(
    tensor: Record, number: int, element: Element, count: int, path: Path | None, at: int
) -> Array:
    field = _FIELDS[number]
    values = tensor.get(field, ())
    if element.name == "string":
        _needs(field, len(values), count, count, path, at)
        strings = np.empty(count, object)
        strings[:] = [str(value, "utf-8", "replace") for value in values]
        return strings
    parts = 2 if element.dtype.kind == "c" else 1
    packed = 8 // element.bits if element.bits in (2, 4) else 1
    _needs(field, len(values), count, -(-count * parts // packed), path, at)
    numbers: Array = np.asarray(values)
    if not count:
        return np.zeros(0, element.dtype)
    if packed > 1:
        return _from_bytes(numbers.astype(np.uint8).data, element, count, path, at)
    if element.is_held_wider:
        return _from_codes(numbers.astype(np.uint16 if element.name == "bfloat16" else np.uint8), element)
    if element.name == "float16":
        return numbers.astype(np.uint16).view(np.float16)
    if parts == 2:
        return numbers.view(element.dtype)
    return numbers.astype(element.dtype)
