"""Numbers of measurements as text. Called by the tables, the pictures and the report."""

from __future__ import annotations

import math
from typing import Any

from fastconv.bench.measure.results import Row
from fastconv.text import ABSENT, digits


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
