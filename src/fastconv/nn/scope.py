"""What holds while a network is called, in this thread: its layout, its mode, who records, and which layer it is in.

Read by layers and operations, set by whoever calls a network (`module.py`, `gradients.py`, `export.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from fastconv.typing import Array, Layout

SINGLE: np.dtype[Any] = np.dtype(np.float32)


class Tracer(Protocol):
    """Who is told of every operation: a tape that differentiates, or a graph that is drawn."""

    def apply(self, operation: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any: ...

    def lift(self, array: Array) -> Any:
        """What a parameter or buffer is while this records."""

    def made(self, array: Array) -> None:
        """A parameter was made, by a layer's first call."""


class Scope(threading.local):
    """The state of one thread."""

    def __init__(self) -> None:
        self.layout: Layout = "NCHW"
        self.dtype = SINGLE
        self.training = False
        self.rng: np.random.Generator | None = None
        self.tracer: Tracer | None = None
        self.modules: list[Any] = []  # those whose call is under way, outermost first
        self.initialiser: Any = None  # in place of the layers' own
        self.recomputing = False  # what was called before is called again, for its gradients
        # With workers that have the other shares of a batch: ``exchange(own, merge)`` gives what `merge` makes of the
        # arrays of all.
        self.exchange: Callable[[Array, Callable[[Sequence[Array]], Array]], Array] | None = None
        self.built: list[Any] | None = None  # layers whose parameters were made since
        self.allowed: int | None = None  # how many modules may still be made, of a file's structure
        self.caught: tuple[Any, Callable[[Any], Any]] | None = None  # a layer, and who gets its result

    def generator(self) -> np.random.Generator:
        """The source of random numbers: a seeded one within `fit`, else a new one."""
        if self.rng is None:
            self.rng = np.random.default_rng()
        return self.rng


SCOPE = Scope()


@contextmanager
def setting(**values: Any) -> Iterator[None]:
    """Let attributes of the scope have other values for a while."""
    before = {name: getattr(SCOPE, name) for name in values}
    SCOPE.__dict__.update(values)
    try:
        yield
    finally:
        SCOPE.__dict__.update(before)


@contextmanager
def training(mode: bool = True) -> Iterator[None]:
    """Let networks that are called in this thread behave as in training, or not.

    Dropout drops, batch normalisation takes the statistics of the batch and updates the running ones. Without it, and
    outside of `Module.fit` and `Module.train_step`, a network is in inference mode.

    Parameters
    ----------
    mode : bool

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> layer, x = nn.Dropout(0.5), np.ones((1, 1000), np.float32)
    >>> bool((layer(x) == x).all())
    True
    >>> with nn.training():
    ...     bool((layer(x) == x).all())
    False
    """
    with setting(training=mode):
        yield
