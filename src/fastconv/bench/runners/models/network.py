"""A network that a library has loaded: what it takes to load it, its call, and the memory that it takes. Called by the
modules beside this one, in processes of their own.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.runner import PreparedLayer
from fastconv.typing import Array

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


@dataclass(frozen=True)
class ModelFile:
    """A file, and the backend for fastconv."""

    path: str
    backend: str = ""


@dataclass(frozen=True)
class Found:
    """What a process tells of a network.

    Attributes
    ----------
    outputs : list of ndarray
    load_seconds : float
        From the file to the first result.
    peak_bytes : int
        How many more the process had at most than before it loaded the file; 0 where the system does not say.
    """

    outputs: list[Any]
    load_seconds: float
    peak_bytes: int


Asked = TypeVar("Asked")


class NetworkRunner(ABC, Generic[Asked]):
    """A library, which is asked for a `ModelFile`, or for what else its modules know."""

    name: str
    peer = True

    @abstractmethod
    def load(
        self, file: Asked, arrays: Mapping[str, Array], settings: Settings
    ) -> Callable[[], Sequence[Any]]:
        """The call on these arrays, which gives the outputs in the file's order."""

    def prepare(self, file: Asked, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer:
        with suppress(OSError):
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        before, start = _memory("VmRSS"), time.perf_counter()
        run = self.load(file, arrays, settings)
        run()
        loaded = time.perf_counter() - start

        def told(outputs: Any) -> tuple[Any, ...]:
            return (Found(list(outputs), loaded, max(0, _memory("VmHWM") - before)),)

        return PreparedLayer(run, told)


def _memory(what: str) -> int:
    """Bytes of this process, from a line of what Linux says; 0 elsewhere."""
    with suppress(OSError, ValueError, IndexError):
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) << 10
    return 0
