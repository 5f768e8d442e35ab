"""Protobuf's wire format: bytes to dictionaries, by the tables of `messages.py`. Called by `load`.

The bytes come from anybody. What is read is checked against the end of its message before it is used, nesting and the
number of messages are bounded, numbers of a repeated field take 8 bytes each, and bytes stay where they are.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fastconv.onnx.error import Path, model_error

DEEPEST = 100  # messages within messages, as protobuf's own parsers
MOST_MESSAGES = 1_000_000

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")

# int: signed, 64 bits. text is UTF-8; bytes are a view of the file.
Scalar = Literal["int", "uint", "float", "double", "text", "bytes"]
_WIRE_TYPE = {
    "int": VARINT,
    "uint": VARINT,
    "float": FIXED32,
    "double": FIXED64,
    "text": BYTES,
    "bytes": BYTES,
}
_ARRAY = {"int": "q", "uint": "Q", "float": "f", "double": "d"}
_DTYPE = {"float": "<f4", "double": "<f8"}

Record = dict[str, Any]  # a message: its fields by their names, those alone that are there


@dataclass(frozen=True)
class Field:
    name: str
    kind: Scalar | Message
    repeated: bool = False


@dataclass(eq=False)
class Message:
    """A kind of message: its fields by their numbers. Filled in later where messages nest in circles."""

    name: str
    fields: dict[int, Field] = field(default_factory=dict)


class Parser:
    """Reads the messages of one file."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._messages = 0

    def parse(self, kind: Message) -> Record:
        record: Record = {}
        self._message(kind, record, 0, len(self._data), 0, None)
        return record

    def _message(
        self, kind: Message, record: Record, start: int, end: int, depth: int, path: Path | None
    ) -> None:
        if depth > DEEPEST:
            raise model_error(f"messages nest deeper than {DEEPEST}", path, start)
        self._messages += 1
        if self._messages > MOST_MESSAGES:
            raise model_error(f"more than {MOST_MESSAGES} messages", path, start)
        record["@"] = start  # where it is, for errors about what it says
        data, position, fields = self._data, start, kind.fields
        while position < end:
            at = position
            # Most numbers have one byte: no call for these.
            tag, position = data[position], position + 1
            if tag > 0x7F:
                tag, position = self._varint(at, end, path)
            number, wire = tag >> 3, tag & 7
            if number == 0 or number >= 1 << 29:
                raise model_error(f"a field of {kind.name} has the number {number}", path, at)
            if wire in (VARINT, BYTES):
                if position < end and data[position] < 0x80:
                    value, position = data[position], position + 1
                else:
                    value, position = self._varint(position, end, path)
                stop = position if wire == VARINT else position + value
            elif wire in (FIXED32, FIXED64):
                value, stop = 0, position + (4 if wire == FIXED32 else 8)
            else:
                what = (
                    "a group, which ONNX does not use"
                    if wire in (3, 4)
                    else f"of the unknown wire type {wire}"
                )
                raise model_error(f"field {number} of {kind.name} is {what}", path, at)
            if stop > end:
                raise model_error(
                    f"field {number} of {kind.name} ends at byte {stop}, beyond its message's end at {end}",
                    path,
                    at,
                )
            known = fields.get(number)
            if known is not None:
                self._field(known, record, wire, value, position, stop, depth, path)
            position = stop

    def _field(
        self,
        known: Field,
        record: Record,
        wire: int,
        value: int,
        start: int,
        stop: int,
        depth: int,
        path: Path | None,
    ) -> None:
        """One field that the table knows, from `start` to `stop`; `value` is that of a varint."""
        name, kind = known.name, known.kind
        if isinstance(kind, Message):
            inner: Record
            if known.repeated:
                others = record.setdefault(name, [])
                place: int | None = len(others)
                others.append(inner := {})
            else:
                place, inner = None, record.setdefault(name, {})  # of two, the second adds to the first
            here = (path, name, place)
            if wire != BYTES:
                raise model_error(f"wire type {wire}, but a message needs {BYTES}", here, start)
            self._message(kind, inner, start, stop, depth + 1, here)
            return
        packed = wire == BYTES and known.repeated and kind in _ARRAY
        if wire != _WIRE_TYPE[kind] and not packed:
            raise model_error(
                f"wire type {wire}, but {kind} needs {_WIRE_TYPE[kind]}", (path, name, None), start
            )
        if packed:
            numbers = record.setdefault(name, array(_ARRAY[kind]))
            numbers.frombytes(self._packed(kind, start, stop, (path, name, None)))
            return
        result = self._scalar(kind, value, start, stop, (path, name, None))
        if not known.repeated:
            record[name] = result
        elif kind in _ARRAY:
            record.setdefault(name, array(_ARRAY[kind])).append(result)
        else:
            record.setdefault(name, []).append(result)

    def _scalar(self, kind: Scalar, value: int, start: int, stop: int, path: Path) -> Any:
        if kind == "int":
            return value - (1 << 64) if value >> 63 else value
        if kind == "uint":
            return value
        if kind == "float":
            return _FLOAT.unpack_from(self._data, start)[0]
        if kind == "double":
            return _DOUBLE.unpack_from(self._data, start)[0]
        if kind == "bytes":
            return self._data[start:stop]
        try:
            return str(self._data[start:stop], "utf-8")
        except UnicodeDecodeError as error:
            raise model_error(f"not UTF-8 ({error.reason})", path, start + error.start) from None

    def _varint(self, position: int, end: int, path: Path | None) -> tuple[int, int]:
        data, start = self._data, position
        value = shift = 0
        while position < end:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position
            shift += 7
            if shift == 70:
                raise model_error("a number is longer than 10 bytes", path, start)
        raise model_error("the file ends within a number", path, start)

    def _packed(self, kind: Scalar, start: int, stop: int, path: Path) -> memoryview:
        """The numbers of a packed field, 4 or 8 bytes each."""
        raw = self._data[start:stop]
        if kind in _DTYPE:
            dtype = np.dtype(_DTYPE[kind])
            if len(raw) % dtype.itemsize:
                raise model_error(f"{len(raw)} bytes, no multiple of {dtype.itemsize}", path, start)
            return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("=")).view(np.uint8).data
        values = np.frombuffer(raw, np.uint8)
        ends = np.flatnonzero(values < 0x80)
        if not len(values):
            return values.data
        if not len(ends) or ends[-1] != len(values) - 1:
            raise model_error("a packed field ends within a number", path, start)
        starts = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - starts + 1
        if lengths.max() > 10:
            raise model_error("a number is longer than 10 bytes", path, start + int(starts[lengths.argmax()]))
        numbers = np.zeros(len(ends), np.uint64)
        for place in range(int(lengths.max())):
            longer = lengths > place
            numbers[longer] |= (values[starts[longer] + place] & np.uint8(0x7F)).astype(
                np.uint64
            ) << np.uint64(7 * place)
        return numbers.view(np.uint8).data
