"""Whether the machine was quiet: how much others used it meanwhile. Called by `session.py`."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Neighbours:
    """How many cores other programs, and other guests of the same host, use meanwhile (Linux; else 0)."""

    def __init__(self) -> None:
        self._start = self._now()

    def _now(self) -> tuple[float, float, float]:
        """Seconds: on the clock, of this process, and of all that is not idle."""
        return time.perf_counter(), sum(os.times()[:4]), _busy()

    def cores(self) -> float:
        """The mean number since the object was made."""
        clock, own, busy = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, (busy - own) / clock) if clock > 0 else 0.0


def _busy() -> float:
    """Seconds that all processors were not idle, those taken away by the host included."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    except (OSError, IndexError, UnicodeDecodeError):
        return 0.0
    user, nice, system, _, _, *rest = map(int, words[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
