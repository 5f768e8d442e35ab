"""Whether the machine was quiet: how much others used it meanwhile; and neighbours that are asked for.

Called by `session.py` and `threading.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BUSY = "while True: pass"
_STARTING = 0.5  # seconds


@contextmanager
def busy_neighbours(n: int) -> Iterator[None]:
    """So many processes that compute without a pause."""
    processes = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(n)]
    try:
        if processes:
            time.sleep(_STARTING)
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


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
