"""The tables of ``fastconv bench`` as Markdown. Called by `commands/run.py` and by the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from fastconv.bench.measure.results import Results
from fastconv.bench.report.summary import Frame, Summary
from fastconv.text import digits


def markdown_tables(results: Results) -> str:
    """All times: microseconds of each layer, a table per group, then milliseconds of each network."""
    summary = Summary(results)
    parts = []
    for group in results.groups:
        parts += [f"### {markdown_text(group)}", "", *layer_lines(summary, group), ""]
    sums = 1000 * summary.sums.dropna(axis="columns", how="all")
    parts += ["### Sums over the layers of each network, ms", "", *_header(["network", *sums.columns])]
    parts += [_line(str(group), found) for group, found in sums.iterrows()]
    noise = f"Noise: {digits(results.noise)} (slowest round over fastest, in the median over {len(results.rows)} rows)."
    warnings = (f"- {markdown_text(warning)}" for warning in results.warnings)
    return "\n".join([*parts, "", noise, "", *warnings]).rstrip() + "\n"


def layer_lines(summary: Summary, group: str) -> Iterator[str]:
    """Times of all runners, then ratios to the best peer of those backends that have one."""
    rows = summary.rows[summary.rows["group"] == group]
    runners = [runner for runner in summary.results.runners if runner in set(rows["runner"])]
    times = rows.pivot(index="place", columns="runner", values="time")[runners]
    ratios = rows[~rows["peer"]].pivot(index="place", columns="runner", values="ratio")
    ratios = ratios[[runner for runner in runners if runner in ratios]].dropna(axis="columns", how="all")
    yield from _header(
        ["layer", *(f"{name} µs" for name in runners), *(f"best peer / {name}" for name in ratios)]
    )
    names = {place: summary.results.rows[index].layer.name for index, place in rows["place"].items()}
    for place, found in times.iterrows():
        yield _line(names[place], 1e6 * found, ratios.loc[place] if place in ratios.index else [])
    if not ratios.empty:
        means = np.exp(np.log(ratios).mean())
        yield _join(["**geometric mean**", *[" "] * len(runners), *(f"**{digits(mean)}**" for mean in means)])


def _header(names: list[str]) -> list[str]:
    return [_join(map(markdown_text, names)), _join(["---", *["---:"] * (len(names) - 1)])]


def _line(name: str, times: Frame, others: Iterable[float] = ()) -> str:
    fastest = times.min()
    cells = [f"**{digits(value)}**" if value == fastest else digits(value) for value in times]
    return _join([markdown_text(name), *cells, *map(digits, others)])


def _join(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is."""
    for letter in "\\`*_[]<>|&~":
        text = text.replace(letter, f"\\{letter}")
    return " ".join(text.split())
