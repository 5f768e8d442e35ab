"""Runs the passes over a copy of a graph, until none of them finds anything. Called by whoever runs graphs fast."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fastconv.graph.graph import Graph, Node
from fastconv.graph.operations.table import Type
from fastconv.graph.pages import Blocks, constant_bytes
from fastconv.graph.passes.affine import affine
from fastconv.graph.passes.branches import branches
from fastconv.graph.passes.common import common
from fastconv.graph.passes.constants import constants
from fastconv.graph.passes.copies import copied, distinct
from fastconv.graph.passes.dead import dead
from fastconv.graph.passes.dense import dense
from fastconv.graph.passes.editor import Editor
from fastconv.graph.passes.elementwise import elementwise
from fastconv.graph.passes.epilogues import epilogues
from fastconv.graph.passes.identities import identities
from fastconv.graph.passes.pads import pads
from fastconv.graph.passes.patterns import patterns
from fastconv.graph.passes.reshapes import reshapes
from fastconv.graph.passes.shapes import shapes
from fastconv.graph.passes.transposes import transposes
from fastconv.graph.passes.types import refine
from fastconv.graph.verifier import verify
from fastconv.text import echo

Pass = Callable[[Editor], None]

_TOGETHER: tuple[Pass, ...] = (
    shapes,
    constants,
    branches,
    identities,
    common,
    dead,
    transposes,
    reshapes,
    patterns,
    dense,
    affine,
    pads,
    epilogues,
)
# Its nodes hide what they hold from all others.
_LAST: tuple[Pass, ...] = (elementwise,)
# By name, in the order in which they run.
PASSES: dict[str, Pass] = {one.__name__: one for one in (*_TOGETHER, *_LAST)}
_MOST_ROUNDS = 32


@dataclass(frozen=True)
class Applied:
    """What a pass did: a line for people about each rewriting."""

    name: str
    lines: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.lines)


def optimise(
    graph: Graph,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    stop_after: str | None = None,
) -> tuple[Graph, list[Applied]]:
    """Make a graph that computes the same with less work; results differ by rounding only.

    Parameters
    ----------
    graph : Graph
        Is not changed; its constants are shared.
    input_shapes : dict of str to tuple of int, optional
        The shapes of inputs, by their names, where they are known better than the graph says: the result takes no
        others.
    stop_after : str, optional
        The last pass that runs: to find out which one changed a result. They are, in their order, shapes, constants,
        branches, identities, common, dead, transposes, reshapes, patterns, dense, affine, pads, epilogues and
        elementwise.

    Returns
    -------
    Graph
    list of Applied
        The passes that found something, in that order.

    Raises
    ------
    ValueError
        If an input or a pass of that name is not there, or a shape is none that the input may have.
    GraphError
        If a pass made a graph that is none: a fault of this library.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.graph import Graph, Node, Value
    >>> from fastconv.graph.passes import optimise
    >>> x, y, z = (Value(name, np.dtype(np.float32), (1, 3, 8, 8)) for name in "xyz")
    >>> weight = Value.of("w", np.ones((4, 3, 1, 1), np.float32))
    >>> nodes = [Node("Conv", [x, weight], [y], name="first"), Node("Relu", [y], [z], name="second")]
    >>> graph, applied = optimise(Graph([x], [z], nodes))
    >>> [node.operation for node in graph.nodes]
    ['fastconv.Conv']
    >>> applied[-1]
    Applied(name='epilogues', lines=('Relu second into Conv first',))
    """
    if stop_after is not None and stop_after not in PASSES:
        raise ValueError(f"optimise: stop_after is {stop_after!r}, but the passes are {', '.join(PASSES)}")
    result = copied(graph)
    loops = list(_loops(result, graph))
    _set_shapes(result, input_shapes or {})
    declared = [value.shape for value in result.inputs]
    distinct(result)
    names = list(PASSES)
    chosen = names if stop_after is None else names[: names.index(stop_after) + 1]
    run = _Run(result, {name: [] for name in names})
    with np.errstate(all="ignore"):
        run.to_fixpoint([one for one in _TOGETHER if one.__name__ in chosen])
        run.to_fixpoint([one for one in _LAST if one.__name__ in chosen])
    for value, shape in zip(result.inputs, declared, strict=True):
        value.shape = shape
    for new, before in ((result, graph), *loops):
        for value, old in zip(new.outputs, before.outputs, strict=True):
            refine(value, Type(old.dtype, old.shape))
    return result, [Applied(name, tuple(told)) for name, told in run.lines.items() if told]


def _loops(graph: Graph, other: Graph) -> Iterator[tuple[Graph, Graph]]:
    """The bodies of loops in both of two graphs that are alike. The results of a loop of no rounds have the types that
    the file says."""
    for node, twin in zip(graph.nodes, other.nodes, strict=True):
        for name, body in node.graphs().items():
            inner = twin.attributes[name]
            if node.operation in ("Loop", "Scan"):
                yield body, inner
            yield from _loops(body, inner)


def _set_shapes(graph: Graph, input_shapes: Mapping[str, Sequence[int]]) -> None:
    inputs = {value.name: value for value in graph.inputs}
    if not isinstance(input_shapes, Mapping):
        raise TypeError(
            f"input_shapes is {echo(input_shapes)}, but needs the shapes of inputs by name: {', '.join(inputs)}"
        )
    for name, given in input_shapes.items():
        if name not in inputs:
            raise ValueError(f"input_shapes has {name!r}, but the inputs are {', '.join(inputs)}")
        try:
            value, shape = inputs[name], tuple(map(operator.index, given))
        except TypeError:
            raise TypeError(
                f"input_shapes has {echo(given)} for {name!r}, but a shape is a tuple of integers"
            ) from None
        declared = value.shape
        fits = declared is None or (
            len(declared) == len(shape)
            and all(not isinstance(old, int) or old == new for old, new in zip(declared, shape, strict=True))
        )
        if not fits or min(shape, default=0) < 0:
            raise ValueError(f"input_shapes has {shape} for {name!r}, but it needs {declared}")
        value.shape = shape


class _Run:
    """The passes over one graph; `lines` has what each of them did."""

    def __init__(self, graph: Graph, lines: dict[str, list[str]]) -> None:
        self.lines = lines
        self._graph = graph
        self._blocks = Blocks(constant_bytes(graph), passing=True)
        self._editor = Editor(graph, self._blocks)
        self._allowed: set[Node] = set()

    def to_fixpoint(self, passes: Sequence[Pass]) -> None:
        for _ in range(_MOST_ROUNDS):
            if not self._round(self._editor, passes):
                return

    def _round(self, editor: Editor, passes: Sequence[Pass]) -> int:
        """Each pass once, over a graph and then over those in its nodes; how many rewritings there were."""
        found = 0
        for one in passes:
            one(editor)
            done = editor.finish()
            if done:
                verify(self._graph, self._allowed)
            self.lines[one.__name__] += done
            found += len(done)
        for node in editor.graph.nodes:
            if node.captures and node.operation != "fastconv.Elementwise":
                for body in node.graphs().values():
                    found += self._round(Editor(body, self._blocks), passes)
        return found
