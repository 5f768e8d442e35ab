"""Runs a graph whose shapes are known on the ``cython`` backend: its memory is planned, and its steps run in C, one
after the other, wherever they can. Made by `program.py`.

Nodes that C has no kernel for run in Python between the others, as the interpreter runs them. The branches of an If are
compiled in turn, when they are first taken: only the choice is Python's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np

import fastconv.backends.cython._engine as _engine
from fastconv.execution.memory import empty
from fastconv.graph.error import ModelError
from fastconv.graph.graph import Graph, Node
from fastconv.graph.interpreter import Interpreter, NodeStep
from fastconv.graph.pages import Blocks, constant_bytes
from fastconv.graph.program import (  # noqa: F401  (they fill the table)
    lower_elementwise,
    lower_moves,
    lower_products,
    lower_recurrent,
    lower_reductions,
    lower_tables,
    lower_windows,
)
from fastconv.graph.program.budget import smaller_forms
from fastconv.graph.program.chains import Chains
from fastconv.graph.program.layouts import made_with_channels_last
from fastconv.graph.program.lowering import Builder, Step, Tuned, Weights
from fastconv.graph.program.memory import Kind, Places, byte_count, has_room
from fastconv.graph.program.problems import Problems
from fastconv.problem.convolution import ConvProblem
from fastconv.settings.precision import get_precision, use_precision
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array, Precision

_LEAST_HUGE, _HUGE_PAGE = 256 << 10, 2 << 20
_LASTING = (Kind.ARENA, Kind.CONSTANT)


class CompiledRun:
    """A graph that can be called with the values of its inputs, in their order.

    Every run under way has an arena of its own; those of runs that ended are kept for the next.
    """

    def __init__(self, graph: Graph, weights: Weights, tuned: Tuned = None, fuses: bool = True) -> None:
        """`fuses` says whether a step may do what several nodes say."""
        self._places = places = Places(graph)
        problems = Problems()
        last = made_with_channels_last(graph, problems)
        self.layouts = "NCHW and NHWC" if last else "NCHW"
        self._tuned, self._fuses = tuned, fuses
        forms = (
            {} if tuned else smaller_forms(graph, problems)
        )  # what was measured is taken, whatever its weights
        blocks = Blocks(constant_bytes(graph))
        builder = Builder(places, weights, last, _readers(graph), problems, forms, tuned, blocks, fuses)
        self._branches: list[Branch] = []
        self._segments: list[tuple[int, int] | NodeStep] = []
        self.steps: list[Step | Node] = []
        self._touched: list[tuple[int, ...]] = []
        for node in graph.nodes:
            self._add(node, builder)
        # Later nodes may have let a step make more.
        steps = zip(self.steps, self._touched, strict=True)
        self._touched = [step.touched if isinstance(step, Step) else touched for step, touched in steps]
        self._network = builder.network
        self._chain()
        self._constants = builder.constants
        self._groups = places.groups()
        self._offsets, self._arena_bytes = places.arena(self._touched)
        self._inputs = [places.of(value) for value in graph.inputs]
        self._results = [places.of(value) for value in graph.outputs]
        self._new = [root for root in self._groups if places.kinds[root] is Kind.OUTPUT]
        self._in_python = any(isinstance(segment, NodeStep) for segment in self._segments)
        self._idle: list[_Memory] = []

    def _add(self, node: Node, builder: Builder) -> None:
        before = len(builder.steps)
        done = builder.lower(node)
        read = () if done else node.reads()
        slots = {id(value): builder.read_in_python(value) + 1 for value in read}
        added = builder.steps[before:]
        if added:
            self._extend_segment(before, len(builder.steps))
            self.steps += added
            self._touched += [step.touched for step in added]
        if done:
            return
        places = self._places
        for value in node.outputs:
            if value is not None:
                builder.make_planar(value)
                places.kinds[places.of(value)] = Kind.MADE
        compiled = node.operation == "If"
        step = NodeStep(
            node,
            slots,
            lambda value, _: places.of(value) + 1,
            lambda graph: (
                Branch(graph, builder.weights, self._tuned, self._fuses) if compiled else Interpreter(graph)
            ),
        )
        if compiled:
            self._branches += step.bodies.values()
        self._segments.append(step)
        self.steps.append(node)
        self._touched.append(
            (
                *(slot - 1 for slot in slots.values()),
                *(places.of(value) for value in node.outputs if value is not None),
            )
        )

    def _chain(self) -> None:
        """Let steps be done together where that pays. What they make between needs no memory, and what they read and
        make lives as long as all of them run."""
        for place, chain in Chains(self._network, self._places, self.steps).found():
            self._network.chain(chain.first, chain.count, chain.band)
            among = range(place, place + chain.count)
            between = {self._touched[k][-1] for k in among[:-1]}
            touched = tuple({one for k in among for one in self._touched[k]} - between)
            for k in among:
                self._touched[k] = touched

    def _extend_segment(self, first: int, last: int) -> None:
        latest = self._segments[-1] if self._segments else None
        if isinstance(latest, tuple):
            self._segments[-1] = latest[0], last
        else:
            self._segments.append((first, last))

    @property
    def arena_bytes(self) -> int:
        """Of a run under way, its branches' own with them."""
        return self._arena_bytes + sum(run.arena_bytes for run in self._compiled_branches())

    def problems(self) -> Iterator[tuple[str, ConvProblem]]:
        """Of the steps with weights: what they make, and how."""
        for step in self.steps:
            if isinstance(step, Step) and step.problem is not None:
                yield self._places.values[step.out].name, step.problem
        for run in self._compiled_branches():
            yield from run.problems()

    def refused(self) -> Iterator[str]:
        """Why branches cannot be compiled: a file may never take them."""
        for branch in self._branches:
            found = branch.tried()
            if isinstance(found, CompiledRun):
                yield from found.refused()
            else:
                yield f"a branch of an If cannot be compiled, and raises this where it is taken: {found}"

    def _compiled_branches(self) -> Iterator[CompiledRun]:
        """Those that can be."""
        for branch in self._branches:
            found = branch.tried()
            if isinstance(found, CompiledRun):
                yield found

    def __call__(self, *arrays: Any) -> list[Any]:
        return self._call(arrays, None)

    def profile(self, *arrays: Any) -> list[int]:
        """The time of each step, in nanoseconds, in the order of `steps`."""
        times: list[int] = []
        self._call(arrays, times)
        return times

    def _call(self, arrays: Sequence[Any], times: list[int] | None) -> list[Any]:
        try:
            memory = self._idle.pop()
        except IndexError:  # all are in use
            memory = self._new_memory()
        try:
            if not self._in_python:
                return self._run(memory, arrays, times)
            with np.errstate(all="ignore"):
                return self._run(memory, arrays, times)
        finally:
            memory.forget()
            self._idle.append(memory)

    def _new_memory(self) -> _Memory:
        return _Memory(self._places, self._groups, self._offsets, self._arena_bytes, self._constants)

    def _run(self, memory: _Memory, arrays: Sequence[Any], times: list[int] | None) -> list[Any]:
        places, threads = self._places, get_num_threads()
        for place, array in zip(self._inputs, arrays, strict=True):
            memory.give(place, array)
        for root in self._new:
            value = places.values[root]
            memory.give(root, empty("model", value.shape, value.dtype))  # type: ignore[arg-type]
        for segment in self._segments:
            if isinstance(segment, tuple):
                taken = None if times is None else np.zeros(segment[1] - segment[0], np.int64)
                self._network.run(memory.pointers, *segment, threads, taken)
                if times is not None and taken is not None:
                    times += taken.tolist()
            else:
                before = perf_counter_ns()
                memory.run(segment)
                if times is not None:
                    times.append(perf_counter_ns() - before)
        return [memory.array(place) for place in self._results]


class Branch:
    """A branch of an If, compiled when it is first taken: many networks take the same one all their life."""

    def __init__(self, graph: Graph, weights: Weights, tuned: Tuned, fuses: bool) -> None:
        self._made_of = graph, weights, tuned, fuses
        self._precision: Precision = get_precision()
        # What is tuned is measured now, as the caller said.
        self._compiled = None if tuned is None else CompiledRun(*self._made_of)

    @property
    def compiled(self) -> CompiledRun:
        """By whoever comes first; of two threads that come at once, both."""
        compiled = self._compiled
        if compiled is None:
            with use_precision(self._precision):
                self._compiled = compiled = CompiledRun(*self._made_of)
        return compiled

    def tried(self) -> CompiledRun | Exception:
        """Compiled, or why it cannot be."""
        try:
            return self.compiled
        except (ModelError, MemoryError) as error:
            return error

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.compiled(*arrays)


def _readers(graph: Graph) -> Counter[int]:
    """How often each value is read, by number (`id`)."""
    read = [value for node in graph.nodes for value in node.reads()]
    return Counter(id(value) for value in (*read, *graph.outputs))


def _arena(size: int) -> Array:
    """Bytes that start on a cache line, and from a size on in huge pages (`csrc/base/recycle.c`).

    Small pages may lie so that a half of L2 is not used: MobileNetV2 took a tenth longer, over five processes in turns.
    """
    return _engine.recycled((size if size < _LEAST_HUGE else max(size, _HUGE_PAGE),), np.uint8)


class _Memory:
    """What one run under way writes to."""

    def __init__(
        self,
        places: Places,
        groups: dict[int, list[tuple[int, int]]],
        offsets: dict[int, int],
        size: int,
        constants: dict[int, Array],
    ) -> None:
        self.pointers = _engine.Places(len(places))
        self._places, self._groups = places, groups
        self._held: dict[int, Any] = {}
        self._views: dict[
            int, Any
        ] = {}  # what `array` gives: of memory that stays, and roots that were given
        self._lent: list[int] = []  # the roots whose memory belongs to the caller, or to a step in Python
        self._own = _arena(size)
        for root, offset in offsets.items():
            self._bind(root, self._own[offset : offset + byte_count(places.values[root])])
        for place, constant in constants.items():
            self._bind(place, constant)
        self._values: list[Any] = [None] * (len(places) + 1)

    def _bind(self, root: int, array: Any) -> None:
        self._held[root] = array
        self.pointers.bind(self._groups[root], array)

    def give(self, root: int, array: Any) -> None:
        """Let a group have the memory of an array."""
        self._lent.append(root)
        if type(array) is not np.ndarray or not array.flags.carray or array.dtype == object:
            if isinstance(array, list) or np.asarray(array).dtype == object:
                self._held[root] = self._views[root] = array  # only Python steps read such
                return
            array = np.require(array, requirements=["C", "A"])
        value = self._places.values[root]
        fits = value.shape == array.shape and value.dtype == array.dtype
        if not fits and has_room(value):
            raise ModelError(
                f"the value {value.name!r} is {array.dtype} {array.shape}, "
                f"but its graph says {value.dtype} {value.shape}"
            )
        self._bind(root, array)
        self._views[root] = array

    def array(self, place: int) -> Any:
        """A value, as Python steps and the caller read it."""
        view = self._views.get(place)
        if view is not None:
            return view
        value = self._places.values[place]
        root, offset = self._places.root(place)
        if value.is_constant:
            view = value.constant
        else:
            flat = self._held[root].reshape(-1).view(np.uint8)[offset : offset + byte_count(value)]
            view = flat.view(value.dtype).reshape(value.shape)
        if self._places.kinds[root] in _LASTING:
            self._views[place] = view
        return view

    def run(self, step: NodeStep) -> None:
        """A node in Python."""
        values = self._values
        for slot in step.used:
            values[slot] = self.array(slot - 1)
        try:
            step.run(values, "cython")
            for slot in step.outputs:
                if slot:
                    self.give(slot - 1, self._outside(values[slot]))
        finally:
            for slot in (*step.used, *step.outputs):
                values[slot] = None

    def _outside(self, result: Any) -> Any:
        """A result that may be a view of the arena, which other values will lie in."""
        inside = isinstance(result, np.ndarray) and np.may_share_memory(result, self._own)
        return result.copy() if inside else result

    def forget(self) -> None:
        """Let go of what belongs to the caller."""
        for root in self._lent:
            self._held.pop(root, None)
            self._views.pop(root, None)
            self.pointers.bind(self._groups[root], None)
        self._lent.clear()
