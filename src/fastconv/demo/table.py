"""The demo's table and what it says below it. Called by :func:`fastconv.demo.run_demo`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from fastconv.demo.measure import REFERENCE, Outcome
from fastconv.typing import BackendName


def outcome_table(outcomes: Sequence[Outcome], names: Sequence[BackendName]) -> Table:
    """Lay out one row per operation: shapes, milliseconds per backend, largest difference."""
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_footer=True
    )  # fits 80 columns
    table.add_column("operation", footer="all")
    table.add_column("shape in", justify="right")
    table.add_column("shape out", justify="right")
    for name in names:
        total = sum(outcome.seconds[name] for outcome in outcomes)
        table.add_column(f"{name}\n[dim]ms[/dim]", footer=milliseconds(total), justify="right", no_wrap=True)
    table.add_column(f"largest\ndifference\n[dim]to {REFERENCE}[/dim]", justify="right")
    for outcome in outcomes:
        fastest = min(outcome.seconds.values())
        table.add_row(
            outcome.title,
            shape_text(outcome.shape_in),
            shape_text(outcome.shape_out),
            *(
                Text(
                    milliseconds(outcome.seconds[name]),
                    "bold green" if outcome.seconds[name] == fastest else "",
                )
                for name in names
            ),
            difference_text(outcome),
        )
    return table


def outcome_text(outcomes: Sequence[Outcome], names: Sequence[BackendName]) -> list[str]:
    """Say in sentences whether the backends agree, and what the first calls cost."""
    lines = []
    for outcome in outcomes:
        for name in outcome.wrong:
            lines.append(
                f"[bold red]DISAGREEMENT[/bold red] in {outcome.title!r}: {name} differs from {REFERENCE} by "
                f"{outcome.difference[name]:.2g}, rounding explains {outcome.allowed:.2g}"
            )
    compared = [name for name in names if name != REFERENCE]
    if not lines and compared:
        share = max(outcome.share_of_allowed for outcome in outcomes)
        lines.append(
            f"All {len(outcomes)} operations agree: {' and '.join(compared)} with {REFERENCE}, "
            f"up to rounding, at most {math.ceil(100 * share)}% of the difference allowed."
        )
    elif not compared:
        lines.append(f"Nothing to compare: only {REFERENCE} ran.")
    if "numba" in names:
        compiling = sum(outcome.first_call["numba"] for outcome in outcomes)
        lines.append(
            f"numba's first calls took {compiling:.1f} s more, not counted above: it compiles, then caches."
        )
    return lines


def difference_text(outcome: Outcome) -> Text:
    """Show the largest difference of any backend; red where it is too large, NaN included."""
    if not outcome.difference:
        return Text("-")
    worst = max(outcome.difference, key=lambda name: (name in outcome.wrong, outcome.difference[name]))
    value = outcome.difference[worst]
    return Text(f"{value:.1e}" if value else "0", "" if outcome.agrees else "bold red")


def shape_text(shape: Sequence[int]) -> str:
    """Write ``(1, 3, 512, 512)`` as ``3x512x512``: the batch is always one photograph."""
    return "x".join(map(str, shape[1:]))


def milliseconds(seconds: float) -> str:
    """Write seconds as milliseconds with about three digits."""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
