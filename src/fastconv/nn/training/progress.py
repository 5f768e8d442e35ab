"""What a training shows: a bar with rich, where it is installed and somebody watches, else a line for each epoch."""

from __future__ import annotations

import sys
import time
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
                import rich.progress
        except ImportError:
            return [Lines()]
        return [Bar(rich.progress)]
    return [Lines()]


def told(run: Run) -> str:
    """The last numbers of the history."""
    return "  ".join(f"{name} {values[-1]:.4f}" for name, values in run.history.items() if values)


class Lines(Callback):
    """A line of text for each epoch."""

    def begin(self, run: Run) -> None:
        self._start = time.perf_counter()

    def epoch_end(self, run: Run) -> None:
        seconds = time.perf_counter() - self._start
        done = run.epoch + 1
        left = seconds / done * (run.epochs - done)
        print(f"epoch {done}/{run.epochs}  {told(run)}  {seconds:.1f} s, {left:.0f} s left", file=sys.stderr)


class Bar(Callback):
    """A bar over all batches, with the loss and the time left, and a line for each epoch."""

    def __init__(self, rich: Any) -> None:
        self._rich = rich

    def begin(self, run: Run) -> None:
        rich = self._rich
        self._bar = rich.Progress(
            rich.TextColumn("{task.description}"),
            rich.BarColumn(),
            rich.TextColumn("{task.fields[told]}"),
            rich.TimeRemainingColumn(),
            console=None,
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
            told=f"loss {run.loss:.4f}",
        )

    def epoch_end(self, run: Run) -> None:
        self._bar.console.print(f"epoch {run.epoch + 1}/{run.epochs}  {told(run)}", highlight=False)

    def end(self, run: Run) -> None:
        self._bar.stop()
