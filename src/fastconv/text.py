"""Numbers, sizes and tables as text for people. Used by whoever prints: programs, commands, benchmarks."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Container, Sequence
from typing import Any

ABSENT = "-"


class _Echo(reprlib.Repr):
    """Python refuses to write out integers of thousands of digits, and an array would fill the screen."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 80

    def repr_int(self, x: int, level: int) -> str:
        return str(x) if x.bit_length() <= 128 else f"an integer of {x.bit_length()} bits"

    def repr_ndarray(self, array: Any, level: int) -> str:
        if array.size <= 6:
            return self.repr_instance(array, level)
        return f"an array of shape {array.shape} and dtype {array.dtype}"


_echo = _Echo()


def echo(value: object) -> str:
    """What a user gave, as an error shows it: as Python writes it where that is short."""
    return _echo.repr(value)


def digits(value: float) -> str:
    """About three significant digits, as in ``1,234``, ``12.3``, ``0.98``."""
    if not math.isfinite(value):
        return ABSENT
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.0995 or value == 0:
        return f"{value:.2f}"
    return f"{value:.3f}" if value >= 0.00995 else f"{value:.1g}"


def counted(number: int, what: str) -> str:
    """As in ``1 layer``, ``1,200 layers``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """With its unit, as in ``12.3 ms``."""
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= 0.9995 * unit:
            return f"{digits(seconds / unit)} {name}"
    return ABSENT if math.isnan(seconds) else f"{digits(1e6 * seconds)} µs"


def byte_text(count: float) -> str:
    """With its unit, as in ``12.3 MiB``."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{digits(count / unit)} {name}"
    return f"{count:.0f} bytes"


def count_text(count: float) -> str:
    """As in ``12.3 M``, ``1.20 G``; small ones as they are."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{digits(count / unit)} {name}"
    return f"{count:.0f}"


def shape_text(shape: Sequence[int | str | None] | None) -> str:
    """As in ``1x3x224x224``; what is not known is a question mark."""
    if shape is None:
        return "?"
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def shortened(text: str, most: int = 40) -> str:
    """The end of a long text, which tells more of a name than its beginning does."""
    return text if len(text) <= most else f"...{text[3 - most :]}"


def table_lines(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> list[str]:
    """Rows of equally many cells as lines with aligned columns; those of these numbers are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def filled_columns(rows: Sequence[Sequence[str]]) -> list[int]:
    """Those in which, below their heads, something stands."""
    return [place for place, column in enumerate(zip(*rows[1:], strict=True)) if set(column) - {ABSENT, ""}]
