"""What can be timed: a runner prepares a layer. Implemented by `backend.py` and by the modules of `peers/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fastconv.bench.layers.layer import Layer, Shape
from fastconv.bench.layers.settings import Settings
from fastconv.typing import Array


class ApartCall(ABC):
    """A call in another process, which times it there: a way there and back would count otherwise."""

    @abstractmethod
    def __call__(self) -> Any:
        """Make one, and bring its result."""

    @abstractmethod
    def seconds(self, times: int) -> float:
        """Of one call, as the mean of so many."""


@dataclass(frozen=True)
class PreparedLayer:
    """`run` does the layer; `images` makes NCHW arrays of what it returns: the result, or each of the gradients.

    `shape` is that of the layer's result, NCHW, where `run` does not return that. `flops` and `weight_bytes` are
    those of the runner's algorithm, where they are known.
    """

    run: Callable[[], Any]
    images: Callable[[Any], tuple[Array, ...]]
    detail: str = ""
    shape: Shape | None = None
    flops: int | None = None
    weight_bytes: int | None = None


class Runner(Protocol):
    """A library, or one of its ways to do convolutions."""

    name: str
    peer: bool

    def prepare(self, layer: Layer, arrays: Mapping[str, Array], settings: Settings) -> PreparedLayer | None:
        """The layer on these contiguous NCHW arrays, in the runner's own form; None where it cannot do it.

        The runner's threads have been set. What `settings.mode` leaves out of the time is done here.
        """
