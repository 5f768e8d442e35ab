"""A model that was loaded: its inputs and outputs by name, the call, and what it is compiled to. Made by `load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastconv.backends import get_backend, use_backend
from fastconv.graph.graph import Graph
from fastconv.graph.interpreter import Interpreter
from fastconv.graph.network import Network
from fastconv.graph.passes import optimise
from fastconv.graph.program import Program
from fastconv.graph.summaries import summary
from fastconv.settings.precision import get_precision
from fastconv.typing import BackendName, ShapeLike

_MOST_PROGRAMS = 8


class Model(Network):
    """A network that was read from an ONNX file. Made by `load`.

    It runs on the current backend or the one that it was loaded for, optimised for the shapes that it is called with:
    a program is made for each set of shapes, at the first call with these, and a few are kept (the very first only
    until there is a second). Several threads may call it, and it can be pickled.

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
        Their names, dtypes and shapes.
    graph : fastconv.graph.Graph
        What was read; not to be changed.
    """

    def __init__(self, graph: Graph, backend: BackendName | None, optimize: bool = True) -> None:
        super().__init__(graph)
        self._backend: BackendName | None = backend
        self._optimize = optimize
        self._plain: Interpreter | None = None
        self._general: Graph | None = None
        self._programs: dict[Any, Program] = {}
        self._weights: dict[Any, Any] = {}

    @property
    def backend(self) -> BackendName | None:
        """What it was loaded for; None: whatever is current."""
        return self._backend

    def _run(self, arrays: list[Any]) -> list[Any]:
        backend = self._backend or get_backend()
        if not self._optimize:
            if self._plain is None:  # not before: it copies what is not aligned in the file
                self._plain = Interpreter(self.graph)
            with use_backend(backend):
                return self._plain(*arrays)
        shapes = {
            tensor.name: array.shape
            for tensor, array in zip(self.inputs, arrays, strict=True)
            if hasattr(array, "shape")
        }
        key = tuple(shapes.values()), backend, get_precision()
        program = self._programs.get(key)
        if program is None:
            is_first = not self._programs and self._general is None
            graph = self.graph if is_first else self._shared()
            program = Program(graph, shapes, backend, weights=self._weights, general=self._shared)
            if len(self._programs) >= _MOST_PROGRAMS:
                self._forget()
            program = self._programs.setdefault(key, program)
        return program._run(arrays)

    def _shared(self) -> Graph:
        """The graph for any shapes: its constants are made once for all programs.

        Not before there is a second program, or a batch that may run in parts: many models see one set of shapes, and
        start sooner without. What the first program made of the constants is its own; it goes, and would share them
        when it is made again. Without regions of elementwise nodes, which would hide what passes find when they know
        the shapes.
        """
        if self._general is None:
            self._general = optimise(self.graph, stop_after="epilogues")[0]
            self._forget()
        return self._general

    def _forget(self) -> None:
        self._programs.clear()
        self._weights.clear()

    def compile(
        self,
        input_shapes: Mapping[str, ShapeLike] | Sequence[int] | None = None,
        *,
        optimize: bool = True,
        stop_after: str | None = None,
        tune: bool = False,
    ) -> Program:
        """Make the network ready to run for one set of shapes.

        Parameters
        ----------
        input_shapes : dict of str to tuple of int, or tuple of int, optional
            The shapes of inputs, by name, or that of the only one; needed where the file leaves sizes open.
        optimize : bool
            Whether nodes are fused and simplified; without, the program runs the file's nodes one by one.
        stop_after : str, optional
            The last pass that runs, of `fastconv.graph.passes.PASSES`: to find the one that changed a result.
        tune : bool
            Take the kernels that were measured to be the fastest, as `fastconv.plan_conv2d` does, for the convolutions
            and dense layers with constant weights that run in C. What `fastconv.tuning` does not hold yet is measured
            now, for up to half a second each. Results then depend on the tuning file, and on nothing else. An error
            with the ``numba`` and ``numpy`` backends, which have one algorithm each.

        Returns
        -------
        Program

        Raises
        ------
        ValueError, TypeError
            If a shape is missing or does not fit, there is no such pass, or the backend cannot be tuned.
        """
        backend = self._backend or get_backend()
        shapes: Any = input_shapes or {}
        if isinstance(input_shapes, (tuple, list)) and len(self.inputs) == 1:
            shapes = {self.inputs[0].name: input_shapes}
        return Program(self.graph, shapes, backend, optimize=optimize, stop_after=stop_after, tune=tune)

    def summary(self) -> str:
        """List the nodes, with what is known of their outputs, and their constants.

        Returns
        -------
        str
            As `fastconv.graph.summary` says.
        """
        return summary(self.graph)

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.graph, self._backend, self._optimize)

    def __repr__(self) -> str:
        shown = [f"{t.name}: {t.dtype} {t.shape}" for t in (*self.inputs, *self.outputs)]
        ins, outs = shown[: len(self.inputs)], shown[len(self.inputs) :]
        return f"<Model {self.graph.name!r} ({', '.join(ins)}) -> ({', '.join(outs)})>"
