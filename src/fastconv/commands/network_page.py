"""Draws a network as one HTML file: a box for each node of the program, coloured by its cost, and a table of the steps.
Called by `inspect_model.py`; needs jinja2. The page is `templates/network.html.j2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

import fastconv
from fastconv.commands.error import CommandError
from fastconv.graph import Graph, Node, Value
from fastconv.graph.costs import bytes_of, words_of
from fastconv.graph.program import Program, StepInfo
from fastconv.text import ABSENT, byte_text, count_text, counted, digits, duration, shape_text, shortened

if TYPE_CHECKING:
    from fastconv.commands.inspect_model import Inspection

# Of the drawing, in pixels.
WIDTH, HEIGHT, GAP, LANE, MARGIN = 620, 26, 10, 9, 8
_MOST_LANES = 24
_BAR = 110  # of the whole cost


@dataclass(frozen=True)
class Box:
    """A node, input or output of the drawing: its text, and its part of the whole cost."""

    kind: str  # "input", "node", "python", "output"
    text: str
    shape: str
    title: str
    y: int
    share: float | None = None

    @property
    def bar(self) -> float:
        return round(_BAR * (self.share or 0), 1)

    @property
    def heat(self) -> int:
        """Per cent of the strongest colour: steps of a few per cent are to be told apart."""
        return round(100 * min(1.0, 4 * (self.share or 0)) ** 0.5)


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


def write_page(found: Inspection, path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    found : Inspection
        With a program.
    path : Path

    Raises
    ------
    CommandError
        If the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("fastconv.commands"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template("network.html.j2").render(_content(found))
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--html cannot be written: {path}: {error.strerror or error}") from None


def _content(found: Inspection) -> dict[str, Any]:
    """What the page shows, by the names that the template has for it."""
    program, profile = found.program, found.profile
    assert program is not None
    steps = program.steps()
    seconds = None if profile is None else [time.seconds for time in profile.steps]
    costs, cost_word = _costs(steps, seconds)
    return {
        "name": found.path.name,
        "graph": found.model.graph.name,
        "version": fastconv.__version__,
        "style": files("fastconv.commands").joinpath("templates", "network.css").read_text(encoding="utf-8"),
        "cards": _cards(found, program, steps),
        "inputs": program.inputs,
        "outputs": program.outputs,
        "shape_text": shape_text,
        "cost_word": cost_word,
        "drawing": drawing(program.graph, steps, costs),
        "rows": _rows(steps, costs, profile),
        "measured": profile is not None,
        "operators": found.operators,
        "count_text": count_text,
        "passes": program.applied,
        "counted": counted,
    }


def _costs(steps: Sequence[StepInfo], seconds: Sequence[float] | None) -> tuple[list[float], str]:
    """The part of each step in the whole: measured, predicted, or by bytes."""
    if seconds is not None:
        values, word = list(seconds), "measured time"
    elif any(step.cycles for step in steps):
        values, word = [step.cycles for step in steps], "predicted time"
    else:
        values, word = (
            [float(step.flops or step.bytes) for step in steps],
            "operations, or bytes where there are none",
        )
    total = sum(values) or 1.0
    return [value / total for value in values], word


def _cards(found: Inspection, program: Program, steps: Sequence[StepInfo]) -> list[tuple[str, str, str]]:
    """Large numbers: of what, the number, and a remark."""
    in_python = sum(step.where == "Python" for step in steps)
    moved = sum(step.bytes for step in steps)
    cards = [
        ("parameters", count_text(found.parameters), f"{len(found.model.graph.nodes):,} nodes in the file"),
        ("operations", f"{count_text(sum(step.flops for step in steps))}FLOP", f"{byte_text(moved)} moved"),
    ]
    if program.arena_bytes is not None:
        weights = sum(step.weight_bytes for step in steps)
        peak = program.arena_bytes + weights + sum(map(bytes_of, program.graph.outputs))
        cards.append(("peak memory", byte_text(peak), f"packed weights {byte_text(weights)}"))
    cards.append(("steps", f"{len(steps):,}", f"{len(steps) - in_python:,} in C, {in_python:,} in Python"))
    if found.profile is not None:
        threads = counted(found.profile.threads, "thread")
        cards.append(("time", duration(found.profile.seconds), f"{found.profile.backend}, {threads}"))
    return cards


def drawing(graph: Graph, steps: Sequence[StepInfo], costs: Sequence[float]) -> Drawing:
    """Boxes in the order in which they run, and lines from what makes a value to what reads it.

    Parameters
    ----------
    graph : Graph
    steps : sequence of StepInfo
    costs : sequence of float
        The part of each step in the whole.
    """
    boxes: list[Box] = []
    makers: dict[int, int] = {}  # the boxes of values
    pairs: dict[tuple[int, int], Value] = {}

    def place(
        kind: str, text: str, made: Sequence[Value | None], title: str, share: float | None = None
    ) -> None:
        for value in made:
            if value is not None:
                makers[id(value)] = len(boxes)
        shape = next((shape_text(value.shape) for value in made if value is not None), "")
        y = MARGIN + len(boxes) * (HEIGHT + GAP)
        boxes.append(Box(kind, shortened(text, 52), shape, title, y, share))

    def connect(values: Sequence[Value]) -> None:
        for value in values:
            if id(value) in makers:
                pairs.setdefault((makers[id(value)], len(boxes)), value)

    of_node: dict[int, list[int]] = {}
    for number, step in enumerate(steps):
        of_node.setdefault(id(step.node), []).append(number)
    for value in graph.inputs:
        place("input", f"input {value.name}", [value], _title(value))
    for node in graph.nodes:
        own = of_node.get(id(node), [])
        connect([value for value in node.reads() if not value.is_constant])
        python = any(steps[number].where == "Python" for number in own)
        algorithms = ", ".join(dict.fromkeys(steps[n].algorithm for n in own if steps[n].algorithm))
        text = words_of(node) + (f"  [{algorithms}]" if algorithms else "")
        share = sum(costs[number] for number in own) if own else None
        place("python" if python else "node", text, node.outputs, _node_title(node, share), share)
    for value in graph.outputs:
        connect([value])
        place("output", f"output {value.name}", [], _title(value))
    edges, lanes = _edges(boxes, pairs)
    return Drawing(boxes, edges, MARGIN + WIDTH + LANE * (lanes + 2), boxes[-1].y + HEIGHT + MARGIN)


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
        free[lane : lane + 1] = [last]
        right, x = MARGIN + WIDTH, MARGIN + WIDTH + LANE * (lane + 1)
        start, end = boxes[first].y + HEIGHT * 2 // 3, boxes[last].y + HEIGHT // 3
        edges.append(
            Edge(
                f"M{right} {start}H{x - 4}Q{x} {start} {x} {start + 4}V{end - 4}Q{x} {end} {x - 4} {end}H{right + 1}",
                title,
            )
        )
    return edges, len(free)


def _rows(steps: Sequence[StepInfo], costs: Sequence[float], profile: Any) -> list[dict[str, Any]]:
    rows = []
    for number, (step, cost) in enumerate(zip(steps, costs, strict=True)):
        row = {
            "number": number + 1,
            "name": step.name,
            "shape": shape_text(step.shape),
            "operation": step.operation,
            "algorithm": step.algorithm or ABSENT,
            "flops": count_text(step.flops) if step.flops else ABSENT,
            "bytes": byte_text(step.bytes) if step.bytes else ABSENT,
            "where": step.where,
            "share": f"{100 * cost:.1f} %",
            "bar": round(100 * cost, 1),
        }
        if profile is not None:
            taken = profile.steps[number]
            row["time"] = digits(1e6 * taken.seconds)
            row["rate"] = digits(taken.rate / 1e9) if step.flops else ABSENT
            known = taken.reached == taken.reached  # no NaN
            row["reached"] = f"{100 * taken.reached:.0f} %" if known else ABSENT
        rows.append(row)
    return rows
