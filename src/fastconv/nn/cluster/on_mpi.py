"""Steps among the processes of a communicator of mpi4py, which all call `Module.fit` with the same arguments.

Each computes its share, one `Allreduce` adds up the gradients, one more the loss, metrics and buffers, and each takes
the optimiser's step itself. A process that dies ends them all, as is usual with MPI: checkpoints are for that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.nn.cluster import shares
from fastconv.nn.core import Core
from fastconv.nn.gradients import Found
from fastconv.nn.state import load_state, state_of
from fastconv.nn.training import batches
from fastconv.typing import Array


class MpiStep:
    """The gradient of a batch, computed by all processes of a communicator."""

    def __init__(
        self,
        world: Any,
        net: Core,
        loss: Any,
        metrics: dict[str, Any],
        debug: bool,
        feed: Any,
        shards: int,
        synchronise: bool,
    ) -> None:
        self.is_first = world.Get_rank() == 0
        self._world, self._rank, self._size = world, world.Get_rank(), world.Get_size()
        if shards not in (1, self._size):
            raise ValueError(f"fit: x has {shards} shards, but the communicator has {self._size} processes")
        self.reads_tickets = shards > 1
        self._work = shares.Work(net, loss, metrics, debug, feed if self.reads_tickets else None)
        self._synchronise = synchronise and shares.has_batch_norm(net)

    def begin(self, generators: Sequence[np.random.Generator]) -> None:
        """All go on from the first one's network and random numbers."""
        net = self._work.net
        first = state_of(net), [one.bit_generator.state for one in generators]
        state, numbers = self._world.bcast(first if self.is_first else None, 0)
        load_state(net, state, strict=False)
        for generator, number in zip(generators, numbers, strict=True):
            generator.bit_generator.state = number

    def end(self) -> None:
        pass

    def __call__(self, x: Any, y: Any, rng: np.random.Generator) -> Found:
        work, world = self._work, self._world
        shares.built(work.net, work, x, y, rng)
        samples = batches.count(x)
        parts = batches.parts_of(samples, self._size)
        own, seed = parts[self._rank], shares.seeds(rng, self._size)[self._rank]
        is_busy = own.start < own.stop
        group = world if samples >= self._size else world.Split(0 if is_busy else 1, self._rank)
        sums: shares.Sums | None = None
        if is_busy:
            if not self.reads_tickets:
                x, y = batches.take(x, own), batches.take(y, own)
            x, y = work.read(x, y, self._rank)
            sums = work.sums(x, y, seed, _Gathered(group) if self._synchronise else None)
        first = next(rank for rank, part in enumerate(parts) if part.start < part.stop)
        size, counts = world.bcast((sums.others.size, sums.counts) if sums is not None else None, first)
        if sums is None:
            flat = shares.State.of(work.net).parameters
            sums = shares.Sums(np.zeros_like(flat), np.zeros(size), [])
        gradients, others = np.empty_like(sums.gradients), np.empty_like(sums.others)
        world.Allreduce(sums.gradients, gradients)
        world.Allreduce(sums.others, others)
        return shares.finish(work.net, shares.Sums(gradients, others, counts), work.metrics)


@dataclasses.dataclass
class _Gathered:
    """Exchange among processes."""

    group: Any

    def __call__(self, own: Array, merge: Callable[[Sequence[Array]], Array]) -> Array:
        return merge(self.group.allgather(own))
