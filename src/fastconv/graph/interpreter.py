"""Runs a graph node by node, through the functions of the table: plain, the oracle of whatever runs it faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from fastconv.backends import get_backend
from fastconv.graph.error import errors_of
from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.operations import TABLE
from fastconv.graph.operations.table import Type
from fastconv.typing import BackendName

NOTHING = 0  # the slot of an optional input that is not given


class Interpreter:
    """A graph that can be called with the values of its inputs, in their order; gives those of its outputs.

    Values are freed after their last reader. What the constants of a node allow to prepare (the weights of a
    convolution) is prepared once for each backend. Several threads may call one interpreter; a pickle holds the graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._constants: list[Any] = [None]
        slots: dict[int, int] = {}
        for node in graph.nodes:
            prepares = TABLE[node.operation].prepare is not None
            for value in node.reads():
                self._place_constant(value, slots, prepares)
        for value in graph.outputs:
            self._place_constant(value, slots, True)
        self._inputs = [self._new(value, slots) for value in graph.inputs]
        self._steps = [NodeStep(node, slots, self._new) for node in graph.nodes]
        self._outputs = [slots[id(value)] for value in graph.outputs]
        self._free(graph)

    def _new(self, value: Value, slots: dict[int, int]) -> int:
        slots[id(value)] = len(self._constants)
        self._constants.append(None)
        return slots[id(value)]

    def _place_constant(self, value: Value, slots: dict[int, int], prepared: bool) -> None:
        """One that lies anywhere in a file is copied to where NumPy is fast, but where a node prepares it."""
        if not value.is_constant:
            return
        slot = slots.setdefault(id(value), len(self._constants))
        if slot == len(self._constants):
            self._constants.append(value.constant)
        if not prepared and not self._constants[slot].flags.aligned:
            self._constants[slot] = self._constants[slot].copy()
            self._constants[slot].flags.writeable = False

    def _free(self, graph: Graph) -> None:
        """Let each step free what nothing after it reads."""
        kept = {NOTHING, *self._outputs}
        kept.update(slot for slot, value in enumerate(self._constants) if value is not None)
        for step in reversed(self._steps):
            step.frees = [slot for slot in {*step.used, *step.outputs} if slot not in kept]
            kept.update(step.frees)

    def __call__(self, *arrays: Any) -> list[Any]:
        return self._call(arrays, None)

    def profile(self, *arrays: Any) -> list[int]:
        """Time every node.

        Parameters
        ----------
        arrays : ndarray
            As for a call.

        Returns
        -------
        list of int
            Nanoseconds, in the graph's order.
        """
        times: list[int] = []
        self._call(arrays, times)
        return times

    def _call(self, arrays: Sequence[Any], times: list[int] | None) -> list[Any]:
        values = self._constants.copy()
        for slot, array in zip(self._inputs, arrays, strict=True):
            values[slot] = array
        backend = get_backend()
        with np.errstate(all="ignore"):
            for step in self._steps:
                before = perf_counter_ns()
                step.run(values, backend)
                if times is not None:
                    times.append(perf_counter_ns() - before)
        return [values[slot] for slot in self._outputs]

    def __reduce__(self) -> tuple[Any, ...]:
        return Interpreter, (self._graph,)


class _Bound(NamedTuple):
    """A node's graph as a function of what the operation gives it; `types` is what is known of its results."""

    run: Callable[..., list[Any]]
    values: Sequence[Any]
    captured: Sequence[int]
    types: Sequence[Type]

    def __call__(self, *arrays: Any) -> list[Any]:
        return self.run(*arrays, *[self.values[slot] for slot in self.captured])


class NodeStep:
    """A node with the places of its values; `runs` makes of its graphs what runs them."""

    def __init__(
        self,
        node: Node,
        slots: dict[int, int],
        new: Callable[[Value, dict[int, int]], int],
        runs: Callable[[Graph], Any] = Interpreter,
    ) -> None:
        self._node = node
        self._operation = operation = TABLE[node.operation]
        self.inputs = [NOTHING if value is None else slots[id(value)] for value in node.inputs]
        self.bodies = {name: runs(graph) for name, graph in node.graphs().items()}
        self._types = {
            name: [Type(value.dtype, value.shape) for value in graph.outputs]
            for name, graph in node.graphs().items()
        }
        self._captured = {name: [slots[id(v)] for v in values] for name, values in node.captures.items()}
        self.outputs = [NOTHING if value is None else new(value, slots) for value in node.outputs]
        self._attributes = dict(node.attributes)
        if operation.counts_outputs:
            self._attributes["outputs"] = len(node.outputs)
        reads = [*self.inputs, *(slot for own in self._captured.values() for slot in own)]
        self.used = sorted({*reads} - {NOTHING})
        self.frees: list[int] = []
        # By the backend's name; there are three.
        self._prepared: dict[BackendName, Callable[..., Any]] = {}

    def run(self, values: list[Any], backend: BackendName) -> None:
        inputs = [values[slot] for slot in self.inputs]
        with errors_of(self._node):
            self._operation.check(inputs, self._node.attributes)
            if self.bodies:
                result = self._operation.run(*inputs, **self._attributes | self._bound(values))
            elif self._operation.prepare is not None:
                result = self._function(backend)(*inputs)
            else:
                result = self._operation.run(*inputs, **self._attributes)
            self._store(result, values)
        for slot in self.frees:
            values[slot] = None

    def _function(self, backend: BackendName) -> Callable[..., Any]:
        function = self._prepared.get(backend)
        if function is None:
            assert self._operation.prepare is not None
            made = self._operation.prepare(self._node.inputs, self._attributes)
            function = self._prepared.setdefault(backend, made or self._plain)
        return function

    def _plain(self, *inputs: Any) -> Any:
        return self._operation.run(*inputs, **self._attributes)

    def _bound(self, values: list[Any]) -> dict[str, _Bound]:
        return {
            name: _Bound(body, values, self._captured[name], self._types[name])
            for name, body in self.bodies.items()
        }

    def _store(self, result: Any, values: list[Any]) -> None:
        results = result if isinstance(result, tuple) else (result,)
        if len(results) < len(self.outputs) and any(self.outputs[len(results) :]):
            raise ValueError(f"it makes {len(results)} outputs, but {len(self.outputs)} are wanted")
        for slot, value in zip(self.outputs, results, strict=False):  # more may be offered than are wanted
            if slot != NOTHING:
                values[slot] = value if isinstance(value, (np.ndarray, list)) else np.asarray(value)
