"""The threads of the pool beside those of OpenMP, in turns and in one process. Called by `studies.py`.

The situations: quiet; beside a process that computes without a pause; in turns with a product of matrices by NumPy, and
by PyTorch where it is installed, in the same process, whose time is part of the sample; a single call after a pause,
when all threads sleep, also on one thread; and the first call in a child of ``fork``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import fastconv
from fastconv.bench.layers.networks import network
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.neighbours import busy_neighbours
from fastconv.bench.measure.results import ThreadingPoint
from fastconv.bench.measure.timer import Pace, Timer
from fastconv.bench.runners import peers
from fastconv.bench.runners.backend import BackendRunner
from fastconv.machine.stopwatch import stopwatch
from fastconv.typing import ThreadingName

Call = Callable[[], object]
QUIET, BUSY, NUMPY, TORCH = "quiet", "beside a busy process", "in turns with NumPy", "in turns with PyTorch"
PAUSE, FORK = "after a pause", "first call after fork"
REST = 0.02  # seconds; OpenMP's threads spin for some milliseconds, on cores that the pool's then want
SIDE = 256  # of the matrices
FORKS = 5


def threading_layers(
    settings: Settings, progress: Callable[[str], None] = lambda text: None
) -> Iterator[ThreadingPoint]:
    """The layers of the set ``"threads"`` in all situations; without those of OpenMP where it cannot be used."""
    before = fastconv.get_threading()
    names: list[ThreadingName] = ["pool"]
    try:
        fastconv.set_threading("openmp")
        names.append("openmp")
    except ValueError:
        progress("threads from the pool alone")
    try:
        with fastconv.num_threads(settings.threads), threadpool_limits(settings.threads, user_api="blas"):
            yield from _all_situations(names, settings, progress)
    finally:
        fastconv.set_threading(before)


def _all_situations(
    names: list[ThreadingName], settings: Settings, progress: Callable[[str], None]
) -> Iterator[ThreadingPoint]:
    calls: dict[str, Call] = {}
    for layer, _ in network("threads"):
        prepared = BackendRunner("cython").prepare(layer, layer.arrays(), replace(settings, mode="plan"))
        if prepared is not None:
            calls[layer.name] = prepared.run
    steady = Pace(settings.rounds, block=settings.block / 4, rest=REST, warm=True)
    single = Pace(4 * settings.rounds, rest=REST)
    quiet: AbstractContextManager[None] = nullcontext()
    situations: dict[str, tuple[AbstractContextManager[None], Call | None, Pace]] = {
        QUIET: (quiet, None, steady),
        BUSY: (busy_neighbours(1), None, steady),
        NUMPY: (quiet, _product_of_numpy(), steady),
        TORCH: (quiet, _product_of_torch(settings.threads), steady),
        PAUSE: (quiet, None, single),
    }
    for situation, (surroundings, other, pace) in situations.items():
        if other is None and situation == TORCH:
            continue
        progress(f"threads, {situation}")
        counts = (settings.threads, 1) if situation == PAUSE and settings.threads > 1 else (settings.threads,)
        timed = {
            (layer, name, n): _on(name, n, call, other)
            for layer, call in calls.items()
            for name in names
            for n in counts
            if n > 1 or len(counts) == 1 or name == "pool"
        }
        with surroundings:
            for call in timed.values():
                call()
            for (title, name, n), seconds in Timer(timed, pace).run().items():
                yield ThreadingPoint(situation, title, name, n, median(seconds))
    if hasattr(os, "fork"):
        progress(f"threads, {FORK}")
        yield from _forks(calls, names, settings.threads)


def _on(name: ThreadingName, n: int, call: Call, other: Call | None) -> Call:
    """`call` with threads of a layer, after another library's; the choice costs more than many a call."""

    def called() -> None:
        if fastconv.get_threading() != name:
            fastconv.set_threading(name)
        with fastconv.num_threads(n):
            if other is not None:
                other()
            call()

    return called


def _product_of_numpy() -> Call:
    a, b = np.random.default_rng(0).standard_normal((2, SIDE, SIDE), np.float32)
    out = a @ b
    return lambda: np.matmul(a, b, out=out)


def _product_of_torch(threads: int) -> Call | None:
    if importlib.util.find_spec("torch") is None:
        return None
    torch: Any = importlib.import_module("torch")
    peers.set_threads(threads)
    a, b = torch.from_numpy(np.random.default_rng(0).standard_normal((2, SIDE, SIDE), np.float32))
    out = a @ b
    return lambda: torch.matmul(a, b, out=out)


def _forks(calls: Mapping[str, Call], names: list[ThreadingName], threads: int) -> Iterator[ThreadingPoint]:
    for layer, call in calls.items():
        for name in names:
            fastconv.set_threading(name)
            call()
            yield ThreadingPoint(FORK, layer, name, threads, median(_in_child(call) for _ in range(FORKS)))


def _in_child(call: Call) -> float:
    """Seconds of the first call in a child process."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():  # of Python's, on threads that a child does not have
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.write(writing, struct.pack("d", stopwatch(call)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    if len(answer) != struct.calcsize("d"):
        raise RuntimeError("a call in a child of fork failed")
    seconds: float = struct.unpack("d", answer)[0]
    return seconds
