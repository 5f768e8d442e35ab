"""Which steps are done together, band by band, so that what they make between stays in cache. Called by `compiled.py`.

`csrc/network/chain.c` says which steps can be; what they make between is then nowhere in memory as a whole. Only shapes
have a say, as results are the same either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import fastconv.backends.cython._engine as _engine
from fastconv.graph.graph import Node
from fastconv.graph.program.lowering import Step
from fastconv.graph.program.memory import Kind, Places, byte_count
from fastconv.graph.program.operands import sizes_of

# A thread's rows of what is made between are to stay in L2, beside weights that each band reads again; and a band is to
# have so many rows, as kernels begin anew in each, and every thread several bands.
_ROOM_BYTES, _MOST_WEIGHTS, _LEAST_ROWS, _BANDS = 512 << 10, 384 << 10, 4, 8
# What is made between is read from L2 instead of L3, or of memory: on Zen 4 this began to pay where it is larger than
# that.
_LEAST_BETWEEN = 3 << 19


@dataclass(frozen=True)
class Chain:
    """Steps from number `first` on, in bands of so many rows of the last one's result."""

    first: int
    count: int
    band: int


class Chains:
    """Finds the chains of a program, by the steps in C and those in Python in their order."""

    def __init__(self, network: _engine.Network, places: Places, steps: Sequence[Step | Node]) -> None:
        self._network, self._places = network, places
        self._steps = steps
        self._alone = {root for root, members in places.groups().items() if len(members) == 1}
        self._readers: dict[int, int] = {}
        for step in steps:
            values = [places.of(v) for v in step.reads()] if isinstance(step, Node) else step.reads
            for place in values:
                self._readers[place] = self._readers.get(place, 0) + 1

    def found(self) -> Iterator[tuple[int, Chain]]:
        """Chains, each with the number of its first step among all, where `Chain.first` counts those in C alone."""
        place = own = 0
        while place < len(self._steps):
            if isinstance(self._steps[place], Node):
                place += 1
                continue
            chain = self._from(place, own)
            if chain is not None:
                yield place, chain
            done = 1 if chain is None else chain.count
            place, own = place + done, own + done

    def _from(self, place: int, own: int) -> Chain | None:
        """The longest one that begins there and pays."""
        best, count = None, 2
        while count <= _engine.MOST_CHAINED and self._follows(place + count - 1):
            steps = self._c_steps(place, count)
            made = byte_count(self._places.values[steps[-2].out])
            if made < _LEAST_BETWEEN or sum(step.weight_bytes for step in steps) > _MOST_WEIGHTS:
                break
            band = self._band(own, steps)
            if not band:
                break
            best, count = Chain(own, count, band), count + 1
        return best

    def _c_steps(self, place: int, count: int) -> list[Step]:
        return [step for step in self._steps[place : place + count] if isinstance(step, Step)]

    def _follows(self, place: int) -> bool:
        """Does a step in C alone read what the one before it makes?"""
        if place >= len(self._steps):
            return False
        before, step = self._steps[place - 1], self._steps[place]
        if isinstance(before, Node) or isinstance(step, Node):
            return False
        out = before.out
        between = self._places.kinds[out] is Kind.ARENA and out in self._alone
        return between and out in step.reads and self._readers[out] == 1

    def _band(self, own: int, steps: Sequence[Step]) -> int:
        """The most rows for which there is room; 0 where these steps cannot be chained."""
        shape = sizes_of(self._places.values[steps[-1].out])
        if len(shape) != 4:
            return 0
        batch, _, height, _ = shape
        most = max(1, min(height, batch * height // _BANDS))
        for rows in range(most, min(_LEAST_ROWS, most) - 1, -1):
            needed = self._network.chain_bytes(own, len(steps), rows)
            if needed < 0:
                return 0
            if needed <= _ROOM_BYTES:
                return rows
        return 0
