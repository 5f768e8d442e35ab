"""What is found out about a model. Filled by `inspect_model.py`, which prints it; drawn by `network_page.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastconv.graph import Graph, Value
from fastconv.graph.costs import flops_of
from fastconv.graph.program import Profile, Program
from fastconv.onnx import Model


@dataclass(frozen=True)
class Operator:
    """The nodes of one operator: how many, their parameters, and FLOPs where shapes are known."""

    name: str
    count: int
    parameters: int
    flops: int


@dataclass(frozen=True)
class Inspection:
    """A model and, where its shapes are known, the program that it becomes."""

    path: Path
    model: Model
    seconds: float
    operators: tuple[Operator, ...]
    program: Program | None
    profile: Profile | None

    @property
    def parameters(self) -> int:
        return sum(operator.parameters for operator in self.operators)


def operators_of(graph: Graph) -> tuple[Operator, ...]:
    """The operators of a graph and those in it, the most frequent first; a constant counts where it is read first."""
    found: dict[str, Operator] = {}
    seen: dict[int, Value] = {}

    def add(part: Graph) -> None:
        for node in part.nodes:
            new = {id(value): value for value in node.reads() if value.is_constant and id(value) not in seen}
            seen.update(new)
            before = found.get(node.operation, Operator(node.operation, 0, 0, 0))
            own = sum(int(value.constant.size) for value in new.values() if value.constant.dtype.kind == "f")
            found[node.operation] = Operator(
                node.operation, before.count + 1, before.parameters + own, before.flops + flops_of(node)
            )
            for inner in node.graphs().values():
                add(inner)

    add(graph)
    return tuple(sorted(found.values(), key=lambda operator: -operator.count))
