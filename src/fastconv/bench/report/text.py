"""Numbers as text. Called by the tables, the pictures and the report."""

from __future__ import annotations

import math
from typing import Any

from fastconv.bench.measure.results import Row

ABSENT = "-"


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


def rate_text(row: Row) -> str:
    """With its unit, as in ``98.7 GFLOP/s``."""
    return f"{digits(row.rate / 1e9)} {row.unit}"


def share_text(row: Row) -> str:
    """Per cent of the limit; absent where the machine's limits are not known."""
    return f"{100 * row.share:.0f} %" if row.bound > 0 else ABSENT


def error_text(error: float) -> str:
    """As in ``1.2e-07``; zero is exact."""
    return ABSENT if math.isnan(error) else f"{error:.1e}" if error else "0"


def listed(value: Any) -> str:
    """Elements with commas between."""
    return ", ".join(map(listed, value)) if isinstance(value, (tuple, list)) else str(value)
