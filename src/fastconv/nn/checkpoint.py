"""Parts that are computed again when their gradients are asked for, in place of keeping what they need."""

from __future__ import annotations

from typing import Any

from fastconv.nn.gradients import CHECKPOINT, Recomputed
from fastconv.nn.module import Module
from fastconv.nn.scope import SCOPE
from fastconv.nn.state import parameters
from fastconv.nn.symbols import Drawing


class Checkpoint(Module):
    """A part whose intermediate results are not kept: see `checkpoint`."""

    def __init__(self, part: Module, **options: Any) -> None:
        super().__init__(**options)
        self.part = part

    def forward(self, *inputs: Any) -> Any:
        if SCOPE.tracer is None or isinstance(SCOPE.tracer, Drawing) or SCOPE.recomputing:
            return self.part(*inputs)
        call = Recomputed(self.part, len(inputs))
        weights = parameters(self.part, trainable=True).values()
        return CHECKPOINT(*inputs, *map(SCOPE.tracer.lift, weights), call=call)


def checkpoint(part: Module) -> Checkpoint:
    """Have a part of a network computed twice in training, in place of keeping its intermediate results.

    Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. The gradients are the same: random numbers are
    drawn again, and running statistics change once.

    Parameters
    ----------
    part : Module
        With one result. Its parameters have to be there (`Module.build`), or are not trained in the first step.

    Returns
    -------
    Checkpoint
        To be put in its place; its parameters are under ``part``.

    Examples
    --------
    >>> import fastconv.nn as nn
    >>> block = nn.Sequential(nn.Conv2D(8, 3, padding=1), nn.Activation("relu"))
    >>> net = nn.Sequential(nn.Conv2D(8, 3), nn.checkpoint(block), nn.Flatten(), nn.Dense(2))
    """
    return Checkpoint(part)
