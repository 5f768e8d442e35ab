"""Dictionaries to protobuf's wire format, by the tables of `messages.py`: back from `wire.py`. Called by `save`."""

from __future__ import annotations

import struct
from typing import Any

from fastconv.onnx.wire import BYTES, FIXED32, FIXED64, VARINT, Message, Record, Scalar


def encode(kind: Message, record: Record) -> bytes:
    """A message: those of its fields that the record has."""
    parts: list[bytes] = []
    for number, field in kind.fields.items():
        value = record.get(field.name)
        if value is not None:
            for one in value if field.repeated else (value,):
                parts += _field(number, field.kind, one)
    return b"".join(parts)


def _field(number: int, kind: Scalar | Message, value: Any) -> list[bytes]:
    if isinstance(kind, Message) or kind in ("text", "bytes"):
        data = _bytes(kind, value)
        return [_varint(number << 3 | BYTES), _varint(len(data)), data]
    if kind == "float":
        return [_varint(number << 3 | FIXED32), struct.pack("<f", value)]
    if kind == "double":
        return [_varint(number << 3 | FIXED64), struct.pack("<d", value)]
    return [_varint(number << 3 | VARINT), _varint(int(value) & 0xFFFF_FFFF_FFFF_FFFF)]


def _bytes(kind: Scalar | Message, value: Any) -> bytes:
    if isinstance(kind, Message):
        return encode(kind, value)
    return value.encode() if kind == "text" else bytes(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
