"""What each step of a program does, and what it costs: what `explained.py` and `profiled.py` put into tables, and the
command that draws networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv.graph.costs import base_name, bytes_of, flops_of, known_shape, moved_by, words_of
from fastconv.graph.graph import Graph, Node, Size

if TYPE_CHECKING:
    from fastconv.graph.program.compiled import CompiledRun
    from fastconv.graph.program.lowering import Step

# What steps without a cost model move in a cycle, where two threads share the work; seven image networks on Zen 4 moved
# 18 bytes in a cycle of that model.
BYTES_A_CYCLE = 16
_MATRIX_NODES = ("Conv", "ConvTranspose", "Dense")


@dataclass(frozen=True)
class StepInfo:
    """One step.

    Attributes
    ----------
    node : Node
        The node that it belongs to; a node may have several.
    name, shape, dtype
        Of what it makes; the shape is None where it is not known.
    operation : str
        With what was fused into it, as in ``Conv 3x3 + relu``.
    algorithm : str
        Empty where there is no choice.
    flops : int
        Multiplications and additions, by the textbook.
    operations : int
        Those that the algorithm does: Winograd's are fewer.
    bytes : int
        Read and written, each once, packed weights among them.
    weight_bytes : int
        Of packed weights.
    cycles : float
        Predicted, where two threads share the work; 0 where there is nothing to predict them from.
    where : str
        ``"C"`` or ``"Python"``.
    """

    node: Node
    name: str
    shape: tuple[Size, ...] | None
    dtype: np.dtype[Any] | None
    operation: str
    algorithm: str
    flops: int
    operations: int
    bytes: int
    weight_bytes: int
    cycles: float
    where: str

    @property
    def kind(self) -> str:
        """The operation without what was fused, and its algorithm."""
        return f"{base_name(self.node)} {self.algorithm}".rstrip()


@dataclass(frozen=True)
class Memory:
    """Bytes that a program takes.

    Attributes
    ----------
    arena : int
        Planned for the values between steps; of every run under way. 0 where nothing is planned.
    results : int
        Of a call.
    weights : int
        In the form that kernels take.
    constants : int
        Others that steps read.
    """

    arena: int
    results: int
    weights: int
    constants: int

    @property
    def peak(self) -> int:
        """Of all, in a run; inputs, the kernels' workspaces and what Python steps make come on top."""
        return self.arena + self.results + self.weights + self.constants


def memory_of(graph: Graph, steps: Sequence[StepInfo], arena: int, parts: int) -> Memory:
    """That of a program with these steps, whose graph is that of one of so many parts of a batch."""
    packed = {id(step.node) for step in steps if step.weight_bytes}
    found: dict[int, int] = {}

    def add(part: Graph) -> None:
        for node in part.nodes:
            if id(node) not in packed:
                found.update({id(v): v.held.nbytes for v in node.reads() if v.is_constant})
            for inner in node.graphs().values():
                add(inner)

    add(graph)
    results = sum(map(bytes_of, graph.outputs)) * parts
    return Memory(arena, results, sum(step.weight_bytes for step in steps), sum(found.values()))


def python_steps(graph: Graph) -> list[StepInfo]:
    """Those of a graph that is interpreted: one for each node."""
    return [_in_python(node, 0.0) for node in graph.nodes]


def compiled_steps(run: CompiledRun, parts: int) -> list[StepInfo]:
    """Those of a compiled graph that is run for so many parts of a batch, in the order in which they run."""
    steps = [
        _in_python(step, moved_by(step) / BYTES_A_CYCLE) if isinstance(step, Node) else _in_c(run, step)
        for step in run.steps
    ]
    return [
        replace(
            step,
            flops=step.flops * parts,
            operations=step.operations * parts,
            bytes=step.bytes * parts,
            cycles=step.cycles * parts,
        )
        for step in steps
    ]


def _in_python(node: Node, cycles: float) -> StepInfo:
    made = next((value for value in node.outputs if value is not None), None)
    flops = flops_of(node)
    return StepInfo(
        node=node,
        name=made.name if made is not None else "",
        shape=made.shape if made is not None else None,
        dtype=made.dtype if made is not None else None,
        operation=words_of(node),
        algorithm="",
        flops=flops,
        operations=flops,
        bytes=moved_by(node),
        weight_bytes=0,
        cycles=cycles,
        where="Python",
    )


def _in_c(run: CompiledRun, step: Step) -> StepInfo:
    values = run._places.values
    out, node = values[step.out], step.node
    reads = [values[place] for place in step.reads]
    moves = step.algorithm == "copy"
    # Of a copy what is written is read, too; its operands may be parts of larger arrays.
    made = [*(values[place] for place in step.beside), out]
    moved = 2 * bytes_of(_smaller(reads, out)) if moves else sum(map(bytes_of, [*reads, *made]))
    size = moved + step.weight_bytes
    named = base_name(node) in _MATRIX_NODES or moves
    return StepInfo(
        node=node,
        name=out.name or next(value.name for value in node.outputs if value is not None),
        shape=out.shape,
        dtype=out.dtype,
        operation=step.words or words_of(node),
        algorithm=step.algorithm if named else "",
        flops=(flops_of(node) or step.flops) if step.flops else 0,
        operations=step.flops,
        bytes=size,
        weight_bytes=step.weight_bytes,
        cycles=step.cycles or size / BYTES_A_CYCLE,
        where="C",
    )


def _smaller(reads: Sequence[Any], out: Any) -> Any:
    return min([*reads, out], key=lambda value: prod(known_shape(value) or (0,)))
