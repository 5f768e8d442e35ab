"""Protobuf's wire format: bytes to dictionaries, by the tables of `messages.py`. Called by `load`.

The bytes come from anybody. What is read is checked against the end of its message before it is used, nesting and the
number of messages are bounded, numbers of a repeated field take 8 bytes each, and bytes stay where they are.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from fastconv.onnx.error import Path, model_error

DEEPEST = 100  # messages within messages, as protobuf's own parsers
MOST_MESSAGES = 1_000_000
_SMALL = 64  # bytes of messages that are compared

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WITH_NUMBER = (BYTES, VARINT)  # which is a length, or the value
_NUMBERS = {"float": struct.Struct("<f"), "double": struct.Struct("<d")}

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


class Field(NamedTuple):
    name: str
    kind: Scalar | Message
    repeated: bool = False

    @property
    def wire(self) -> int:
        """The wire type of one value."""
        return BYTES if isinstance(self.kind, Message) else _WIRE_TYPE[self.kind]

    @property
    def may_be_packed(self) -> bool:
        return self.repeated and self.kind in _ARRAY


@dataclass(eq=False)
class Message:
    """A kind of message: its fields by their numbers. Filled in later where messages nest in circles.

    Of those that are often `alike`, byte for byte, small ones are read once. They have to be repeated fields.
    """

    name: str
    fields: dict[int, Field] = field(default_factory=dict)
    alike: bool = False

    @cached_property
    def tags(self) -> dict[int, tuple[str, Scalar, Message | None, bool, str | None]]:
        """The fields by what is in front of each value, number and wire type: the name, the kind of scalar or message,
        whether there may be several, and the array that several numbers are."""
        tags = {}
        for number, known in self.fields.items():
            message = known.kind if isinstance(known.kind, Message) else None
            scalar: Scalar = "bytes" if isinstance(known.kind, Message) else known.kind
            tags[number << 3 | known.wire] = known.name, scalar, message, known.repeated, _ARRAY.get(scalar)
        return tags


class Parser:
    """Reads the messages of one file."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._messages = 0
        self._alike: dict[tuple[Message, bytes], Record] = {}

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
        key, count = None, self._messages
        if kind.alike and end - start <= _SMALL:
            key = kind, bytes(self._data[start:end])
            known_record = self._alike.get(key)
            if known_record is not None:
                record.update(known_record, **{"@": start})
                return
        # A file has thousands of fields: those that are as expected are read here, without calls.
        data, position, tags = self._data, start, kind.tags
        while position < end:
            at = position
            # Most numbers have one byte: no call for these.
            tag, position = data[position], position + 1
            if tag > 0x7F:
                tag, position = self._varint(at, end, path)
            wire = tag & 7
            if wire in _WITH_NUMBER:
                if position < end and (value := data[position]) < 0x80:
                    position += 1
                else:
                    value, position = self._varint(position, end, path)
                stop = position if wire == VARINT else position + value
            elif wire in (FIXED32, FIXED64):
                value, stop = 0, position + (4 if wire == FIXED32 else 8)
            else:
                value, stop = 0, position
            known = tags.get(tag)
            if known is None or stop > end:
                self._unexpected(kind, record, tag, at, position, stop, end, path)
                position = stop
                continue
            name, scalar, message, repeated, code = known
            if scalar == "text":
                try:
                    result: Any = str(data[position:stop], "utf-8")
                except UnicodeDecodeError as error:
                    here = (path, name, None)
                    raise model_error(f"not UTF-8 ({error.reason})", here, position + error.start) from None
            elif message is not None:
                place = len(record.get(name, ())) if repeated else None
                # Not repeated, the second of two adds to the first.
                result = {} if repeated else record.get(name, {})
                self._message(message, result, position, stop, depth + 1, (path, name, place))
            elif scalar == "int":
                result = value - (1 << 64) if value >> 63 else value
            elif scalar == "bytes":
                result = data[position:stop]
            elif scalar == "uint":
                result = value
            else:
                (result,) = _NUMBERS[scalar].unpack_from(data, position)
            if not repeated:
                record[name] = result
            elif name in record:
                record[name].append(result)
            else:
                record[name] = [result] if code is None else array(code, (result,))
            position = stop
        if key is not None and self._messages == count:  # what is nested says where it is itself
            self._alike[key] = record.copy()

    def _unexpected(
        self,
        kind: Message,
        record: Record,
        tag: int,
        at: int,
        start: int,
        stop: int,
        end: int,
        path: Path | None,
    ) -> None:
        """A field that begins at `at` and is none of a known number and its wire type: packed numbers, what is not
        known, or an error."""
        number, wire = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise model_error(f"a field of {kind.name} has the number {number}", path, at)
        if wire not in (VARINT, FIXED64, BYTES, FIXED32):
            groups = wire in (3, 4)
            what = "a group, which ONNX does not use" if groups else f"of the unknown wire type {wire}"
            raise model_error(f"field {number} of {kind.name} is {what}", path, at)
        if stop > end:
            raise model_error(
                f"field {number} of {kind.name} ends at byte {stop}, beyond its message's end at {end}",
                path,
                at,
            )
        known = kind.fields.get(number)
        if known is None:
            return
        if isinstance(known.kind, Message):
            here = (path, known.name, len(record.get(known.name, ())) if known.repeated else None)
            raise model_error(f"wire type {wire}, but a message needs {BYTES}", here, start)
        here = (path, known.name, None)
        if wire != BYTES or not known.may_be_packed:
            raise model_error(f"wire type {wire}, but {known.kind} needs {known.wire}", here, start)
        numbers = record.setdefault(known.name, array(_ARRAY[known.kind]))
        numbers.frombytes(self._packed(known.kind, start, stop, here))

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
            if sys.byteorder == "little":
                return raw
            return np.frombuffer(raw, dtype).astype(dtype.newbyteorder("=")).view(np.uint8).data
        if len(raw) <= _SMALL:  # a shape, or axes
            few, position = array("Q"), start
            while position < stop:
                number, position = self._varint(position, stop, path)
                few.append(number)
            return memoryview(few).cast("B")
        values = np.frombuffer(raw, np.uint8)
        ends = np.flatnonzero(values < 0x80)
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
