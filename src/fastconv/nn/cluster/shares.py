"""A share of a batch: what a worker computes of it, as sums that can be added up, and what these say of the batch.

Called by `on_dask.py` and `on_mpi.py`. Losses and metrics are means over samples, so that those of a batch are the sums
over its shares, each times its samples, over all samples.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastconv.nn.core import Core
from fastconv.nn.export import build
from fastconv.nn.gradients import Found
from fastconv.nn.scope import setting
from fastconv.nn.state import named, parameters
from fastconv.nn.training import batches
from fastconv.nn.training.feed import Ticket
from fastconv.nn.training.loop import Here
from fastconv.typing import Array


class Sums(NamedTuple):
    """What shares give, each number times their samples.

    Attributes
    ----------
    gradients : (P,) ndarray
        Of all trained parameters, one after the other.
    others : ndarray of float64
        Samples, loss, metrics, and the buffers of floating-point numbers.
    counts : list of ndarray
        The other buffers: those of the first share, not multiplied.
    """

    gradients: Array
    others: Array
    counts: list[Array]


@dataclass
class Work:
    """What is the same for all steps.

    Attributes
    ----------
    net : Core
    loss, metrics, debug
        As of `training.loop.Here`.
    data : Batches or None
        What tickets are for.
    """

    net: Core
    loss: Callable[..., Any]
    metrics: dict[str, Callable[..., float]]
    debug: bool
    data: Any

    def replica(self) -> Work:
        """One whose network may be changed."""
        return Work(copy.deepcopy(self.net), self.loss, self.metrics, self.debug, self.data)

    def read(self, x: Any, y: Any, share: int) -> tuple[Any, Any]:
        """The samples of a share, that are given or those of a ticket."""
        return self.data.part(x.epoch, x.batch, share) if isinstance(x, Ticket) else (x, y)

    def sums(self, x: Any, y: Any, seed: Sequence[int], exchange: Any) -> Sums:
        """Of one share."""
        samples = batches.count(x)
        with setting(exchange=exchange):
            found = Here(self.net, self.loss, self.metrics, self.debug)(x, y, np.random.default_rng(seed))
        flat = flattened(found.gradients.values(), self.net.dtype)
        flat *= flat.dtype.type(samples)
        real = [array.ravel() for array in buffers(self.net) if array.dtype.kind == "f"]
        others = np.concatenate([[1.0, found.value, *found.more.values()], *real]).astype(np.float64)
        counts = [np.array(array) for array in buffers(self.net) if array.dtype.kind != "f"]
        return Sums(flat, others * samples, counts)


def bare(net: Core) -> Core:
    """A network without what a training keeps beside it."""
    made = copy.copy(net)
    for name in ("_optimizer", "_loss", "_record", "_gradients"):
        made.__dict__.pop(name, None)
    return made


def buffers(net: Core) -> list[Array]:
    """The arrays that are not trained."""
    held = (module.__dict__["_buffers"][name] for _, module, name in named(net, ("_buffers",)))
    return [array for array in held if array is not None]


def flattened(arrays: Any, dtype: Any) -> Array:
    """Arrays one after the other."""
    return np.concatenate([np.empty(0, dtype), *(np.asarray(a, dtype).ravel() for a in arrays)])


def pieces(flat: Array, shapes: Iterator[tuple[int, ...]]) -> Iterator[Array]:
    """The arrays of these shapes that were put one after the other."""
    start = 0
    for shape in shapes:
        stop = start + int(np.prod(shape, dtype=np.int64))
        yield flat[start:stop].reshape(shape)
        start = stop


class State(NamedTuple):
    """What changes from step to step: trained parameters, one after the other, and buffers."""

    parameters: Array
    buffers: list[Array]

    @classmethod
    def of(cls, net: Core) -> State:
        """A copy."""
        trained = parameters(net, trainable=True).values()
        return cls(flattened(trained, net.dtype), [np.array(a) for a in buffers(net)])

    def load(self, net: Core) -> None:
        """Have a network hold it."""
        trained = list(parameters(net, trainable=True).values())
        for array, part in zip(trained, pieces(self.parameters, (a.shape for a in trained)), strict=True):
            array[...] = part
        load_buffers(net, self.buffers)


def load_buffers(net: Core, arrays: Sequence[Array]) -> None:
    places = [
        (module, name)
        for _, module, name in named(net, ("_buffers",))
        if module.__dict__["_buffers"][name] is not None
    ]
    for (module, name), array in zip(places, arrays, strict=True):
        held = module.__dict__["_buffers"]
        held[name] = np.array(array, held[name].dtype)


def add(sums: Sequence[Sums]) -> Sums:
    """In their order, so that the bits are always the same."""
    gradients, others = np.array(sums[0].gradients), np.array(sums[0].others)
    for one in sums[1:]:
        gradients += one.gradients
        others += one.others
    return Sums(gradients, others, sums[0].counts)


def finish(net: Core, sums: Sums, metrics: Mapping[str, Any]) -> Found:
    """What the whole batch gives; the network gets the buffers."""
    trained = parameters(net, trainable=True)
    samples = sums.others[0]
    flat = sums.gradients / sums.gradients.dtype.type(samples)
    parts = pieces(flat, (array.shape for array in trained.values()))
    means = sums.others / samples
    told, real = means[1 : 2 + len(metrics)], means[2 + len(metrics) :]
    held, counts = buffers(net), iter(sums.counts)
    reals = pieces(real, (array.shape for array in held if array.dtype.kind == "f"))
    load_buffers(net, [next(reals) if array.dtype.kind == "f" else next(counts) for array in held])
    numbers = dict(zip(metrics, told[1:].tolist(), strict=True))
    return Found(float(told[0]), dict(zip(trained, parts, strict=True)), trained, numbers)


def built(net: Core, work: Work, x: Any, y: Any, rng: np.random.Generator) -> None:
    """Make parameters that are not there yet as the first call would, with the same random numbers."""
    entries = [module.__dict__[kind][name] for kind in ("_parameters", "_buffers")
               for _, module, name in named(net, (kind,))]  # fmt: skip
    if all(array is not None for array in entries):
        return
    inputs, _ = work.read(x, y, 0)
    build(net, [part.shape for part in inputs] if isinstance(inputs, tuple) else inputs.shape, rng, None)


def seeds(rng: np.random.Generator, shares: int) -> list[list[int]]:
    """Random numbers for the layers of each share, from one draw."""
    drawn = int(rng.integers(2**63))
    return [[drawn, share] for share in range(shares)]


def has_batch_norm(net: Core) -> bool:
    """Whether there are layers with the statistics of batches."""
    return any("running_mean" in module.__dict__["_buffers"] for _, module in net.named_modules())
