"""The tables of ``fastconv bench`` in the terminal. Called by `commands/run.py`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from fastconv.bench.layers.layer import Layer
from fastconv.bench.measure.results import Results
from fastconv.bench.report.facts import facts
from fastconv.bench.report.summary import Frame, Summary
from fastconv.bench.report.text import share_text
from fastconv.text import ABSENT, digits, duration

BEST = "bold green"


def overview_table(results: Results) -> Table:
    """Lay out one row per network: who is fastest, who comes next, and how much longer each takes."""
    summary = Summary(results)
    own = summary.own
    table = _table(Text("Who is fastest, on all layers of a network", "bold"))
    table.add_column("network", max_width=24, overflow="fold")
    table.add_column("fastest", max_width=22, overflow="fold")
    _number(table, "time", "")
    table.add_column("next", max_width=22, overflow="fold")
    _number(table, "takes", "times")
    behind = own if len(own) > 1 or len(results.runners) > len(own) else []
    for name in behind:
        _number(table, Text(name), "times")
    for group in results.groups:
        found = summary.overview(group)
        multiples = {runner: digits(seconds / found[0][1]) for runner, seconds in found}
        first, second = ([*found[:2], (ABSENT, np.nan), (ABSENT, np.nan)])[:2]
        table.add_row(
            Text(group),
            Text(first[0], BEST if first[0] in own else ""),
            duration(first[1]),
            Text(second[0]),
            multiples.get(second[0], ABSENT),
            *(multiples.get(name, ABSENT) for name in behind),
        )
    return table


def layer_table(results: Results, group: str, layer: Layer) -> Table:
    """Lay out one row per runner: time, rate, per cent of the limit, ratio to the best peer, algorithm.

    Columns in which nothing would stand are left out.
    """
    rows = [row for row in results.of(group) if row.layer == layer]
    fastest = min((row.time for row in rows), default=0.0)
    best = min((row.time for row in rows if row.peer), default=np.nan)
    table = _table(Text.assemble((layer.name, "bold"), "  ", (str(layer), "dim")))
    table.add_column("runner", max_width=22, overflow="fold")
    unit = rows[0].unit if rows else "GFLOP/s"
    columns = {
        ("time", "µs"): [Text(digits(1e6 * row.time), BEST if row.time == fastest else "") for row in rows],
        ("slowest", "/fastest"): [Text(digits(row.spread)) for row in rows],
        ("rate", unit): [Text(digits(row.rate / 1e9)) for row in rows],
        ("bound", "µs"): [Text(digits(1e6 * row.bound) if row.bound > 0 else ABSENT) for row in rows],
        ("bound", "by"): [Text(row.limit or ABSENT) for row in rows],
        ("reached", "%"): [Text(share_text(row).removesuffix(" %")) for row in rows],
        ("peer", "/time"): [Text(digits(best / row.time)) for row in rows],
        ("algorithm", ""): [Text(row.detail or ABSENT) for row in rows],
    }
    filled = {head: cells for head, cells in columns.items() if any(cell.plain != ABSENT for cell in cells)}
    for name, detail in filled:
        if name == "algorithm":
            table.add_column(name, max_width=15, no_wrap=True, overflow="ellipsis")
        else:
            _number(table, name, detail)
    for row, *cells in zip(rows, *filled.values(), strict=True):
        table.add_row(Text(row.runner), *cells)
    return table


def network_table(results: Results) -> Table:
    """Lay out one row per network and runner: the sum over the layers, and how it compares with the best peer's."""
    summary = Summary(results)
    table = _table(Text("Sums over the layers of each network", "bold"))
    table.add_column("network", max_width=30, overflow="fold")
    table.add_column("runner", max_width=22, overflow="fold")
    _number(table, "time", "ms")
    if summary.has_peers:
        _number(table, "peer", "/time")
    for group in results.groups:
        sums = summary.sums_of(group)
        fastest = np.nanmin([*sums.values(), np.inf])
        for index, (runner, seconds) in enumerate(sums.items()):
            ratio = [digits(float(summary.sum_ratios.loc[group, runner]))] if summary.has_peers else []
            table.add_row(
                Text("" if index else group),
                Text(runner),
                Text(digits(1000 * seconds), BEST if seconds == fastest else ""),
                *ratio,
                end_section=index == len(sums) - 1,
            )
    return table


def comparison_table(before: Results, now: Results) -> Table:
    """Lay out one row per network and backend: how many times as fast as in the earlier measurement.

    Only layers that both have are compared; the noise of both is in the title.
    """
    noise = f"noise {digits(before.noise)} then, {digits(now.noise)} now"
    title = Text.assemble((f"Compared with {before.date}", "bold"), "  ", (noise, "dim"))
    for text in _differences(before, now):
        title.append("\nnot equal:", "bold red").append(f" {text}")
    table = _table(title)
    table.add_column("network", max_width=18, overflow="fold")
    table.add_column("runner", max_width=22, overflow="fold")
    _number(table, "layers", "")
    _number(table, "faster by", "geomean")
    table.add_column("slowest change", max_width=20, overflow="fold")
    earlier = {(row.group, row.layer, row.runner): row.time for row in before.rows}
    rows = Summary(now).rows
    rows["gain"] = [earlier.get((row.group, row.layer, row.runner), np.nan) / row.time for row in now.rows]
    compared = rows.dropna(subset="gain")
    order: Frame = pd.Categorical(compared["runner"], now.runners)
    for (group, runner), gains in compared.groupby([compared["group"], order], sort=False, observed=True)[
        "gain"
    ]:
        worst = gains.idxmin()
        table.add_row(
            Text(group),
            Text(runner),
            str(len(gains)),
            digits(float(np.exp(np.log(gains).mean()))),
            Text(f"{now.rows[worst].layer.name} {digits(float(gains[worst]))}"),
        )
    return table


def _differences(before: Results, now: Results) -> Iterator[str]:
    """Settings and processor that are not those of the earlier measurement, which a comparison then shows as well."""
    for name in ("threads", "layout", "dtype", "mode", "precision"):
        then, today = getattr(before.settings, name), getattr(now.settings, name)
        if then != today:
            yield f"{name} {then} then, {today} now"
    if before.config.get("processor") != now.config.get("processor"):
        yield f"processor {before.config.get('processor')} then, {now.config.get('processor')} now"


def settings_lines(results: Results) -> list[str]:
    """Say in plain lines how the backends stand, what was measured on what, and what to beware of."""
    lines = []
    for standing in Summary(results).standings.itertuples():
        worst = results.rows[standing.worst]
        lines.append(
            f"{standing.Index}: {digits(standing.mean)} times as fast as the best peer of each layer (geometric "
            f"mean of {standing.layers}), ahead on {standing.ahead}; worst on {worst.layer.name} "
            f"({worst.group}): {digits(Summary(results).ratios[standing.worst])}"
        )
    found = facts(results)
    width = max(map(len, found))
    lines += [f"{name:<{width}}  {text}" for name, text in found.items()]
    return [*lines, *(f"WARNING: {warning}" for warning in results.warnings)]


def _number(table: Table, name: str | Text, detail: str) -> None:
    """Add a column of numbers, with its unit below the name."""
    table.add_column(
        Text.assemble(name, "\n", (detail, "dim")) if detail else name, justify="right", no_wrap=True
    )


def _table(title: Text) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )  # fits 80 columns
