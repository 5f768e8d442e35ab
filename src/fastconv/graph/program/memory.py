"""Where the values of a network lie while it runs: which share memory, and what part of one arena each gets. Used by
`compiled.py` and `lowering.py`.

A value is a place, by number. Places form groups that share memory: a reshaped array lies where the array does, the
parts of a concatenation lie in it. A group's root has the memory, and every other place an offset within.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from math import prod

from fastconv.graph.graph import NUMBERS, Graph, Value

_ALIGNMENT = 64


class Kind(Enum):
    """Who gives a group its memory."""

    ARENA = "planned here, reused from step to step"
    INPUT = "the caller"
    OUTPUT = "made anew for each run, and given to the caller"
    CONSTANT = "the network"
    MADE = "a step that runs in Python, each time anew"


def has_room(value: Value) -> bool:
    """Is it known before a run how much memory a value takes?"""
    shape, dtype = value.shape, value.dtype
    if shape is None or dtype is None or dtype.kind == "O":
        return False
    return {*map(type, shape)} <= NUMBERS


def byte_count(value: Value) -> int:
    assert value.dtype is not None
    assert value.shape is not None
    return prod(value.shape) * value.dtype.itemsize  # type: ignore[arg-type]


class Places:
    """The places of a graph's values, and of what its steps need beside."""

    def __init__(self, graph: Graph) -> None:
        self.values: list[Value] = []
        self.kinds: list[Kind] = []
        self._numbers: dict[int, int] = {}
        self._parents: list[tuple[int, int] | None] = []  # and the offset within
        for value in graph.inputs:
            self.add(value, Kind.INPUT)
        for value in graph.outputs:
            if id(value) not in self._numbers and not value.is_constant and has_room(value):
                self.add(value, Kind.OUTPUT)

    def __len__(self) -> int:
        return len(self.values)

    def add(self, value: Value, kind: Kind) -> int:
        number = self._numbers[id(value)] = len(self.values)
        self.values.append(value)
        self.kinds.append(kind)
        self._parents.append(None)
        return number

    def of(self, value: Value) -> int:
        """The number of a value, which gets one where it has none."""
        number = self._numbers.get(id(value))
        if number is not None:
            return number
        kind = Kind.CONSTANT if value.is_constant else Kind.ARENA if has_room(value) else Kind.MADE
        return self.add(value, kind)

    def root(self, place: int) -> tuple[int, int]:
        """The root of a place's group, and the offset within its memory."""
        offset = 0
        while (parent := self._parents[place]) is not None:
            place, offset = parent[0], offset + parent[1]
        return place, offset

    def item(self, place: int) -> int:
        """The bytes of an element; 0 where there is no place."""
        dtype = self.values[place].dtype if place >= 0 else None
        return 0 if dtype is None else dtype.itemsize

    def part(self, value: Value, of: int, offset: int) -> int:
        """A new place within another, so many bytes from its start."""
        number = self.add(value, Kind.ARENA)
        self._parents[number] = of, offset
        return number

    def view(self, value: Value, of: int, offset: int) -> bool:
        """Let a value lie within another one's memory, so many bytes from its start; False where it cannot."""
        number = self.of(value)
        root, before = self.root(of)
        whole = before + offset == 0 and byte_count(value) == byte_count(self.values[root])
        if self.kinds[number] is Kind.OUTPUT:
            # A result that is all of some memory can be its root.
            if self.kinds[root] is not Kind.ARENA or not whole:
                return False
            self._parents[root] = number, 0
            return True
        self._parents[number] = of, offset
        return True

    def put_into(self, part: Value, whole: Value, offset: int) -> bool:
        """Let a value be made where it lies in a larger one; False where it has its memory from elsewhere."""
        root, before = self.root(self.of(part))
        number = self.of(whole)
        if self.kinds[root] is not Kind.ARENA or before or root == self.root(number)[0]:
            return False
        if byte_count(self.values[root]) != byte_count(part):
            return False
        self._parents[root] = number, offset
        return True

    def groups(self) -> dict[int, list[tuple[int, int]]]:
        """The members of each root's group with their offsets, the root's own among them."""
        result: dict[int, list[tuple[int, int]]] = {}
        for place in range(len(self)):
            root, offset = self.root(place)
            result.setdefault(root, []).append((place, offset))
        return result

    def arena(self, steps: Iterable[tuple[int, ...]]) -> tuple[dict[int, int], int]:
        """Offsets of the roots that lie in the arena, and its size; `steps` are the places that each step touches.

        Larger ones are placed first, each as low as those allow that live at the same time.
        """
        lives: dict[int, tuple[int, int]] = {}
        for time, touched in enumerate(steps):
            for place in touched:
                root, _ = self.root(place)
                lives[root] = lives.get(root, (time, time))[0], time
        waiting = [root for root in lives if self.kinds[root] is Kind.ARENA]
        sizes = {root: -(-byte_count(self.values[root]) // _ALIGNMENT) * _ALIGNMENT for root in waiting}
        waiting.sort(key=lambda root: (-sizes[root], lives[root]))
        offsets: dict[int, int] = {}
        living: defaultdict[int, set[int]] = defaultdict(set)  # of those that are placed, by time
        for root in waiting:
            first, last = lives[root]
            times = range(first, last + 1)
            others = set().union(*(living[time] for time in times))
            taken = sorted((offsets[other], offsets[other] + sizes[other]) for other in others)
            for time in times:
                living[time].add(root)
            at = 0
            for begin, end in taken:
                if begin - at >= sizes[root]:
                    break
                at = max(at, end)
            offsets[root] = at
        return offsets, max((offsets[root] + sizes[root] for root in offsets), default=0)
