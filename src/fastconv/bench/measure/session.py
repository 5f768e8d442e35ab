"""Runs layers on runners, checks what comes out, times them side by side, and collects the results.

Called by `commands/run.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import fastconv
from fastconv.bench.layers.layer import Layer, Shape
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.neighbours import Neighbours, busy_neighbours
from fastconv.bench.measure.results import Results, Row
from fastconv.bench.measure.timer import side_by_side
from fastconv.bench.oracle.check import WrongResult, agree, check
from fastconv.bench.runners import peers
from fastconv.bench.runners.backend import UNFOLD, BackendRunner, UnfoldRunner
from fastconv.bench.runners.runner import PreparedLayer, Runner
from fastconv.commands.printable import printable
from fastconv.config import build_config
from fastconv.limits import Limits
from fastconv.machine.processor import processor_model
from fastconv.typing import Array, BackendName

NOISE = 1.15  # slowest round over fastest, in the median: above, the machine was not quiet
BUSY = 0.1  # cores that others use
LIMITS_NOISE = 0.1  # usual round over best, less 1, when the limits were measured


@dataclass(frozen=True)
class Job:
    """A layer, and how often its group has it."""

    group: str
    layer: Layer
    count: int = 1


class Session:
    """A measurement of some jobs. The peers keep its number of threads.

    Parameters
    ----------
    settings : Settings
    backends : sequence of str
        Those of fastconv.
    peer_names : sequence of str, optional
        By default all that are installed.
    limits : Limits, optional
        The machine's.
    algorithms : sequence of str
        Of the cython backend: a runner more for each.
    """

    def __init__(
        self,
        settings: Settings,
        backends: Sequence[BackendName],
        peer_names: Sequence[str] | None = None,
        limits: Limits | None = None,
        algorithms: Sequence[str] = (),
    ) -> None:
        others, versions, missing = peers.available(peer_names)
        by_name = (UnfoldRunner() if name == UNFOLD else BackendRunner("cython", name) for name in algorithms)
        self.runners: list[Runner] = [*map(BackendRunner, backends), *by_name, *others]
        self.results = Results(
            date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            config=_printable({**build_config(), "processor": processor_model()}),
            settings=settings,
            limits=limits,
            versions=_printable(versions),
            missing=_printable(missing),
        )
        self.wrong = False

    def run(
        self, jobs: Sequence[Job], progress: Callable[[Job, int], None] = lambda job, step: None
    ) -> Results:
        """Measure all `jobs`.

        Parameters
        ----------
        jobs : sequence of Job
        progress : callable
            Called with the job and the number of steps of it that are done, of `steps`; after the last one its rows
            are among the results.

        Returns
        -------
        Results
        """
        neighbours = Neighbours()
        with ExitStack() as stack:
            stack.enter_context(fastconv.num_threads(self.results.settings.threads))
            stack.enter_context(threadpool_limits(self.results.settings.threads))
            peers.set_threads(self.results.settings.threads)
            stack.enter_context(busy_neighbours(self.results.settings.neighbours))
            for job in jobs:
                self._measure(job, progress)
        peers.end_processes()  # only then is their time known, and no stranger's
        self._judge(neighbours.cores())
        return self.results

    @property
    def steps(self) -> int:
        """Of one job: one for the preparation, one for each round, one when all is there."""
        return 2 + max(2, self.results.settings.rounds)

    def _measure(self, job: Job, progress: Callable[[Job, int], None]) -> None:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            progress(job, done)

        settings, layer = self.results.settings, job.layer
        arrays = layer.arrays(settings.dtype)
        ready: dict[str, tuple[Runner, PreparedLayer, float, Shape]] = {}
        first: tuple[Array, ...] | None = None
        for runner in self.runners:
            made = self._prepare(runner, layer, arrays, first)
            if made is not None:
                prepared, error, images = made
                first = first or images
                ready[runner.name] = runner, prepared, error, prepared.shape or images[0].shape
        first = None
        step()
        seconds = side_by_side(
            {name: prepared.run for name, (_, prepared, _, _) in ready.items()}, settings, step
        )
        for name, (runner, prepared, error, shape) in ready.items():
            self.results.rows.append(self._row(job, runner, prepared, error, shape, seconds[name]))
        progress(job, self.steps)

    def _row(
        self,
        job: Job,
        runner: Runner,
        prepared: PreparedLayer,
        error: float,
        shape: Shape,
        seconds: tuple[float, ...],
    ) -> Row:
        settings, limits = self.results.settings, self.results.limits
        gradient = settings.mode == "gradient"
        flops = (2 if gradient else 1) * job.layer.flops(shape)  # by the input, and by the weights
        itemsize = np.dtype(settings.dtype).itemsize
        size = job.layer.bytes(shape, itemsize, gradient)
        operations = flops if prepared.flops is None else prepared.flops
        moved = size  # and the weights as they are prepared
        if settings.mode == "plan" and prepared.weight_bytes is not None:
            moved += prepared.weight_bytes - job.layer.weight_bytes(itemsize)
        work = operations, moved, settings.dtype, settings.threads
        bound, limit = (limits.attainable(*work), limits.binding(*work)) if limits else (0.0, "")
        return Row(
            group=job.group,
            layer=job.layer,
            count=job.count,
            runner=runner.name,
            peer=runner.peer,
            detail=prepared.detail,
            seconds=tuple(float(f"{sample:.4g}") for sample in seconds),
            flops=flops,
            bytes=size,
            bound=float(f"{bound:.4g}"),
            error=float(f"{error:.2g}"),
            operations=operations,
            moved=moved,
            limit=limit,
        )

    def _prepare(
        self, runner: Runner, layer: Layer, arrays: Mapping[str, Array], first: tuple[Array, ...] | None
    ) -> tuple[PreparedLayer, float, tuple[Array, ...]] | None:
        """What was prepared, its error and its result, which agrees with the `first` one; None where there is none."""
        try:
            prepared = runner.prepare(layer, arrays, self.results.settings)
            if prepared is None:
                return None
            images = prepared.images(prepared.run())
            error = check(layer, arrays, images, self.results.settings)
            if first is not None:
                agree(layer, images, first)
        except WrongResult as mistake:
            self.wrong = self.wrong or not runner.peer
            self._warn(f"{runner.name} is wrong and was not timed: {mistake}")
            return None
        except Exception as mistake:
            if not runner.peer:
                raise
            self._warn(f"{runner.name} failed on {layer.name}: {type(mistake).__name__}: {mistake}")
            return None
        return prepared, error, images

    def _warn(self, text: str) -> None:
        self.results.warnings.append(printable(text))

    def _judge(self, others: float) -> None:
        """Say so where the machine was not quiet."""
        limits = self.results.limits
        if limits is not None and limits.noise > LIMITS_NOISE:
            self._warn(
                f"The machine's limits were measured while it was not quiet (a usual round took {limits.noise:.0%} "
                "longer than the best): they may be too low, and the per cents of them too high."
            )
        if others > BUSY:
            self._warn(
                f"The machine was not quiet: other programs or guests used {others:.1f} cores meanwhile."
            )
        if self.results.noise > NOISE:
            self._warn(
                f"The machine was not quiet: in the median the slowest round took {self.results.noise:.2f} times as "
                "long as the fastest. Ratios within one layer still compare what ran side by side."
            )


def _printable(content: Any) -> Any:
    """The same with all texts printable: what others say in them is shown in terminals."""
    if isinstance(content, Mapping):
        return {printable(name): _printable(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return tuple(map(_printable, content))
    return printable(content) if isinstance(content, str) else content
