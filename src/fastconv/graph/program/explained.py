"""Programs for people to read: what the passes did, every step with its cost, and memory. Called by `program.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from fastconv.graph.costs import bytes_of, known_shape
from fastconv.graph.graph import Graph, Value
from fastconv.graph.passes import Applied
from fastconv.graph.program.steps import BYTES_A_CYCLE, StepInfo
from fastconv.text import ABSENT, byte_text, count_text, counted, digits, shape_text, shortened, table_lines

_SHOWN = 4  # rewritings of each pass
_WIDTH = 110  # letters of a sentence


def explained(
    graph: Graph, steps: Sequence[StepInfo], applied: Sequence[Applied], arena: int | None
) -> Iterator[str]:
    """Lines; `arena` is in bytes, None where nothing is planned and every step is Python's."""
    for word, values in (("input ", graph.inputs), ("output", graph.outputs)):
        yield from (f"{word} {value.name}: {value.dtype} {shape_text(value.shape)}" for value in values)
    yield from ("", *_passes(applied), "")
    yield from (*_table(steps, arena is not None), "")
    for line in _sums(graph, steps, arena):
        yield from wrap(line, _WIDTH, subsequent_indent="  ") if len(line) > _WIDTH else [line]


def _passes(applied: Sequence[Applied]) -> Iterator[str]:
    if not applied:
        yield "No pass changed anything."
        return
    rows = []
    for one in applied:
        lines = list(one.lines[:_SHOWN])
        if len(one.lines) > _SHOWN:
            lines.append(f"... and {len(one.lines) - _SHOWN} more (program.applied has all)")
        rows += [(one.name, f"{one.count:,}", lines[0])]
        rows += [("", "", line) for line in lines[1:]]
    yield from table_lines([("pass", "count", "what it did"), *rows], right={1})


def _table(steps: Sequence[StepInfo], compiled: bool) -> list[str]:
    heads = ["step", "output", "shape", "operation", "algorithm", "FLOP", "moved", "predicted", "runs in"]
    total = sum(step.cycles for step in steps) or 1.0
    rows = [
        [
            str(number),
            shortened(step.name, 28),
            shape_text(step.shape),
            step.operation,
            step.algorithm or ABSENT,
            count_text(step.flops) if step.flops else ABSENT,
            byte_text(step.bytes) if step.bytes else ABSENT,
            f"{100 * step.cycles / total:.1f} %",
            step.where,
        ]
        for number, step in enumerate(steps, 1)
    ]
    if compiled:
        return table_lines([heads, *rows], right={0, 5, 6, 7})
    # There are no algorithms, and nothing predicts the time.
    return table_lines([[*row[:4], *row[5:7]] for row in (heads, *rows)], right={0, 4, 5})


def _sums(graph: Graph, steps: Sequence[StepInfo], arena: int | None) -> Iterator[str]:
    moved, flops = sum(step.bytes for step in steps), sum(step.flops for step in steps)
    yield (
        f"{counted(len(steps), 'step')}: {count_text(flops)}FLOP by the textbook, "
        f"{byte_text(moved)} read and written"
    )
    results = sum(map(bytes_of, graph.outputs))
    if arena is None:
        size = constant_bytes(graph)
        yield (
            f"memory: constants {byte_text(size)}, results {byte_text(results)}; "
            "values are freed after their last reader"
        )
        yield "All steps run in Python: only the cython backend compiles them."
        return
    done = sum(step.operations for step in steps)
    if done != flops:
        yield f"the algorithms need {count_text(done)}FLOP for that"
    yield (
        f"predicted: {digits(sum(step.cycles for step in steps) / 1e6)} million cycles where two threads share the "
        f"work; of convolutions and dense layers by the costs of their kernels, of other steps as "
        f"{BYTES_A_CYCLE} bytes moved a cycle"
    )
    weights = sum(step.weight_bytes for step in steps)
    yield (
        f"peak memory: {byte_text(arena + results + weights)}: arena {byte_text(arena)}, results {byte_text(results)}, "
        f"packed weights {byte_text(weights)}; inputs and the kernels' workspaces come on top"
    )
    slow = [step for step in steps if step.where == "Python"]
    if not slow:
        yield "Every step runs in C."
        return
    yield f"{len(steps) - len(slow)} of {counted(len(steps), 'step')} run in C, and {len(slow)} in Python:"
    for step in slow:
        given = ", ".join(_told(value) for value in step.node.inputs if value is not None)
        yield f"  {step.node}: ({given}) -> {step.dtype} {shape_text(step.shape)}"
    if any(known_shape(value) is None for step in slow for value in step.node.outputs if value is not None):
        yield "  What they make of unknown shape is not in the peak."


def _told(value: Value) -> str:
    return f"{value.dtype} {shape_text(value.shape)}"


def constant_bytes(graph: Graph) -> int:
    """Of all arrays that a graph's nodes read and that are known, those of inner graphs too."""
    found: dict[int, int] = {}

    def add(part: Graph) -> None:
        for node in part.nodes:
            found.update({id(v): v.constant.nbytes for v in node.reads() if v.is_constant})
            for inner in node.graphs().values():
                add(inner)

    add(graph)
    return sum(found.values())
