"""What a training shows: a bar with rich, where it is installed and somebody watches, else a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from fastconv.first_use import importing
from fastconv.nn.training.callbacks import Callback, Run


def progress_of(wanted: bool | None) -> list[Callback]:
    """What shows the progress: nothing, unless it is wanted or, by default, somebody watches the terminal."""
    watching = sys.stderr.isatty()
    if not (watching if wanted is None else wanted):
        return []
    if watching:
        try:
            with importing:
                import rich.console
                import rich.progress
        except ImportError:
            return [Lines()]
        return [Bar(rich)]
    return [Lines()]


def told(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def latest(run: Run) -> dict[str, float]:
    """The last numbers of the history."""
    return {name: values[-1] for name, values in run.history.items() if values}


class Lines(Callback):
    """A line of text for each epoch."""

    def begin(self, run: Run) -> None:
        self._start, self._first = time.perf_counter(), run.epoch  # the first of a training that goes on

    def epoch_end(self, run: Run) -> None:
        seconds = time.perf_counter() - self._start
        done = run.epoch + 1
        left = seconds / (done - self._first) * (run.epochs - done)
        numbers = told(latest(run))
        print(f"epoch {done}/{run.epochs}  {numbers}  {seconds:.1f} s, {left:.0f} s left", file=sys.stderr)


class Bar(Callback):
    """A bar over all batches, with the epoch's loss and metrics so far and the time left, and a line for each epoch."""

    def __init__(self, rich: Any) -> None:
        self._rich = rich

    def begin(self, run: Run) -> None:
        show = self._rich.progress
        self._bar = show.Progress(
            show.TextColumn("{task.description}"),
            show.BarColumn(),
            show.TextColumn("{task.fields[told]}"),
            show.TimeRemainingColumn(),
            console=self._rich.console.Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("epoch", total=None, told="")

    def batch_end(self, run: Run) -> None:
        self._bar.update(
            self._task,
            description=f"epoch {run.epoch + 1}/{run.epochs}",
            total=run.epochs * run.batches,
            completed=run.epoch * run.batches + run.batch + 1,
            told=told(run.means),
        )

    def epoch_end(self, run: Run) -> None:
        self._bar.console.print(f"epoch {run.epoch + 1}/{run.epochs}  {told(latest(run))}", highlight=False)

    def end(self, run: Run) -> None:
        self._bar.stop()
