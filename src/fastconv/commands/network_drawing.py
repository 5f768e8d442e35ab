"""A network as boxes and lines, and where these are. Called by `network_page.py`, whose template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fastconv.graph import Graph, Node, Value
from fastconv.graph.costs import words_of
from fastconv.graph.program import StepInfo
from fastconv.text import shape_text, shortened

# Of the drawing, in pixels.
WIDTH, HEIGHT, GAP, LANE, MARGIN = 620, 26, 10, 9, 8
_MOST_LANES = 24
_MOST_LETTERS = 50
_BAR = 72  # of the largest cost


@dataclass(frozen=True)
class Box:
    """A node, input or output of the drawing: its text, and its part of the whole cost."""

    kind: str  # "input", "node", "python", "output"
    text: str
    shape: str
    title: str
    y: int
    share: float | None = None  # of the whole cost
    heat: float = 0.0  # its cost as part of the largest one

    @property
    def bar(self) -> float:
        return round(_BAR * self.heat, 1)

    @property
    def colour(self) -> int:
        """Per cent of the strongest one; the root, so that small costs are told from none."""
        return round(100 * math.sqrt(self.heat))

    @property
    def per_cent(self) -> str:
        return "" if self.share is None else f"{100 * self.share:.1f} %"


@dataclass(frozen=True)
class Edge:
    """A line from one box to another."""

    path: str
    title: str


@dataclass(frozen=True)
class Drawing:
    """What the page has as SVG."""

    boxes: Sequence[Box]
    edges: Sequence[Edge]
    width: int
    height: int


class _Sketch:
    """The drawing in the making."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.pairs: dict[tuple[int, int], Value] = {}
        self._makers: dict[int, int] = {}  # the boxes of values

    def read(self, values: Sequence[Value]) -> None:
        """Lines to the box that comes next."""
        for value in values:
            if id(value) in self._makers:
                self.pairs.setdefault((self._makers[id(value)], len(self.boxes)), value)

    def place(
        self,
        kind: str,
        text: str,
        made: Sequence[Value],
        title: str,
        share: float | None = None,
        heat: float = 0.0,
    ) -> None:
        self._makers.update((id(value), len(self.boxes)) for value in made)
        shape = shape_text(made[0].shape) if made else ""
        self.boxes.append(
            Box(kind, text, shape, title, MARGIN + len(self.boxes) * (HEIGHT + GAP), share, heat)
        )


def drawing(graph: Graph, steps: Sequence[StepInfo], costs: Sequence[float]) -> Drawing:
    """Boxes in the order in which they run, and lines from what makes a value to what reads it.

    Parameters
    ----------
    graph : Graph
    steps : sequence of StepInfo
    costs : sequence of float
        The part of each step in the whole.
    """
    sketch = _Sketch()
    of_node: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        of_node.setdefault(id(step.node), []).append(number)
    shares = {node: sum(costs[number] for number in own) for node, own in of_node.items()}
    largest = max(shares.values(), default=0.0) or 1.0
    for value in graph.inputs:
        sketch.place("input", f"input {shortened(value.name)}", [value], _title(value))
    for node in graph.nodes:
        own, share = of_node.get(id(node), []), shares.get(id(node))
        sketch.read([value for value in node.reads() if not value.is_constant])
        kind = "python" if any(steps[number].where == "Python" for number in own) else "node"
        algorithms = ", ".join(dict.fromkeys(steps[n].algorithm for n in own if steps[n].algorithm))
        text = _cut(words_of(node) + (f"  [{algorithms}]" if algorithms else ""))
        made = [value for value in node.outputs if value is not None]
        sketch.place(kind, text, made, _node_title(node, share), share, (share or 0.0) / largest)
    for value in graph.outputs:
        sketch.read([value])
        sketch.place("output", f"output {shortened(value.name)}", [], _title(value))
    boxes = sketch.boxes
    edges, lanes = _edges(boxes, sketch.pairs)
    return Drawing(boxes, edges, MARGIN + WIDTH + LANE * (lanes + 2), boxes[-1].y + HEIGHT + MARGIN)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 3]}..."


def _title(value: Value) -> str:
    return f"{value.name}: {value.dtype} {shape_text(value.shape)}"


def _node_title(node: Node, share: float | None) -> str:
    made = "; ".join(_title(value) for value in node.outputs if value is not None)
    cost = "no step of its own" if share is None else f"{100 * share:.1f} %"
    return f"{node}, {cost}; makes {made}"


def _edges(boxes: Sequence[Box], pairs: dict[tuple[int, int], Value]) -> tuple[list[Edge], int]:
    """Short lines between neighbours; others go beside the boxes, each in the first lane that is free."""
    edges: list[Edge] = []
    free: list[int] = []  # the box from which on each lane is free
    for (first, last), value in sorted(pairs.items()):
        title = _title(value)
        if last == first + 1:
            x = MARGIN + WIDTH // 2
            edges.append(Edge(f"M{x} {boxes[first].y + HEIGHT}V{boxes[last].y - 1}", title))
            continue
        lane = next((n for n, until in enumerate(free) if until <= first), len(free))
        lane = min(lane, _MOST_LANES - 1)
        free[lane : lane + 1] = [max([last, *free[lane : lane + 1]])]
        right, x = MARGIN + WIDTH, MARGIN + WIDTH + LANE * (lane + 1)
        start, end = boxes[first].y + HEIGHT * 2 // 3, boxes[last].y + HEIGHT // 3
        there, back = f"H{x - 4}Q{x} {start} {x} {start + 4}", f"V{end - 4}Q{x} {end} {x - 4} {end}"
        edges.append(Edge(f"M{right} {start}{there}{back}H{right + 1}", title))
    return edges, len(free)
