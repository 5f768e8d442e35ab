"""The tables of ``fastconv bench`` in the terminal and in Markdown. Called by `command.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fastconv.bench.layers.layer import Layer
from fastconv.bench.measure.results import Results, Row
from fastconv.bench.report.summary import (
    ABSENT,
    digits,
    facts,
    geometric_mean,
    least,
    network_sums,
    share_text,
    standings,
)

BEST = "bold green"


def layer_table(results: Results, group: str, layer: Layer) -> Table:
    """Lay out one row per runner: time, rate, per cent of the limit, ratio to the best peer, algorithm."""
    rows = [row for row in results.of(group) if row.layer == layer]
    fastest = least(row.time for row in rows)
    best = min((row for row in rows if row.peer), key=lambda row: row.time, default=None)
    table = _table(f"[bold]{escape(layer.name)}[/bold]  [dim]{escape(str(layer))}[/dim]")
    table.add_column("runner", max_width=22, overflow="fold")
    unit = rows[0].unit if rows else "GFLOP/s"
    for name, detail in (
        ("time", "µs"),
        ("slowest", "/fastest"),
        ("rate", unit),
        ("limit", "%"),
        ("peer", "/time"),
    ):
        table.add_column(f"{name}\n[dim]{detail}[/dim]", justify="right", no_wrap=True)
    table.add_column("algorithm", max_width=15, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(
            Text(row.runner),
            Text(digits(1e6 * row.time), BEST if row.time == fastest else ""),
            digits(row.spread),
            digits(row.rate / 1e9),
            share_text(row).removesuffix(" %"),
            digits(best.time / row.time) if best else ABSENT,
            Text(row.detail or ABSENT),
        )
    return table


def network_table(results: Results) -> Table:
    """Lay out one row per network and runner: the sum over the layers, and how it compares with the best peer's."""
    table = _table("[bold]Sums over the layers of each network[/bold]")
    table.add_column("network", max_width=30, overflow="fold")
    table.add_column("runner", max_width=22, overflow="fold")
    for name, detail in (("time", "ms"), ("peer", "/time")):
        table.add_column(f"{name}\n[dim]{detail}[/dim]", justify="right", no_wrap=True)
    for group in results.groups:
        sums = network_sums(results, group)
        fastest = least(entry.seconds for entry in sums)
        for index, entry in enumerate(sums):
            table.add_row(
                Text("" if index else group),
                Text(entry.runner),
                Text(digits(1000 * entry.seconds), BEST if entry.seconds == fastest else ""),
                digits(entry.ratio),
                end_section=index == len(sums) - 1,
            )
    return table


def comparison_table(before: Results, now: Results) -> Table:
    """Lay out one row per network and backend: how many times as fast as in the earlier measurement.

    Only layers that both have are compared; the noise of both is in the title.
    """
    table = _table(
        f"[bold]Compared with {escape(before.date)}[/bold]  "
        f"[dim]noise {digits(before.noise)} then, {digits(now.noise)} now[/dim]"
        + "".join(f"\n[bold red]not equal:[/bold red] {escape(text)}" for text in _differences(before, now))
    )
    table.add_column("network", max_width=18, overflow="fold")
    table.add_column("runner", max_width=22, overflow="fold")
    table.add_column("layers", justify="right")
    table.add_column("faster by\n[dim]geomean[/dim]", justify="right")
    table.add_column("slowest change", max_width=20, overflow="fold")
    earlier = {(row.group, row.layer, row.runner): row.time for row in before.rows}
    for group in now.groups:
        for runner in now.runners:
            gains = {
                row: earlier[group, row.layer, runner] / row.time
                for row in now.of(group, runner)
                if (group, row.layer, runner) in earlier
            }
            if gains:
                worst = min(gains, key=gains.__getitem__)
                table.add_row(
                    Text(group),
                    Text(runner),
                    str(len(gains)),
                    digits(geometric_mean(gains.values())),
                    Text(f"{worst.layer.name} {digits(gains[worst])}"),
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
    for standing in standings(results):
        if standing.worst is not None:
            lines.append(
                f"{standing.runner}: {digits(standing.mean)} times as fast as the best peer of each layer (geometric "
                f"mean of {standing.layers}), ahead on {standing.ahead}; worst on {standing.worst.layer.name} "
                f"({standing.worst.group}): {digits(standing.worst_ratio)}"
            )
    found = facts(results)
    width = max(map(len, found))
    lines += [f"{name:<{width}}  {text}" for name, text in found.items()]
    return [*lines, *(f"WARNING: {warning}" for warning in results.warnings)]


def markdown_tables(results: Results) -> str:
    """All times as Markdown: microseconds of each layer, a table per group, then milliseconds of each network."""
    parts = []
    for group in results.groups:
        runners = [entry.runner for entry in network_sums(results, group)]
        parts += [f"### {_markdown(group)}", "", *_layer_lines(results, group, runners), ""]
    runners = results.runners
    parts += ["### Sums over the layers of each network, ms", "", *_header(["network", *runners])]
    for group in results.groups:
        sums = {entry.runner: 1000 * entry.seconds for entry in network_sums(results, group)}
        parts.append(_line(group, [sums.get(runner, math.nan) for runner in runners]))
    noise = f"Noise: {digits(results.noise)} (slowest round over fastest, in the median over {len(results.rows)} rows)."
    warnings = (f"- {_markdown(warning)}" for warning in results.warnings)
    return "\n".join([*parts, "", noise, "", *warnings]).rstrip() + "\n"


def _layer_lines(results: Results, group: str, runners: list[str]) -> Iterator[str]:
    rows: dict[Layer, dict[str, Row]] = {}
    for row in results.of(group):
        rows.setdefault(row.layer, {})[row.runner] = row
    ratios = results.ratios()
    own = [runner for runner in runners if not next(row.peer for row in results.of(group, runner))]
    yield from _header(
        ["layer", *(f"{runner} µs" for runner in runners), *(f"best peer / {name}" for name in own)]
    )
    for layer, found in rows.items():
        times = [1e6 * found[runner].time if runner in found else math.nan for runner in runners]
        shares = [ratios[found[runner]] if runner in found else math.nan for runner in own]
        yield _line(layer.name, times, shares)
    means = [
        geometric_mean(value for row in results.of(group, name) if (value := ratios[row]) > 0) for name in own
    ]
    empty = [" "] * len(runners)
    yield _join(["**geometric mean**", *empty, *(f"**{digits(mean)}**" for mean in means)])


def _header(names: list[str]) -> list[str]:
    return [_join(map(_markdown, names)), _join(["---", *["---:"] * (len(names) - 1)])]


def _line(name: str, times: list[float], others: list[float] | None = None) -> str:
    fastest = least(times)
    cells = [f"**{digits(value)}**" if value == fastest else digits(value) for value in times]
    return _join([_markdown(name), *cells, *map(digits, others or [])])


def _join(cells: Iterator[str] | list[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    for letter in "\\`*_[]<>|":
        text = text.replace(letter, f"\\{letter}")
    return " ".join(text.split())


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )  # fits 80 columns
