"""How far a run is, as a line on standard error, or as calls of a function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic

ProgressLike = bool | Callable[[int, int], object]

_EVERY = 0.2  # seconds


class Progress:
    """Told after each part of the work how many are done; a line calls the parts `what`."""

    def __init__(self, wanted: ProgressLike, done: int, total: int, what: str = "tiles") -> None:
        self._wanted, self._total, self._what = wanted, total, what
        self._start, self._shown, self._before = monotonic(), 0.0, done
        self._tell(done)

    def _tell(self, done: int) -> None:
        if callable(self._wanted):
            self._wanted(done, self._total)
        elif self._wanted:
            self._line(done)

    def _line(self, done: int) -> None:
        now = monotonic()
        if done < self._total and now - self._shown < _EVERY:
            return
        self._shown = now
        passed, left = now - self._start, ""
        if self._before < done < self._total:
            left = f", {passed * (self._total - done) / (done - self._before):.0f} s to go"
        text = f"{self._what}: {done} of {self._total}, {passed:.0f} s{left}"
        sys.stderr.write(f"\r{text:<60}" + ("\n" if done == self._total else ""))
        sys.stderr.flush()

    def __call__(self, done: int) -> None:
        self._tell(done)
