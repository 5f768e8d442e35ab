"""Draws a network as one HTML file: a box for each node of the program, coloured by its cost, and a table of the steps.
Called by `inspect_model.py`; needs jinja2. The page is `templates/network.html.j2`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

import fastconv
from fastconv.commands.files import writing
from fastconv.commands.inspection import Inspection
from fastconv.commands.network_drawing import drawing
from fastconv.commands.rendered import rendered
from fastconv.graph.program import Program, StepInfo
from fastconv.text import ABSENT, byte_text, count_text, counted, digits, duration, shape_text, shortened


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
    page = rendered("fastconv.commands", "network.html.j2", _content(found))
    writing(path, lambda target: target.write_text(page, encoding="utf-8"))


def _content(found: Inspection) -> dict[str, Any]:
    """What the page shows, by the names that the template has for it."""
    program, profile = found.program, found.profile
    assert program is not None
    steps = program.steps()
    seconds = None if profile is None else [time.seconds for time in profile.steps]
    costs, cost_word = _costs(steps, seconds)
    style = files("fastconv.commands").joinpath("templates", "network.css")
    return {
        "name": found.path.name,
        "graph": found.model.graph.name,
        "version": fastconv.__version__,
        "style": Markup(style.read_text(encoding="utf-8")),
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
        "shortened": shortened,
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
    memory = program.memory()
    cards.append(("peak memory", byte_text(memory.peak), f"arena {byte_text(memory.arena)}"))
    cards.append(("steps", f"{len(steps):,}", f"{len(steps) - in_python:,} in C, {in_python:,} in Python"))
    if found.profile is not None:
        threads = counted(found.profile.threads, "thread")
        cards.append(("time", duration(found.profile.seconds), f"{found.profile.backend}, {threads}"))
    return cards


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
            "bar": round(100 * cost / (max(costs) or 1.0), 1),
        }
        if profile is not None:
            taken = profile.steps[number]
            row["time"] = digits(1e6 * taken.seconds)
            row["rate"] = digits(taken.rate / 1e9) if step.flops else ABSENT
            known = taken.reached == taken.reached  # no NaN
            row["reached"] = f"{100 * taken.reached:.0f} %" if known else ABSENT
        rows.append(row)
    return rows
