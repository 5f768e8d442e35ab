"""The types that an element of a tensor may have, by ONNX's numbers, and how those that NumPy lacks are held.

bfloat16 and the floats of 8 bits and fewer are held in float32, integers of 4 and 2 bits in int8 and uint8: all their
values are there exactly, and arithmetic goes on in the wider type; a cast rounds. Used by operations that name a type,
and by whoever reads tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fastconv.typing import Array


@dataclass(frozen=True)
class SmallFloat:
    """A float of 8 bits or fewer, with a sign (or none) in front: which value each code means."""

    exponent: int
    mantissa: int
    bias: int
    special: str  # "ieee": infinities and NaN; "one_nan": the last code of each sign; "zero_nan": -0 is NaN; "none"
    signed: bool = True

    @cached_property
    def magnitudes(self) -> Array:
        """The finite values without a sign, ascending: the place of a value is its code."""
        codes = np.arange(1 << (self.exponent + self.mantissa))
        power, fraction = codes >> self.mantissa, (codes & ((1 << self.mantissa) - 1)) / (1 << self.mantissa)
        values = np.where(
            power == 0, fraction * 2.0 ** (1 - self.bias), (1 + fraction) * 2.0 ** (power - self.bias)
        )
        if not self.signed:  # E8M0: powers of 2, all codes but the last
            values = 2.0 ** (codes - float(self.bias))
        if self.special == "ieee":
            values = values[power < (1 << self.exponent) - 1]
        if self.special == "one_nan":
            values = values[:-1]
        return values.astype(np.float32)

    @cached_property
    def table(self) -> Array:
        """The value of each code."""
        count = 1 << (self.exponent + self.mantissa)
        half = np.full(count, np.nan, np.float32)
        half[: len(self.magnitudes)] = self.magnitudes
        if self.special == "ieee":
            half[len(self.magnitudes)] = np.inf
        if not self.signed:
            return half
        table = np.concatenate([half, -half])
        if self.special == "zero_nan":
            table[count] = np.nan
        return table

    def rounded(self, x: Array, saturate: bool) -> Array:
        """The nearest values, of two as near that of the even code; beyond the largest, that or what is not finite."""
        sizes = np.abs(x.astype(np.float32))
        values = self.magnitudes
        middles = (values[1:].astype(np.float64) + values[:-1]) / 2
        place = np.searchsorted(middles, sizes.astype(np.float64), side="left")
        tie = (
            (place < len(middles))
            & (middles[np.minimum(place, len(middles) - 1)] == sizes)
            & (place % 2 == 1)
        )
        result = values[place + tie]
        step = float(values[-1]) - float(values[-2])
        over = sizes >= float(values[-1]) + step / 2
        if saturate or self.special == "none":
            result = np.where(over, values[-1], result)
        else:
            result = np.where(over, np.inf if self.special == "ieee" else np.nan, result)
        if self.signed:
            result = np.copysign(result, x)
        result = np.where(np.isnan(x), -0.0 if self.special == "none" else np.nan, result)
        if self.special == "zero_nan":
            result = np.where(result == 0, np.abs(result), result)
        return result.astype(np.float32)


class Element(NamedTuple):
    """One type: its name, the NumPy dtype that holds it, and what a file needs for one."""

    name: str
    dtype: np.dtype[Any]
    bits: int
    small: SmallFloat | None = None

    @property
    def is_held_wider(self) -> bool:
        return self.bits < 8 or self.small is not None or self.name == "bfloat16"

    def cast(self, x: Array, saturate: bool = True) -> Array:
        """`x` with the values that this type has."""
        if self.small is not None:
            return self.small.rounded(x.astype(np.float32), saturate)
        if self.name == "bfloat16":
            return _to_bfloat16(x.astype(np.float32))
        if self.bits < 8:
            signed = self.dtype.kind == "i"
            whole = x.astype(np.int64) & ((1 << self.bits) - 1)
            if signed:
                whole = (whole ^ (1 << (self.bits - 1))) - (1 << (self.bits - 1))
            return whole.astype(self.dtype)
        return x.astype(self.dtype)


def _to_bfloat16(x: Array) -> Array:
    bits = np.ascontiguousarray(x).view(np.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return np.where(np.isnan(x), x, (rounded & 0xFFFF0000).astype(np.uint32).view(np.float32)).astype(
        np.float32
    )


def _plain(name: str) -> Element:
    dtype = np.dtype(name)
    return Element(name, dtype, 8 * dtype.itemsize)


_SINGLE, _BYTE, _SIGNED_BYTE = np.dtype(np.float32), np.dtype(np.uint8), np.dtype(np.int8)


class _Elements(dict[int, "Element"]):
    def __missing__(self, number: int) -> Element:
        raise ValueError(f"element type {number} is not known")


ELEMENTS = _Elements(
    {
        1: _plain("float32"),
        2: _plain("uint8"),
        3: _plain("int8"),
        4: _plain("uint16"),
        5: _plain("int16"),
        6: _plain("int32"),
        7: _plain("int64"),
        8: Element("string", np.dtype(object), 0),
        9: _plain("bool"),
        10: _plain("float16"),
        11: _plain("float64"),
        12: _plain("uint32"),
        13: _plain("uint64"),
        14: _plain("complex64"),
        15: _plain("complex128"),
        16: Element("bfloat16", _SINGLE, 16),
        17: Element("float8e4m3fn", _SINGLE, 8, SmallFloat(4, 3, 7, "one_nan")),
        18: Element("float8e4m3fnuz", _SINGLE, 8, SmallFloat(4, 3, 8, "zero_nan")),
        19: Element("float8e5m2", _SINGLE, 8, SmallFloat(5, 2, 15, "ieee")),
        20: Element("float8e5m2fnuz", _SINGLE, 8, SmallFloat(5, 2, 16, "zero_nan")),
        21: Element("uint4", _BYTE, 4),
        22: Element("int4", _SIGNED_BYTE, 4),
        23: Element("float4e2m1", _SINGLE, 4, SmallFloat(2, 1, 1, "none")),
        24: Element("float8e8m0", _SINGLE, 8, SmallFloat(8, 0, 127, "one_nan", signed=False)),
        25: Element("uint2", _BYTE, 2),
        26: Element("int2", _SIGNED_BYTE, 2),
        27: Element("float6e2m3", _SINGLE, 6, SmallFloat(2, 3, 1, "none")),
        28: Element("float6e3m2", _SINGLE, 6, SmallFloat(3, 2, 3, "none")),
    }
)
# Of the types that NumPy has: the number of each dtype.
NUMBERS: dict[np.dtype[Any], int] = {e.dtype: n for n, e in ELEMENTS.items() if not e.is_held_wider}
