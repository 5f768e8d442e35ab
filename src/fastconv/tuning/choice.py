"""The kernel that was measured to be the fastest: from the tuning file, or measured now and put there.

Called by plans and programs with ``tune=True`` and by ``fastconv tune``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from fastconv import backends
from fastconv._version import __version__
from fastconv.backends.protocol import Backend
from fastconv.caches import constant
from fastconv.execution.memory import empty, memory_errors
from fastconv.machine.processor import processor_model
from fastconv.problem.convolution import ConvProblem, with_algorithm
from fastconv.settings.threads import get_num_threads
from fastconv.settings.warning import warn_once
from fastconv.tuning.entries import Entry, Key, Machine, in_words
from fastconv.tuning.race import Call, race
from fastconv.tuning.store import NotKept, ReadOnly, location, read, writing
from fastconv.typing import Array

SECONDS = 0.5  # for a problem, and one call of its slowest candidate
MOST_CANDIDATES = 4


class Choice(NamedTuple):
    """What became of a problem.

    Attributes
    ----------
    problem : ConvProblem
        The same one, with the algorithm that it is to be done by, where that was measured.
    entry : Entry or None
        That of the tuning file.
    told : str
        How it was chosen, for a person.
    """

    problem: ConvProblem
    entry: Entry | None
    told: str


def check_choice(op: str, backend: Backend) -> None:
    """Refuse to tune for a backend that has nothing to choose from."""
    if len(backend.algorithms()) < 2:
        raise ValueError(
            f"{op}: tune is True, but the {backend.name} backend has one algorithm, and nothing to measure: "
            "tune is for the cython backend"
        )


def choose(
    backend: Backend,
    problem: ConvProblem,
    weight: Callable[[], Array],
    seconds: float = SECONDS,
    again: bool = False,
) -> Choice:
    """The choice for a problem; with `again`, what the file says is measured anew. `weight` makes its weights.

    What is measured counts only where it can be kept: otherwise the next process might choose another kernel, whose
    results are rounded differently.
    """
    names = backend.candidates(problem)
    if not problem.batch or len(names) < 2:
        return Choice(problem, None, "not measured: there is nothing to choose")
    here = machine(backend)
    key = here, in_words(problem)
    path = location()
    entry = None if again else _usable(read(path, here).get(key), names)
    if entry is None:
        try:
            with writing(path) as entries:
                # Another process may have measured it while this one waited.
                entry = None if again else _usable(entries.get(key), names)
                if entry is None:
                    times = measure(backend, problem, weight(), names[:MOST_CANDIDATES], seconds)
                    entry = entries[key] = _entry(key, times)
        except NotKept as reason:
            if not isinstance(reason, ReadOnly):
                warn_once(f"nothing is measured, as it could not be kept: {reason}", RuntimeWarning)
            return Choice(problem, None, f"not measured, as it could not be kept: {reason}")
    return Choice(with_algorithm(problem, entry.kernel), entry, _told(entry))


def machine(backend: Backend) -> Machine:
    """What the backend's measurements hold for."""
    return Machine(_processor(), str(backend.instruction_set), __version__)


@constant
def _processor() -> str:
    return processor_model()  # with hundreds of cores the system takes its time


def this_machine() -> Machine | None:
    """That of the backend that has a choice of kernels; None where it was not built."""
    try:
        return machine(backends.load("cython"))
    except backends.BackendUnavailableError:
        return None


def measure(
    backend: Backend, problem: ConvProblem, weight: Array, names: tuple[str, ...], seconds: float
) -> dict[str, float]:
    """Seconds of a call with prepared weights, of the algorithms of these names or the first of them."""
    x = empty(problem.op, problem.operand_shape, problem.dtype, "the input that kernels are measured with")
    x.reshape(-1)[:] = np.resize(np.linspace(-1, 1, 4099, dtype=problem.dtype), x.size)
    out = empty(problem.op, problem.result_shape, problem.dtype)
    out.fill(0)  # so that its pages are there

    def enter(name: str) -> Call:
        chosen = with_algorithm(problem, name)
        return partial(
            backend.conv, chosen, x, backend.prepare(chosen, weight), None, None, None, out
        )  # fmt: skip

    entrants: dict[str, Callable[[], Call]] = {name: partial(enter, name) for name in names}
    with memory_errors(problem.op):
        return race(entrants, seconds)


def _usable(entry: Entry | None, names: tuple[str, ...]) -> Entry | None:
    """The entry, if its kernel can do the problem: whoever wrote the file may be wrong."""
    if entry is not None and entry.kernel not in names:
        warn_once(
            f"the tuning file {location()} is ignored where it says {entry.kernel} for {entry.problem}, "
            f"which needs one of {', '.join(names)}",
            RuntimeWarning,
        )
        return None
    return entry


def _entry(key: Key, times: dict[str, float]) -> Entry:
    return Entry(
        *key[0],
        problem=key[1],
        kernel=min(times, key=times.__getitem__),
        microseconds={name: float(f"{1e6 * seconds:.4g}") for name, seconds in times.items()},
        threads=get_num_threads(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _told(entry: Entry) -> str:
    times = sorted(entry.microseconds.items(), key=lambda item: item[1])
    found = ", ".join(f"{name} {time:g} us" for name, time in times)
    return f"measured {entry.date[:10]} with {entry.threads} thread(s): {found}"
