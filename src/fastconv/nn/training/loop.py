"""Training in place: steps, epochs, evaluation, prediction. Called by the methods of `Module`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.arguments import integer
from fastconv.nn.core import Core
from fastconv.nn.data.batches import Batches
from fastconv.nn.gradients import Found, loss_and_gradients
from fastconv.nn.losses import loss_of
from fastconv.nn.optimisers import Optimiser, optimiser_of
from fastconv.nn.scope import setting
from fastconv.nn.training import batches
from fastconv.nn.training.callbacks import Callback, Run
from fastconv.nn.training.feed import Feed, Given, Tickets, of_batches
from fastconv.nn.training.metrics import metrics_of
from fastconv.nn.training.progress import progress_of
from fastconv.nn.training.resume import go_on, keep
from fastconv.typing import Array


def gradients_of(net: Core, x: Any, y: Any, loss: Callable[..., Any], debug: bool = False) -> Found:
    """The loss of a batch, the gradients, and as `more` the network's output; in training mode."""

    def function(net: Any, x: Any, y: Any) -> Any:
        output = batches.called(net, x)
        with setting(layout=net.layout or "NCHW"):
            return loss(output, y), _values(output)

    with setting(training=True):
        return loss_and_gradients(net, function, (x, y), debug)


class Here:
    """The gradient of a batch, and its metrics as `more`, computed in this process.

    Attributes
    ----------
    is_first : bool
        Whether this process writes checkpoints and shows progress.
    reads_tickets : bool
        Whether batches are read where they are computed.
    """

    is_first, reads_tickets = True, False

    def __init__(
        self, net: Core, loss: Callable[..., Any], metrics: dict[str, Callable[..., float]], debug: bool
    ) -> None:
        self.net, self.loss, self.metrics, self.debug = net, loss, metrics, debug

    def __call__(self, x: Any, y: Any, rng: np.random.Generator) -> Found:
        with setting(rng=rng):
            found = gradients_of(self.net, x, y, self.loss, self.debug)
        with setting(layout=self.net.layout or "NCHW"):
            numbers = {name: metric(found.more, y) for name, metric in self.metrics.items()}
        return found._replace(more=numbers)

    def begin(self, generators: Sequence[np.random.Generator]) -> None:
        """Before the first step."""

    def end(self) -> None:
        """After the last one."""


def _values(output: Any) -> Any:
    """The arrays behind what a network gave while it was recorded."""
    if isinstance(output, tuple):
        return tuple(_values(part) for part in output)
    return getattr(output, "value", output)


def check_loss(value: float, place: str) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(f"{place}: the loss is {value}; debug=True finds the layer where it began")


def train_step(
    net: Core, x: Any, y: Any, loss: Callable[..., Any], optimizer: Optimiser, debug: bool
) -> float:
    """One step on one batch."""
    found = gradients_of(net, x, y, loss, debug)
    check_loss(found.value, "train_step")
    optimizer.step(found.parameters, found.gradients)
    return found.value


class Totals:
    """Means over batches, each counting by its samples."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._samples = 0

    def add(self, samples: int, **values: float) -> None:
        self._samples += samples
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + samples * value

    def means(self) -> dict[str, float]:
        return {name: total / self._samples for name, total in self._sums.items()}


class Fit:
    """One call of `Module.fit`: its options, checked, and the state that it goes on from.

    Random numbers come from three streams, so that what one takes does not move the others: the order of samples,
    what layers draw, and augmentation.
    """

    def __init__(
        self,
        net: Core,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int,
        loss: Any,
        optimizer: Any,
        validation: tuple[Any, Any] | None,
        metrics: Any,
        callbacks: Sequence[Callback],
        augment: Callable[..., Any] | None,
        accumulate: int,
        shuffle: bool,
        progress: bool | None,
        rng: Any,
        debug: bool,
        checkpoint: str | os.PathLike[str] | None,
        resume: bool,
        step: Callable[..., Any] = Here,
    ) -> None:
        self.net = net
        self.epochs = integer("fit", "epochs", epochs, 0)
        self.batch_size = integer("fit", "batch_size", batch_size, 1)
        self.accumulate = integer("fit", "accumulate", accumulate, 1)
        self.loss, self.optimizer = loss_of(loss), optimiser_of(optimizer)
        self.metrics = metrics_of(metrics, loss)
        self.validation = validation
        if validation is not None:
            if not isinstance(validation, (tuple, list)) or len(validation) != 2:
                raise ValueError("fit: validation needs to be a pair (x, y)")
            self.valid_x = batches.arrays("fit", "validation", validation[0])
            self.valid_y = batches.arrays("fit", "validation", validation[1])
            batches.same_count("fit: validation", self.valid_x, self.valid_y)
        try:
            self.order, self.layers, self.changes = np.random.default_rng(rng).spawn(3)
        except (TypeError, ValueError) as error:
            raise type(error)(f"fit: rng is {rng!r}, but needs a numpy.random.Generator or a seed") from None
        if isinstance(x, Batches):
            self.feed: Feed = of_batches(x, y, augment)
        else:
            self.feed = Given(net, x, y, self.batch_size, bool(shuffle), augment, self.order, self.changes)
        self.step = step(net, self.loss, self.metrics, bool(debug))
        if isinstance(self.feed, Batches) and self.step.reads_tickets:
            self.feed = Tickets(self.feed)
        self.checkpoint, self.resume = checkpoint, bool(resume)
        if self.resume and checkpoint is None:
            raise ValueError("fit: resume=True needs checkpoint=, the path of a file")
        self.history: dict[str, list[float]] = {}
        self.run = Run(net, self.optimizer, self.history, self.epochs)
        self.callbacks = [*progress_of(progress if self.step.is_first else False), *callbacks]

    def __call__(self) -> dict[str, list[float]]:
        run = self.run
        state = self.net, self.optimizer, self.history, self._generators(), self.feed
        first = 0
        if self.checkpoint is not None and self.resume and Path(self.checkpoint).exists():
            first = go_on(self.checkpoint, *state)
        run.epoch = first
        self.step.begin([self.order, self.layers, self.changes])
        self._tell("begin")
        try:
            for epoch in range(first, self.epochs):
                run.epoch = epoch
                self._epoch()
                self._tell("epoch_end")
                if self.checkpoint is not None and self.step.is_first:
                    keep(self.checkpoint, *state)
                if run.stop:
                    break
        finally:
            self.step.end()
            self._tell("end")
        return self.history

    def _generators(self) -> dict[str, np.random.Generator]:
        return {"order": self.order, "layers": self.layers, "changes": self.changes}

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.run)

    def _epoch(self) -> None:
        run, feed = self.run, self.feed
        run.batches = len(feed)
        totals, waiting = Totals(), Accumulated(self.accumulate)
        for place, (x, y) in enumerate(feed, feed.batch):
            run.batch = place
            self._batch(x, y, totals, waiting, place == run.batches - 1)
            run.means = totals.means()
            self._tell("batch_end")
        numbers = totals.means()
        if self.validation is not None:
            found = evaluate(self.net, self.valid_x, self.valid_y, self.loss, self.metrics, self.batch_size)
            numbers |= {f"val_{name}": value for name, value in found.items()}
        for name, value in numbers.items():
            self.history.setdefault(name, []).append(value)

    def _batch(self, x: Any, y: Any, totals: Totals, waiting: Accumulated, is_last: bool) -> None:
        samples = batches.count(x)
        found = self.step(x, y, self.layers)
        self.run.loss = found.value
        check_loss(found.value, f"epoch {self.run.epoch + 1}, batch {self.run.batch + 1}")
        ready = waiting.add(found.gradients, samples, is_last)
        if ready is not None:
            self.optimizer.step(found.parameters, ready)
        totals.add(samples, loss=found.value, **found.more)


class Accumulated:
    """Gradients of several batches, averaged as those of one batch of all their samples."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._batches = self._samples = 0
        self._sums: dict[str, Array] = {}

    def add(self, gradients: dict[str, Array], samples: int, is_last: bool) -> dict[str, Array] | None:
        """The gradients of a step, when it is time for one."""
        if self._count == 1:
            return gradients
        for path, gradient in gradients.items():
            part = gradient * gradient.dtype.type(samples)
            if path in self._sums:
                self._sums[path] += part
            else:
                self._sums[path] = part
        self._batches += 1
        self._samples += samples
        if self._batches < self._count and not is_last:
            return None
        ready = {path: total / total.dtype.type(self._samples) for path, total in self._sums.items()}
        self._batches, self._samples, self._sums = 0, 0, {}
        return ready


def evaluate(
    net: Core,
    x: Any,
    y: Any,
    loss: Callable[..., Any],
    metrics: dict[str, Callable[..., float]],
    batch_size: int,
) -> dict[str, float]:
    """The loss and metrics of samples, in inference mode."""
    totals = Totals()
    with setting(training=False):
        for part in batches.slices(batches.count(x), batch_size):
            inputs, targets = batches.take(x, part), batches.take(y, part)
            output = batches.called(net, inputs)
            with setting(layout=net.layout or "NCHW"):
                numbers = {name: metric(output, targets) for name, metric in metrics.items()}
                numbers["loss"] = float(loss(output, targets))
            totals.add(batches.count(inputs), **numbers)
    means = totals.means()
    return {"loss": means.pop("loss"), **means}


def predict(net: Core, x: Any, batch_size: int) -> Any:
    """The network's results, batch by batch, in inference mode."""
    with setting(training=False):
        samples = batches.count(x)
        if not samples:
            return batches.called(net, x)
        parts = batches.slices(samples, batch_size)
        return batches.joined([batches.called(net, batches.take(x, part)) for part in parts])
