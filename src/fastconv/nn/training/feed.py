"""What a training is fed with, epoch by epoch: batches of arrays, or of `nn.data.Batches`. Read by `loop.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastconv.nn.core import Core
from fastconv.nn.data.batches import Batches
from fastconv.nn.scope import setting
from fastconv.nn.training import batches


class Feed(Protocol):
    """Batches of the epoch at hand, from `batch` on; and where it is, for checkpoints."""

    @property
    def batch(self) -> int: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Any, Any]]: ...

    def state_dict(self) -> dict[str, int]: ...

    def load_state_dict(self, state: Mapping[str, int]) -> None: ...


class Given:
    """Arrays, which the generators of `fit` put in order and change."""

    batch = 0

    def __init__(
        self,
        net: Core,
        x: Any,
        y: Any,
        batch_size: int,
        shuffle: bool,
        augment: Callable[..., Any] | None,
        order: np.random.Generator,
        changes: np.random.Generator,
    ) -> None:
        self.x, self.y = batches.arrays("fit", "x", x), batches.arrays("fit", "y", y)
        batches.same_count("fit", self.x, self.y)
        self._net, self._size, self._shuffle, self._augment = net, batch_size, shuffle, augment
        self._order, self._changes = order, changes

    def __len__(self) -> int:
        return -(-batches.count(self.x) // self._size)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        samples = batches.count(self.x)
        order = self._order.permutation(samples) if self._shuffle else np.arange(samples)
        for part in batches.slices(samples, self._size):
            x, y = batches.take(self.x, order[part]), batches.take(self.y, order[part])
            if self._augment is not None:
                with setting(layout=self._net.layout or "NCHW"):
                    changed = self._augment(x, y, self._changes)
                x, y = changed if isinstance(changed, tuple) else (changed, y)
            yield x, y

    def state_dict(self) -> dict[str, int]:
        """Nothing: its generators are those of `fit`."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        pass


def of_batches(x: Batches, y: Any, augment: Any) -> Batches:
    """Refuse what is said in two places."""
    if y is not None or augment is not None:
        name = "y" if y is not None else "augment"
        raise ValueError(f"fit: x is Batches, which have {name}: {name} needs to be None")
    _, target = x.source.take(np.zeros(1, np.intp))
    if target is None:
        raise ValueError("fit: x is Batches of samples without what they should give")
    return x


class Ticket(NamedTuple):
    """A batch of `nn.data.Batches` that workers read themselves, each its parts."""

    epoch: int
    batch: int
    samples: int


class Tickets:
    """Tickets for the batches of `nn.data.Batches`, in place of these; they move on as if they were read."""

    def __init__(self, data: Batches) -> None:
        self.data = data
        self.state_dict, self.load_state_dict = data.state_dict, data.load_state_dict

    @property
    def batch(self) -> int:
        return self.data.batch

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        data = self.data
        for _ in range(data.batch, len(data)):
            ticket = Ticket(data.epoch, data.batch, data.samples(data.batch))
            data.skip()
            yield ticket, None
