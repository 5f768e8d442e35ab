"""A peer in a process of its own, which is stopped while it is not asked for anything.

For libraries whose threads never sleep: they would take the cores from all others. The process is this file, started
with the name of a module that has `RUNNERS`; it times its own calls. Called by the modules of `peers/`.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from fastconv.bench.layers.settings import Settings
from fastconv.bench.runners.runner import ApartCall, PreparedLayer, Runner
from fastconv.machine.stopwatch import stopwatch
from fastconv.typing import Array

_END_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class ApartRunner:
    """The first runner of a module, in another process, which begins with the first layer and ends with this one.

    Parameters
    ----------
    name : str
        Of the runner.
    module : str
        Where it is.
    """

    peer = True

    def __init__(self, name: str, module: str) -> None:
        self.name, self._module = name, module
        self._process: subprocess.Popen[bytes] | None = None
        self._layers = 0  # so far: an earlier one is no longer there

    def prepare(self, layer: Any, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        """A layer, or what else the runner there takes."""
        self._layers += 1
        prepared: bool = self.ask("prepare", layer, dict(arrays), settings)
        return PreparedLayer(_Call(self, self._layers), lambda images: images) if prepared else None

    def ask(self, *request: Any) -> Any:
        """What the process answers; an error of its own is raised here."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # so that `end` reaches what the library starts in turn
            )
            atexit.register(self.end)
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError(f"{self.name}: the process has no pipes")
        process.send_signal(signal.SIGCONT)
        try:
            pickle.dump(request, process.stdin)
            process.stdin.flush()
            answer = pickle.load(process.stdout)
        except (OSError, EOFError):
            self.end()
            raise RuntimeError(f"{self.name}: its process ended") from None
        process.send_signal(signal.SIGSTOP)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """End the process; the next layer begins another one."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # what was not yet sent has nobody to go to
                        pipe.close()

    def is_current(self, number: int) -> bool:
        """Whether that layer is the one that the process has."""
        return number == self._layers


class _Call(ApartCall):
    """The layer that the process has prepared."""

    def __init__(self, runner: ApartRunner, number: int) -> None:
        self._runner, self._number = runner, number

    def __call__(self) -> Any:
        return self._ask("images")

    def seconds(self, times: int) -> float:
        taken: float = self._ask("time", times)
        return taken

    def _ask(self, *request: Any) -> Any:
        if not self._runner.is_current(self._number):
            raise RuntimeError(f"{self._runner.name}: another layer has been prepared since")
        return self._runner.ask(*request)


def _serve(runner: Runner, requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until nobody asks."""
    prepared: PreparedLayer | None = None
    while True:
        try:
            what, *given = pickle.load(requests)
        except EOFError:
            return
        answer: Any
        try:
            if what == "prepare":
                prepared = None  # its memory goes before the next takes some
                prepared = runner.prepare(*given)
                answer = prepared is not None
            elif prepared is None:
                raise RuntimeError("no layer is prepared")
            elif what == "time":
                answer = stopwatch(prepared.run, given[0])
            else:
                answer = prepared.images(prepared.run())
        except Exception as error:
            answer = RuntimeError(f"{type(error).__name__}: {error}")
        pickle.dump(answer, answers)
        answers.flush()


def _main() -> None:
    """What libraries print does not come between the answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    module = importlib.import_module(sys.argv[1])
    _serve(module.RUNNERS[0], sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
