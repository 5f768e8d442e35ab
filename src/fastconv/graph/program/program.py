"""A network that is ready to run for one set of shapes. Made by `fastconv.onnx.Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from fastconv.arguments import flag, integer
from fastconv.backends import load, use_backend
from fastconv.first_use import importing
from fastconv.graph.graph import Graph
from fastconv.graph.interpreter import Interpreter
from fastconv.graph.network import Network
from fastconv.graph.passes import Applied, optimise
from fastconv.graph.program.batches import RunInParts, images_together
from fastconv.graph.program.steps import Memory, StepInfo, compiled_steps, memory_of, python_steps
from fastconv.machine.stopwatch import stopwatch
from fastconv.problem.convolution import ConvProblem
from fastconv.settings.precision import get_precision, use_precision
from fastconv.settings.threads import get_num_threads
from fastconv.text import counted
from fastconv.typing import ArrayLike, BackendName, Precision, ShapeLike

if TYPE_CHECKING:
    from fastconv.graph.program.profiled import Profile


class Program(Network):
    """A network that was compiled: optimised for one set of shapes, its memory planned, its steps in C where the
    ``cython`` backend runs it. Made by `fastconv.onnx.Model.compile`.

    It takes what the model takes, of these shapes. Several threads may call it, and it can be pickled.

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
        Their names, dtypes and shapes.
    graph : fastconv.graph.Graph
        What runs; not to be changed. Where a batch runs in parts, as `explain` says, that of a part.
    applied : list of fastconv.graph.passes.Applied
        What each pass did.
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
        tune: bool = False,
        weights: dict[Any, Any] | None = None,
        general: Callable[[], Graph] | None = None,
    ) -> None:
        """`weights` are those that the programs of one network share, prepared; `general` makes the graph optimised for
        any shapes, where that is another than the one given."""
        tune = flag("compile", "tune", tune)
        self._made_of = graph, dict(input_shapes), backend, optimize, stop_after, tune, get_precision()
        self._backend: BackendName = backend
        shapes = {name: tuple(map(int, shape)) for name, shape in input_shapes.items()}
        self.applied: list[Applied]
        # Without optimisation the shapes are found all the same.
        last = stop_after if optimize else "shapes"
        self.graph, self.applied = optimise(graph, input_shapes=shapes, stop_after=last)
        super().__init__(self.graph)
        self._parts, self._choices = 1, None
        if tune:
            with importing:  # not at the top: few programs are tuned
                from fastconv.tuning.choice import check_choice
            check_choice("compile", load(backend))
        if backend == "cython":
            with importing:  # not at the top: the extension may not have been built
                from fastconv.graph.program.compiled import CompiledRun

            general = general or (lambda: graph)
            together = images_together(self.graph, graph, general) if last is None else None
            if together is not None:
                self._parts = next(iter(shapes.values()))[0] // together
                shapes = {name: (together, *shape[1:]) for name, shape in shapes.items()}
                self.graph, self.applied = optimise(general(), input_shapes=shapes)
            if tune:
                with importing:
                    from fastconv.graph.program.tuned import Choices
                self._choices = Choices()
            self._compiled = CompiledRun(
                self.graph, {} if weights is None else weights, self._choices, fuses=last is None
            )
            self._runs: Any = self._compiled if together is None else RunInParts(self._compiled, self._parts)
        else:
            self._runs = Interpreter(self.graph)

    @property
    def source(self) -> Graph:
        """The graph that it was made of, for any shapes."""
        return self._made_of[0]

    @property
    def backend(self) -> BackendName:
        """What it runs on."""
        return self._backend

    def _run(self, arrays: list[Any]) -> list[Any]:
        with use_backend(self._backend):
            return self._runs(*arrays)  # type: ignore[no-any-return]

    def memory(self) -> Memory:
        """What the program takes, and a run of it.

        Returns
        -------
        Memory
            Bytes, by what they are for.
        """
        arena = self._compiled.arena_bytes if self._backend == "cython" else 0
        return memory_of(self.graph, self.steps(), arena, self._parts)

    def explain(self) -> str:
        """What the passes did, every step with its cost, and memory, for a person to read.

        Returns
        -------
        str
            A line for each step: what it makes, its operation with what was fused, algorithm, floating-point operations
            by the textbook, bytes read and written, the share of the predicted time, and whether it runs in C. On
            ``numpy`` and ``numba`` there are no algorithms, and nothing is predicted. At the end, of a program that was
            tuned, how many steps that concerns.
        """
        with importing:
            from fastconv.graph.program.explained import explained
        compiled = self._backend == "cython"
        lines = explained(self.graph, self.steps(), self.applied, self.memory(), compiled)
        layouts = self._compiled.layouts if compiled else "NCHW"
        setting = f"{self!r}, {counted(get_num_threads(), 'thread')}, layout {layouts}"
        if self._parts > 1:
            setting += f"; {self._parts} times, for a part of the batch"
        refused = self._compiled.refused() if compiled else ()
        told = () if self._choices is None else self._choices.told()
        return "\n".join([setting, *lines, *refused, *told])

    def convolutions(self) -> list[tuple[str, ConvProblem]]:
        """The steps in C that have weights, for ``fastconv tune``: what they make, and the problem, of a part of the
        batch where it runs in parts."""
        return [*self._compiled.problems()]

    def profile(self, x: ArrayLike | Mapping[str, Any] | None = None, rounds: SupportsIndex = 10) -> Profile:
        """Time every step.

        Parameters
        ----------
        x : array_like, or dict of str to array_like
            As for a call.
        rounds : int
            How often; medians count. Each round times the steps of one call, and another call as a whole.

        Returns
        -------
        Profile
            To print, or to read: `steps` with their `seconds`, `share`, `rate` and `reached`, `by_operation()`.

        Raises
        ------
        ValueError, TypeError
            As a call; or if `rounds` is not an integer from 1 on.
        """
        with importing:
            from fastconv.graph.program.profiled import Profile, step_times
            from fastconv.limits import cached_limits
        rounds = integer("profile", "rounds", rounds, 1)
        arrays = self._arrays(x)
        self._run(arrays)
        steps, calls = [], []
        for _ in range(rounds):
            with use_backend(self._backend):
                steps.append(self._runs.profile(*arrays))
            calls.append(stopwatch(lambda: self._run(arrays)))
        limits, threads = cached_limits(), get_num_threads()
        times = step_times(self.steps(), steps, limits, threads)
        return Profile(self.graph.name, self._backend, threads, times, tuple(calls), limits is not None)

    def steps(self) -> list[StepInfo]:
        """What each step does, and what it costs in a call, in the order in which they run.

        Returns
        -------
        list of StepInfo
        """
        if self._backend == "cython":
            return compiled_steps(self._compiled, self._parts)
        return python_steps(self.graph)

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
    tune: bool = False,
    precision: Precision = "fast",
) -> Program:
    with use_precision(precision):
        return Program(graph, shapes, backend, optimize=optimize, stop_after=stop_after, tune=tune)
