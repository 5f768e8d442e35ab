"""Callbacks: what `Module.fit` calls after each batch and epoch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastconv.nn.state import load_state, state_of
from fastconv.typing import Array


class Run:
    """A training that is under way.

    Attributes
    ----------
    net : Module
    optimizer : Optimiser
    history : dict of str to list
        A number for each epoch that has ended.
    epoch, batch, batches : int
    loss : float
        That of the last batch.
    means : dict of str to float
        The loss and the metrics, over the epoch's batches so far.
    stop : bool
        Set it to end the training after this epoch.
    """

    def __init__(self, net: Any, optimizer: Any, history: dict[str, list[float]], epochs: int) -> None:
        self.net, self.optimizer, self.history, self.epochs = net, optimizer, history, epochs
        self.epoch = self.batch = self.batches = 0
        self.loss = math.nan
        self.means: dict[str, float] = {}
        self.stop = False


class Callback:
    """What is called while a network is trained; each method gets the `Run`."""

    def begin(self, run: Run) -> None:
        """Before the first epoch."""

    def batch_end(self, run: Run) -> None:
        """After each step."""

    def epoch_end(self, run: Run) -> None:
        """After each epoch, when its numbers are in the history."""

    def end(self, run: Run) -> None:
        """After the last epoch, also of a training that was interrupted."""


def watched(run: Run, monitor: str) -> float:
    """The last number of the history under a name."""
    if monitor not in run.history:
        raise ValueError(f"monitor is {monitor!r}, but the history has {', '.join(run.history)}")
    return run.history[monitor][-1]


def better(monitor: str, value: float, best: float, least: float) -> bool:
    """Whether a number is better by more than `least`: lower, but of accuracies and the like higher."""
    higher = any(word in monitor for word in ("accuracy", "dice"))
    return value > best + least if higher else value < best - least


def worst(monitor: str) -> float:
    return -math.inf if better(monitor, math.inf, 0.0, 0.0) else math.inf


class EarlyStopping(Callback):
    """Ends a training that no longer gets better, with the best weights.

    Parameters
    ----------
    monitor : str
        Of the history: ``"val_loss"``, ``"val_accuracy"``, ``"loss"``, ...
    patience : int
        How many epochs without a better one are waited for.
    least : float
        What counts as better.
    restore : bool
        Whether the network gets the state of the best epoch at the end.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, least: float = 0.0, *, restore: bool = True
    ) -> None:
        self.monitor, self.patience, self.least, self.restore = monitor, int(patience), float(least), restore

    def begin(self, run: Run) -> None:
        self._best, self._since = worst(self.monitor), 0
        self._state: dict[str, Array] = {}

    def epoch_end(self, run: Run) -> None:
        value = watched(run, self.monitor)
        if better(self.monitor, value, self._best, self.least):
            self._best, self._since = value, 0
            if self.restore:
                self._state = {path: np.array(array) for path, array in state_of(run.net).items()}
        else:
            self._since += 1
            run.stop = run.stop or self._since >= self.patience

    def end(self, run: Run) -> None:
        if self._state:
            load_state(run.net, self._state, strict=True)


class OnPlateau(Callback):
    """Lowers the rate when a number no longer gets better.

    Parameters
    ----------
    monitor, patience, least
        As of `EarlyStopping`.
    factor : float
        What the rate is multiplied by.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 3, factor: float = 0.1, least: float = 0.0
    ) -> None:
        self.monitor, self.patience, self.factor, self.least = (
            monitor,
            int(patience),
            float(factor),
            float(least),
        )

    def begin(self, run: Run) -> None:
        self._best, self._since = worst(self.monitor), 0

    def epoch_end(self, run: Run) -> None:
        value = watched(run, self.monitor)
        if better(self.monitor, value, self._best, self.least):
            self._best, self._since = value, 0
            return
        self._since += 1
        if self._since >= self.patience:
            run.optimizer.schedule.factor *= self.factor
            self._since = 0
