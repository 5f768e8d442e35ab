"""A network that is ready to run for one set of shapes. Made by `fastconv.onnx.Model`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastconv.backends import use_backend
from fastconv.graph.graph import Graph
from fastconv.graph.interpreter import Interpreter
from fastconv.graph.network import Network
from fastconv.graph.passes import Applied, optimise
from fastconv.typing import BackendName, ShapeLike


class Program(Network):
    """A network that was compiled: optimised for one set of shapes, its memory planned, its steps in C where the
    ``cython`` backend runs it. Made by `fastconv.onnx.Model.compile`.

    It takes what the model takes, of these shapes. Several threads may call it, and it can be pickled.

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
        Their names, dtypes and shapes.
    graph : fastconv.graph.Graph
        What runs; not to be changed.
    """

    _word = "program"

    def __init__(
        self,
        graph: Graph,
        input_shapes: Mapping[str, ShapeLike],
        backend: BackendName,
        *,
        optimize: bool = True,
        stop_after: str | None = None,
        plans: dict[Any, Any] | None = None,
    ) -> None:
        """`plans` are those that the programs of one network share."""
        self._made_of = graph, dict(input_shapes), backend, optimize, stop_after
        self._backend: BackendName = backend
        shapes = {name: tuple(map(int, shape)) for name, shape in input_shapes.items()}
        self._applied: list[Applied]
        # Without optimisation the shapes are found all the same.
        last = stop_after if optimize else "shapes"
        self.graph, self._applied = optimise(graph, input_shapes=shapes, stop_after=last)
        super().__init__(self.graph)
        if backend == "cython":
            # Not at the top: the extension may not have been built.
            from fastconv.graph.program.compiled import CompiledRun

            self._runs: Any = CompiledRun(self.graph, {} if plans is None else plans)
        else:
            self._runs = Interpreter(self.graph)

    def _run(self, arrays: list[Any]) -> list[Any]:
        with use_backend(self._backend):
            return self._runs(*arrays)  # type: ignore[no-any-return]

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, self._made_of

    def __repr__(self) -> str:
        return f"<Program {self.graph.name!r} of {len(self.graph.nodes)} nodes on {self._backend}>"


def _remade(
    graph: Graph,
    shapes: Mapping[str, ShapeLike],
    backend: BackendName,
    optimize: bool,
    stop_after: str | None,
) -> Program:
    return Program(graph, shapes, backend, optimize=optimize, stop_after=stop_after)
