"""Programs for people to read: what the passes did, every step with its cost, and memory. Called by `program.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from fastconv.graph.costs import known_shape
from fastconv.graph.graph import Graph, Value
from fastconv.graph.passes import Applied
from fastconv.graph.program.steps import BYTES_A_CYCLE, Memory, StepInfo
from fastconv.text import ABSENT, byte_text, count_text, counted, digits, shape_text, shortened, table_lines

_SHOWN = 4  # rewritings of each pass
_WIDTH = 110  # letters of a sentence


def explained(
    graph: Graph, steps: Sequence[StepInfo], applied: Sequence[Applied], memory: Memory, compiled: bool
) -> Iterator[str]:
    """Lines; every step is Python's where the program is not compiled."""
    for word, values in (("input ", graph.inputs), ("output", graph.outputs)):
        yield from (f"{word} {value.name}: {value.dtype} {shape_text(value.shape)}" for value in values)
    yield from ("", *_passes(applied), "")
    yield from (*_table(steps, compiled), "")
    for line in _sums(steps, memory, compiled):
        yield from wrap(line, _WIDTH, subsequent_indent="    ") if len(line) > _WIDTH else [line]


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


def _sums(steps: Sequence[StepInfo], memory: Memory, compiled: bool) -> Iterator[str]:
    moved, flops = sum(step.bytes for step in steps), sum(step.flops for step in steps)
    yield (
        f"{counted(len(steps), 'step')}: {count_text(flops)}FLOP by the textbook, "
        f"{byte_text(moved)} read and written"
    )
    constants, results = byte_text(memory.constants), byte_text(memory.results)
    if not compiled:
        yield f"memory: constants {constants}, results {results}; values are freed after their last reader"
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
    yield (
        f"peak memory: {byte_text(memory.peak)}: arena {byte_text(memory.arena)}, results {results}, packed weights "
        f"{byte_text(memory.weights)}, other constants {constants}; inputs and the kernels' workspaces come on top"
    )
    slow = [step for step in steps if step.where == "Python"]
    if not slow:
        yield "Every step runs in C."
        return
    yield f"{len(steps) - len(slow)} of {counted(len(steps), 'step')} run in C, and {len(slow)} in Python:"
    for step in slow:
        given = ", ".join(_told(value) for value in step.node.inputs if value is not None)
        yield f"  {step.node}: ({given}) -> {step.dtype} {shape_text(step.shape)}"
    if any(value is not None and known_shape(value) is None for step in slow for value in step.node.outputs):
        yield "  What they make is not in the peak memory."


def _told(value: Value) -> str:
    return f"{value.dtype} {shape_text(value.shape)}"
