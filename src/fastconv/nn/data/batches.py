"""Batches of a source: in an order by the seed, changed at random, made ahead by threads. Read by `training/feed.py`.

A batch follows from the seed and its number alone, so that an iteration goes on anywhere to the same bits, and any
process can make any part of one.
"""

from __future__ import annotations

import contextvars
import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any, SupportsIndex

import numpy as np

from fastconv.arguments import integer
from fastconv.nn.data.sources import Source
from fastconv.nn.scope import setting
from fastconv.nn.training.batches import joined, parts_of
from fastconv.problem.layout import check_layout
from fastconv.typing import Array, Layout

_ORDER, _CHANGES = 0, 1  # streams of random numbers


class Batches:
    """Batches of samples, made ahead of their use by threads.

    Iterating gives ``(x, y)`` for the rest of the epoch at hand; after its end the next one is at hand.
    `Module.fit` takes it in place of arrays.

    Parameters
    ----------
    source : Source
        `Arrays`, `Pictures`, or what has a length and ``take(places)``, which threads may call at a time.
    batch_size : int
        The last batch of an epoch may be smaller.
    shuffle : bool
        Whether each epoch has an order of its own.
    seed : int
        Decides orders and changes.
    augment : callable, optional
        ``augment(x, y, rng)`` gives a changed batch, as those of `nn.augment` do.
    threads : int
        That make batches; reading files and decoding pictures does not hold Python's lock.
    ahead : int, optional
        Batches that are made or being made at a time, at most; by default two for each thread.
    shards : int
        Parts of each batch that are read and changed apart, each with random numbers of its own; workers can then make
        a part each (`shard`, and ``cluster=`` of `Module.fit`), and one process that makes all has the same bits.
    layout : {"NCHW", "NHWC"}
        That `augment` meets.

    Attributes
    ----------
    epoch, batch : int
        The batch that comes next.
    waited, passed : float
        Seconds that iterations waited for batches, and those that they took in all: with the training between.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import augment, data
    >>> source = data.Arrays(np.arange(10.0).reshape(10, 1, 1, 1), np.arange(10))
    >>> batches = data.Batches(source, 4, seed=1, augment=augment.noise(0.1))
    >>> [y.tolist() for x, y in batches]
    [[9, 1, 3, 8], [7, 6, 0, 4], [2, 5]]
    >>> batches.epoch, batches.batch
    (1, 0)
    """

    def __init__(
        self,
        source: Source,
        batch_size: SupportsIndex = 32,
        *,
        shuffle: bool = True,
        seed: SupportsIndex = 0,
        augment: Callable[..., Any] | None = None,
        threads: SupportsIndex = 2,
        ahead: SupportsIndex | None = None,
        shards: SupportsIndex = 1,
        layout: Layout = "NCHW",
    ) -> None:
        op = "Batches"
        # Arrays have a `take`, too, of another kind.
        if not (hasattr(source, "take") and hasattr(source, "__len__")) or hasattr(source, "dtype"):
            raise TypeError(f"{op}: source is {type(source).__name__}, but needs a length and take(places)")
        if not len(source):
            raise ValueError(f"{op}: source has no samples")
        if augment is not None and not callable(augment):
            raise TypeError(f"{op}: augment is {augment!r}, but needs a function of x, y and rng")
        self.source, self.augment, self.shuffle = source, augment, bool(shuffle)
        self.batch_size = integer(op, "batch_size", batch_size, 1)
        self.seed = integer(op, "seed", seed, 0)
        self.threads = integer(op, "threads", threads, 1)
        self.ahead = 2 * self.threads if ahead is None else integer(op, "ahead", ahead, 1)
        self.shards = integer(op, "shards", shards, 1)
        self.layout = check_layout(op, layout)
        self.epoch = self.batch = 0
        self.waited = self.passed = 0.0
        self._only: int | None = None
        self._order: tuple[int, Array] | None = None

    def __len__(self) -> int:
        """The batches of an epoch."""
        return -(-len(self.source) // self.batch_size)

    def samples(self, batch: int) -> int:
        """How many samples a batch has.

        Parameters
        ----------
        batch : int
        """
        return min(self.batch_size, len(self.source) - batch * self.batch_size)

    def part(self, epoch: int, batch: int, shard: int) -> tuple[Any, Any]:
        """One part of a batch, wherever the iteration is.

        Parameters
        ----------
        epoch, batch, shard : int

        Returns
        -------
        x, y : ndarray
            Of no samples where the batch has fewer than there are parts.
        """
        first = batch * self.batch_size
        places = self._places(epoch)[first : first + self.batch_size]
        x, y = self.source.take(places[parts_of(len(places), self.shards)[shard]])
        if self.augment is None or not len(x):
            return x, y
        rng = np.random.default_rng([_CHANGES, self.seed, epoch, batch, shard])
        with setting(layout=self.layout):
            changed = self.augment(x, y, rng)
        return changed if isinstance(changed, tuple) else (changed, y)

    def make(self, epoch: int, batch: int) -> tuple[Any, Any]:
        """A batch, wherever the iteration is.

        Parameters
        ----------
        epoch, batch : int

        Returns
        -------
        x, y : ndarray
        """
        if self._only is not None:
            return self.part(epoch, batch, self._only)
        shares = parts_of(self.samples(batch), self.shards)
        parts = [self.part(epoch, batch, n) for n, share in enumerate(shares) if share.start < share.stop]
        if len(parts) == 1:
            return parts[0]
        targets = [y for _, y in parts]
        return joined([x for x, _ in parts]), None if targets[0] is None else joined(targets)

    def _places(self, epoch: int) -> Array:
        known = self._order
        if known is None or known[0] != epoch:
            count = len(self.source)
            rng = np.random.default_rng([_ORDER, self.seed, epoch])
            known = self._order = epoch, rng.permutation(count) if self.shuffle else np.arange(count)
        return known[1]

    def shard(self, number: SupportsIndex) -> Batches:
        """The same batches, but of each only one part: for a worker of a loop of one's own.

        Parameters
        ----------
        number : int
            Below `shards`.

        Returns
        -------
        Batches
            From the beginning. Where the last batch has fewer samples than there are parts, some have none.
        """
        one = integer("Batches.shard", "number", number, 0)
        if one >= self.shards:
            raise ValueError(f"Batches.shard: number is {one}, but there are {self.shards} shards")
        made = copy.copy(self)
        made._only, made.epoch, made.batch, made.waited, made.passed = one, 0, 0, 0.0, 0.0
        return made

    def skip(self) -> None:
        """Let the batch after the next one come next."""
        self.batch += 1
        if self.batch == len(self):
            self.epoch, self.batch = self.epoch + 1, 0

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        begun, waiting = perf_counter(), deque[Future[tuple[Any, Any]]]()
        epoch, total, asked = self.epoch, len(self), self.batch
        with ThreadPoolExecutor(self.threads, "fastconv-batches") as pool:
            try:
                for number in range(self.batch, total):
                    while asked < min(total, number + self.ahead):
                        run = contextvars.copy_context().run
                        waiting.append(pool.submit(run, self.make, epoch, asked))
                        asked += 1
                    before = perf_counter()
                    made = waiting.popleft().result()
                    self.waited += perf_counter() - before
                    self.epoch, self.batch = epoch, number
                    self.skip()
                    yield made
            finally:
                for future in waiting:
                    future.cancel()
                self.passed += perf_counter() - begun

    def state_dict(self) -> dict[str, int]:
        """Where the iteration is: all that it takes to go on with the same bits, beside the same arguments.

        Returns
        -------
        dict of str to int
        """
        return {"seed": self.seed, "epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where another iteration was.

        Parameters
        ----------
        state : dict of str to int
            What `state_dict` gave.

        Raises
        ------
        ValueError
            If there is no such batch.
        """
        seed, epoch, batch = (
            integer("Batches.load_state_dict", name, state[name], 0) for name in ("seed", "epoch", "batch")
        )
        if batch >= len(self):
            raise ValueError(f"Batches.load_state_dict: batch is {batch}, but there are {len(self)}")
        self.seed, self.epoch, self.batch, self._order = seed, epoch, batch, None
