"""Which convolutions take their weights in a smaller form than that of the fastest kernel, so that a network's stay
within a multiple of what its file holds. Called by `compiled.py`.

Winograd's algorithm has up to four times the weights. Where it saves most, among many tiles, they are small; deep in a
network they are most of its memory, and save little over fewer points. So what gives up least for each byte is taken
first. Only shapes, the instruction set and the processor have a say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fastconv.backends.cython import BACKEND
from fastconv.backends.protocol import Work
from fastconv.graph.graph import Graph, Node
from fastconv.graph.program.memory import has_room
from fastconv.graph.program.problems import Problems
from fastconv.problem.convolution import ConvProblem

# Packed weights over the file's. The U-Net of 124 MB would have 3.2 times its own, and takes 5 % longer with these.
_MOST = 2.5
# Smaller weights are not worth a look.
_LARGE = 1 << 20


def smaller_forms(graph: Graph, problems: Problems) -> dict[int, str]:
    """The algorithm of each convolution that takes less room than the fastest one, by the node's number (`id`)."""
    held = {
        id(value): value.held.nbytes for node in graph.nodes for value in node.reads() if value.is_constant
    }
    forms = {
        id(node): forms
        for node in graph.nodes
        if _is_large(node) and (forms := _forms(problems.of(node, "NCHW")))
    }
    chosen = {number: forms[0] for number, forms in forms.items()}
    excess = sum(own.weight_bytes for own in chosen.values()) - _MOST * sum(held.values())
    while excess > 0 and (moves := list(_moves(chosen, forms))):
        _, number, place = min(moves)
        excess -= chosen[number].weight_bytes - forms[number][place].weight_bytes
        chosen[number] = forms[number][place]
    return {number: own.algorithm for number, own in chosen.items() if own is not forms[number][0]}


def _is_large(node: Node) -> bool:
    if node.operation not in ("Conv", "fastconv.Conv") or not all(map(has_room, node.reads())):
        return False
    weight = node.inputs[1]
    return weight is not None and weight.is_constant and weight.held.nbytes >= _LARGE


def _forms(problem: ConvProblem | None) -> list[Work]:
    """What the kernels that can do a convolution make of it, the fastest first."""
    if problem is None or problem.algorithm is not None:
        return []
    return [BACKEND.work(replace(problem, algorithm=name)) for name in BACKEND.candidates(problem)]


def _moves(chosen: dict[int, Work], forms: dict[int, list[Work]]) -> Iterator[tuple[float, int, int]]:
    """For each smaller form: cycles for a byte less, the node's number, and the form's place."""
    for number, own in chosen.items():
        for place, other in enumerate(forms[number]):
            saved = own.weight_bytes - other.weight_bytes
            if saved > 0:
                yield (other.cycles - own.cycles) / saved, number, place
