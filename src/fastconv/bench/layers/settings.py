"""How layers are measured. Read by the runners, the check, the timer and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fastconv.typing import Layout, Precision

Dtype: TypeAlias = Literal["float32", "float64"]
Mode: TypeAlias = Literal["plan", "call", "gradient"]


@dataclass(frozen=True)
class Settings:
    """What all rows of a measurement have in common.

    ``mode`` is ``"plan"`` (weights prepared before), ``"call"`` (the function, which prepares them) or
    ``"gradient"`` (of all arguments at once).
    """

    layout: Layout = "NCHW"
    dtype: Dtype = "float32"
    threads: int = 1
    mode: Mode = "plan"
    precision: Precision = "fast"
    rounds: int = 5
    block: float = 0.012  # seconds that one sample lasts at least
    # Seconds before it, for others' threads to go to sleep: OpenBLAS's spin for 2**26 ticks, about 30 ms.
    idle: float = 0.05
    neighbours: int = 0  # processes that compute meanwhile
