"""The report of a measurement: one HTML file that needs nothing else. Called by `commands/run.py` and by the docs.

The page is `templates/report.html.j2`; here is what it shows.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from fastconv.bench.measure.results import Results
from fastconv.bench.report.facts import command, facts
from fastconv.bench.report.pictures.gallery import (
    LAYERS_CAPTION,
    PICTURES,
    Picture,
    as_bytes,
    pictures_of_layers,
)
from fastconv.bench.report.pictures.style import in_dark
from fastconv.bench.report.summary import Summary
from fastconv.bench.report.text import error_text, rate_text, share_text
from fastconv.commands.rendered import rendered
from fastconv.text import ABSENT, counted, digits

FEW = 60  # rows: as many are shown without being asked for
COLUMNS = (
    "layer",
    "runner",
    "µs",
    "peer",
    "reached",
    "bound by",
    "rate",
    "spread",
    "algorithm",
    "error",
    "count",
    "shapes",
)


@dataclass(frozen=True)
class Cell:
    """Of a table: what it shows, what it is sorted by where that is a number, and its class."""

    text: str
    value: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def is_number(self, column: int) -> bool:
        """Whether it is aligned to the right."""
        return bool(self.rows) and self.rows[0][column].kind.startswith(("number", "best"))

    def filled(self) -> Table:
        """Without the columns in which nothing stands."""
        kept = [
            index
            for index, _ in enumerate(self.columns)
            if not self.rows or any(row[index].text != ABSENT for row in self.rows)
        ]
        rows = [[row[index] for index in kept] for row in self.rows]
        return Table(self.caption, [self.columns[index] for index in kept], rows)


@dataclass(frozen=True)
class Drawn:
    """A picture as addresses of both themes; `text` is for those who do not see it."""

    title: str
    light: str
    dark: str
    text: str
    caption: str


def write_report(results: Results, path: Path) -> None:
    """Write a measurement as one HTML file, which opens without a network.

    Parameters
    ----------
    results : Results
    path : Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    page = rendered("fastconv.bench.report", "report.html.j2", _content(results))
    path.write_text(page, encoding="utf-8")


def _content(results: Results) -> dict[str, Any]:
    """What the page shows, by the names that the template has for it."""
    summary = Summary(results)
    drawn = (_drawn(results, drawing, drawing.caption) for drawing in PICTURES)
    compared = set(summary.standings.index)
    return {
        "results": results,
        "settings": results.settings,
        "summary": summary,
        "headline": summary.headline(),
        "processor": results.config.get("processor") or "an unknown processor",
        "standings": list(_standings(summary)),
        "own": summary.own,
        "alone": [name for name in summary.own if name not in compared],
        "layers": summary.rows["place"].nunique(),
        "networks": _networks(summary),
        "pictures": [picture for picture in drawn if picture],
        "layers_caption": LAYERS_CAPTION,
        "groups": list(_groups(summary)),
        "unfolded": len(results.rows) <= FEW,
        "machine": _machine(results),
        "command": command(results),
        "style": _asset("report.css"),
        "sorting": _asset("sorting.js"),
        "counted": counted,
        "digits": digits,
    }


def _asset(name: str) -> Markup:
    """A file of the package that goes into the page as it is."""
    return Markup((files("fastconv.bench.report") / "templates" / name).read_text(encoding="utf-8"))


def _standings(summary: Summary) -> Iterator[dict[str, Any]]:
    for row in summary.standings.itertuples():
        yield {
            "runner": row.Index,
            "mean": digits(row.mean),
            "layers": int(row.layers),
            "ahead": row.ahead,
            "worst": summary.results.rows[row.worst],
            "ratio": digits(summary.ratios[row.worst]),
        }


def _networks(summary: Summary) -> Table:
    """Sums by group and runner, and ratios to the best peer's by backend."""
    own = summary.own
    columns = ("network", *summary.sums.columns, *(f"peer / {name}" for name in own))
    rows = []
    for group, sums in summary.sums.iterrows():
        ratios = summary.sum_ratios.loc[group, own]
        rows.append(
            [
                Cell(str(group)),
                *(_number(1000 * seconds, seconds == sums.min()) for seconds in sums),
                *map(_number, ratios),
            ]
        )
    return Table("Sums over the layers of each network, milliseconds", columns, rows).filled()


def _groups(summary: Summary) -> Iterator[dict[str, Any]]:
    pictures = pictures_of_layers(summary.results)
    for group in summary.results.groups:
        rows = Table(f"All measurements of {group}", COLUMNS, list(_rows(summary, group)))
        yield {
            "name": group,
            "table": rows.filled(),
            "layers": len(summary.results.layers(group)),
            "drawn": _drawn(summary.results, pictures[group], ""),
        }


def _rows(summary: Summary, group: str) -> Iterator[list[Cell]]:
    """The rows of a group, layer by layer."""
    mine = summary.rows[summary.rows["group"] == group]
    for _, together in mine.groupby("place"):
        fastest = together["time"].min()
        for number, (index, ratio) in enumerate(together["ratio"].items()):
            row = summary.results.rows[index]
            again = "again" if number else ""
            yield [
                Cell(row.layer.name, kind=again),
                Cell(row.runner, kind="" if row.peer else "own"),
                _number(1e6 * row.time, best=row.time == fastest),
                _number(ratio),
                Cell(share_text(row), row.share if row.bound > 0 else None, "number"),
                Cell(row.limit or ABSENT),
                Cell(rate_text(row), row.rate, "number"),
                _number(row.spread),
                Cell(row.detail or ABSENT),
                Cell(error_text(row.error), None if math.isnan(row.error) else row.error, "number"),
                Cell(str(row.count), row.count, f"number {again}".strip()),
                Cell(str(row.layer), kind=f"shapes {again}".strip()),
            ]


def _number(value: float, best: bool = False) -> Cell:
    return Cell(digits(value), None if math.isnan(value) else value, "best" if best else "number")


def _drawn(results: Results, drawing: Picture, caption: str) -> Drawn | None:
    """The picture in both themes; None where the results have nothing for it."""
    figure = drawing.draw(results, "light")
    if figure is None:
        return None
    light = as_bytes(figure, "svg")
    text = f"{drawing.title}. {drawing.caption}"
    return Drawn(drawing.title, _address(light), _address(in_dark(light)), text, caption)


def _address(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"


def _machine(results: Results) -> Table:
    rows = [[Cell(name), Cell(text, kind="wide")] for name, text in facts(results).items()]
    return Table("Machine, build and settings", ("what", "value"), rows)
