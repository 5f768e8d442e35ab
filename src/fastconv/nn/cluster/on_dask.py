"""Steps on the workers of a `distributed.Client`.

The network stays where `Module.fit` was called. Each step sends its parameters to all workers; a task for each share
computes the gradient, a tree of tasks adds these up, and the sum comes back. Workers keep nothing that counts, so that
the scheduler has a dead one's share computed by another, to the same bits.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from threading import RLock
from typing import Any

import distributed
import numpy as np
from distributed.comm.core import CommClosedError
from distributed.scheduler import KilledWorker

from fastconv.backends import get_backend, use_backend
from fastconv.first_use import forks_wait_for
from fastconv.nn.cluster import shares
from fastconv.nn.core import Core
from fastconv.nn.gradients import Found
from fastconv.nn.training import batches
from fastconv.settings.precision import get_precision, use_precision
from fastconv.settings.threads import num_threads
from fastconv.typing import Array

_FAN_IN = 4  # sums that a task adds up
_ATTEMPTS = 5  # of a step, where what it needs is lost together with a worker
_PATIENCE = 60  # seconds without any worker
_LOOKS = 1.0  # seconds, whether all workers are there
_GOODBYE = 5  # seconds
_LONGEST = 600  # seconds that a share waits for the others in a layer
_NUMBERS = itertools.count()


class Lost(RuntimeError):
    """A worker that others needed is gone."""


# What comes of it, or of data that were sent to it alone as it came or went.
_LOST = (Lost, CancelledError, KilledWorker, CommClosedError, TimeoutError)


def submit(client: Any, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A task that takes its data with it, so that it can be done again anywhere; of many bytes dask warns."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s)Sending large graph")
        return client.submit(function, *arguments, pure=False, **options)


class DaskStep:
    """The gradient of a batch, computed by the workers of a client."""

    is_first = True

    def __init__(
        self,
        client: Any,
        net: Core,
        loss: Any,
        metrics: dict[str, Any],
        debug: bool,
        feed: Any,
        shards: int,
        synchronise: bool,
    ) -> None:
        self._client, self._net = client, net
        workers = len(self._workers())
        if not workers:
            raise ValueError("fit: cluster has no workers")
        self.shares = shards if shards > 1 else workers
        self.reads_tickets = shards > 1
        self._work = shares.Work(net, loss, metrics, debug, feed if self.reads_tickets else None)
        self._synchronise = synchronise and shares.has_batch_norm(net)
        self._sent: Any = None
        self._hub: Any = None

    def _workers(self) -> list[str]:
        """Their addresses."""
        return sorted(self._client.nthreads())

    def begin(self, generators: Sequence[np.random.Generator]) -> None:
        """Nothing is sent before the network's parameters are made."""

    def end(self) -> None:
        """Have the workers forget, and those that wait for others no longer do so."""
        hub, self._sent, self._hub = self._hub, None, None
        if hub is not None:
            with suppress(Exception):  # it may be gone
                hub.close().result(_GOODBYE)

    def __call__(self, x: Any, y: Any, rng: np.random.Generator) -> Found:
        shares.built(self._net, self._work, x, y, rng)
        seeds = shares.seeds(rng, self.shares)
        failed = 0
        while True:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
            try:
                return shares.finish(self._net, self._sums(x, y, seeds), self._work.metrics)
            except _LOST as error:
                failed += 1
                self.end()
                if failed == _ATTEMPTS:
                    raise RuntimeError(
                        f"fit: a step failed {failed} times on the cluster: {error}"
                    ) from error

    def _sums(self, x: Any, y: Any, seeds: list[list[int]]) -> Any:
        client, addresses = self._client, self._workers()
        if self._sent is None:
            work = self._work
            sent = shares.Work(shares.bare(work.net), work.loss, work.metrics, work.debug, work.data)
            self._sent = self._scattered(sent)
        if self._hub is None and self._synchronise:
            self._hub = client.submit(Hub, actor=True, pure=False).result()
        state = self._scattered(shares.State.of(self._net))
        parts = batches.parts_of(batches.count(x), self.shares)
        busy = [number for number, part in enumerate(parts) if part.start < part.stop]
        at_a_time = -(-len(busy) // len(addresses))
        step, futures = next(_NUMBERS), []
        for place, number in enumerate(busy):
            own = parts[number]
            given = (x, y) if self.reads_tickets else (batches.take(x, own), batches.take(y, own))
            meeting = Meeting(self._hub, step, place, len(busy)) if self._hub is not None else None
            how = seeds[number], meeting, at_a_time, get_backend(), get_precision()
            where = {"workers": [addresses[place % len(addresses)]], "allow_other_workers": True}
            futures.append(submit(client, _share, self._sent, state, given, number, *how, **where))
        while len(futures) > 1:
            groups = [futures[start : start + _FAN_IN] for start in range(0, len(futures), _FAN_IN)]
            futures = [submit(client, shares.add, group) for group in groups]
        self._wait(futures[0], addresses)
        return futures[0].result()

    def _scattered(self, value: Any) -> Any:
        """On all workers; in a list, as dask would take a tuple apart."""
        (future,) = self._client.scatter([value], broadcast=True, hash=False)
        return future

    def _wait(self, future: Any, addresses: list[str]) -> None:
        """Until it is done; where shares meet, they would wait for one that was lost together with the hub."""
        while True:
            with suppress(TimeoutError):
                distributed.wait(future, timeout=_LOOKS)
                return
            if self._hub is not None and not set(addresses) <= set(self._workers()):
                raise Lost("a worker is gone")


_REPLICAS: weakref.WeakKeyDictionary[Any, list[shares.Work]] = weakref.WeakKeyDictionary()
_LOCK = RLock()
forks_wait_for(_LOCK)


class _Key:
    """Stands for a training on a worker: what is kept for it goes with it."""


def _share(
    work: shares.Work,
    state: shares.State,
    given: tuple[Any, Any],
    number: int,
    seed: list[int],
    meeting: Meeting | None,
    at_a_time: int,
    backend: Any,
    precision: Any,
) -> shares.Sums:
    """The task. Tasks of a worker may run at a time: each has a network of its own, which it gives back."""
    threads = max(1, int(distributed.get_worker().state.nthreads) // at_a_time)
    if meeting is not None:
        distributed.secede()  # it waits for others, which may come to this worker
    key = work.__dict__.setdefault("key", _Key())
    with _LOCK:
        kept = _REPLICAS.setdefault(key, [])
        own = kept.pop() if kept else None
    own = own or work.replica()
    with use_backend(backend), use_precision(precision), num_threads(threads):
        state.load(own.net)
        sums = own.sums(*own.read(*given, number), seed, meeting)
    with _LOCK:
        kept.append(own)
    return sums


class Hub:
    """Where shares of a step meet: an actor on one of the workers."""

    def __init__(self) -> None:
        self._step = -1
        self._rounds: dict[int, _Round] = {}

    async def meet(
        self, step: int, number: int, place: int, count: int, own: Array, merge: Callable[..., Array]
    ) -> Array:
        if step > self._step:
            self._end_rounds()
            self._step = step
        elif step < self._step:
            raise Lost("the step is over")
        own_round = self._rounds.setdefault(number, _Round())
        own_round.parts[place] = own
        if len(own_round.parts) == count and own_round.merged is None:
            own_round.merged = merge([own_round.parts[key] for key in sorted(own_round.parts)])
            own_round.complete.set()
        await own_round.complete.wait()
        if own_round.merged is None:
            raise Lost("the step is over")
        return own_round.merged

    def _end_rounds(self) -> None:
        for one in self._rounds.values():
            one.complete.set()
        self._rounds = {}

    async def close(self) -> None:
        """Those that wait go; nobody else comes."""
        self._step = sys.maxsize
        self._end_rounds()


class _Round:
    def __init__(self) -> None:
        self.parts: dict[int, Array] = {}
        self.merged: Array | None = None
        self.complete = asyncio.Event()


class Meeting:
    """Exchange through the hub, for one share of one step."""

    def __init__(self, hub: Any, step: int, place: int, count: int) -> None:
        self._hub, self._step, self._place, self._count = hub, step, place, count
        self._number = -1

    def __call__(self, own: Array, merge: Callable[[Sequence[Array]], Array]) -> Array:
        self._number += 1
        try:
            told = self._hub.meet(self._step, self._number, self._place, self._count, own, merge).result(
                _LONGEST
            )
        except Exception as error:
            raise Lost(f"the worker where shares meet is gone ({error})") from error
        result: Array = told
        return result
