"""The report of a measurement: one HTML file that needs nothing else. Called by `command.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from fastconv.bench.measure.results import Results, Row
from fastconv.bench.report.page import Cell, Html, join, page, picture, section, table, tag
from fastconv.bench.report.pictures.gallery import (
    LAYERS_CAPTION,
    PICTURES,
    Picture,
    as_bytes,
    pictures_of_layers,
)
from fastconv.bench.report.pictures.style import in_dark
from fastconv.bench.report.summary import (
    ABSENT,
    Standing,
    command,
    counted,
    digits,
    error_text,
    facts,
    least,
    network_sums,
    share_text,
    standings,
)

MODES = {
    "plan": "Weights are prepared before the timing: fastconv runs a plan, others a model or prepared weights.",
    "call": "Each call takes the arrays as they are; what has to be prepared is part of its time.",
    "gradient": "A call computes the gradients of all arguments.",
}
FEW = 60  # rows: as many are shown without being asked for
COLUMNS = (
    "layer",
    "runner",
    "µs",
    "peer",
    "limit",
    "rate",
    "spread",
    "algorithm",
    "error",
    "count",
    "shapes",
)
TERMS = {
    "layer, shapes": "A layer by its name, and its operands in the order of NCHW: input * weights, then the options.",
    "runner, algorithm": "A backend of fastconv or another library (a peer), and the algorithm where it is known.",
    "µs": "Median over the rounds of the microseconds of one call; the best of each layer is bold.",
    "peer": "Time of the best peer on this layer over this time: above 1, this one is faster.",
    "limit": (
        "Per cent of what the machine's limits allow: the peak of multiplications and additions or the bandwidth, "
        "whichever allows less. Above 100 % an algorithm multiplies less than the textbook sum, or data stayed in a "
        "cache."
    ),
    "rate": (
        "Multiplications and additions of the textbook sum over the time, in GFLOP/s; GB/s of arguments and result "
        "for what multiplies nothing."
    ),
    "spread": "The slowest round over the fastest: 1 on a perfectly quiet machine.",
    "error": "Largest difference to float64 at about 64 elements, as a fraction of the largest of them.",
    "count": "How often the network has this layer; sums count it as often.",
}


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
    images = ((drawing.title, _image(results, drawing, drawing.caption)) for drawing in PICTURES)
    pictures = [tag("div", tag("h3", title), image, class_="picture") for title, image in images if image]
    parts = {
        "summary": ("Summary", _summary(results)),
        "networks": ("Networks", _networks(results)),
        "pictures": ("Pictures", join(pictures) if pictures else tag("p", "There is nothing to draw.")),
        "layers": ("All layers", _groups(results)),
        "machine": ("Machine, build and settings", _machine(results)),
        "method": ("How it was measured", _method(results)),
    }
    sections = (section(identifier, title, content) for identifier, (title, content) in parts.items())
    contents = [(identifier, title) for identifier, (title, _) in parts.items()]
    processor = str(results.config.get("processor", "unknown processor"))
    title = f"fastconv bench: {processor}, {counted(results.settings.threads, 'thread')}"
    path.write_text(page(title, contents, *sections), encoding="utf-8")


def _summary(results: Results) -> Html:
    settings, own = results.settings, standings(results)
    layers = len({(row.group, row.layer) for row in results.rows})
    what = (
        f"{counted(len(results.rows), 'measurement')} of {results.date.replace('T', ' ')}: {counted(layers, 'layer')} "
        f"in {counted(len(results.groups), 'group')}, {counted(len(results.runners), 'runner')}, "
        f"{counted(settings.threads, 'thread')}, {settings.layout}, {settings.dtype}."
    )
    sentences = [_sentence(standing) for standing in own]
    if not own:
        sentences = ["No backend of fastconv was measured."]
    cards = [_card(standing) for standing in own if standing.layers]
    cards.append(
        tag(
            "div",
            tag("dt", "noise"),
            tag("dd", digits(results.noise)),
            tag("dd", "slowest round over fastest, in the median; 1 on a perfectly quiet machine"),
        )
    )
    return join(
        [
            tag("p", what, " ", MODES.get(settings.mode, "")),
            _warnings(results),
            tag("dl", *cards, class_="cards"),
            *(tag("p", sentence) for sentence in sentences),
            tag("p", "The best peer is chosen anew for every layer.") if results.best_peers() else "",
        ]
    )


def _sentence(standing: Standing) -> str:
    if standing.worst is None:
        return f"{standing.runner} was compared with no other library."
    return (
        f"{standing.runner} is {digits(standing.mean)} times as fast as the best peer of each layer, in the geometric "
        f"mean over {counted(standing.layers, 'layer')}, and faster than every peer on {standing.ahead} of them. Worst "
        f"is {standing.worst.layer.name} ({standing.worst.group}): {digits(standing.worst_ratio)} times as fast."
    )


def _card(standing: Standing) -> Html:
    name = standing.worst.layer.name if standing.worst else ""
    return tag(
        "div",
        tag("dt", f"{standing.runner}: speed over the best peer's"),
        tag("dd", digits(standing.mean)),
        tag("dd", f"geometric mean of {counted(standing.layers, 'layer')}, ahead on {standing.ahead}"),
        tag("dd", f"worst: {digits(standing.worst_ratio)}, {name}"),
    )


def _warnings(results: Results) -> Html:
    if not results.warnings:
        return Html("")
    entries = (tag("li", warning) for warning in results.warnings)
    return tag("div", tag("strong", "Warnings"), tag("ul", *entries), class_="warning", role="note")


def _networks(results: Results) -> Html:
    def row(group: str) -> list[Cell]:
        sums = {entry.runner: entry for entry in network_sums(results, group)}
        fastest = least(entry.seconds for entry in sums.values())
        times = [sums[runner].seconds if runner in sums else math.nan for runner in results.runners]
        ratios = [sums[name].ratio if name in sums else math.nan for name in own]
        return [
            Cell(group),
            *(_number(1000 * time, time == fastest) for time in times),
            *map(_number, ratios),
        ]

    own = [standing.runner for standing in standings(results)]
    text = (
        "Milliseconds for all layers of a network, each as often as the network has it; the best is bold. A runner "
        "that lacks one of the layers has no sum. These are sums of layers alone: what else a network does is not in "
        "them. The last columns have the smallest sum of a peer over that of fastconv's backend: above 1, fastconv is "
        "faster."
    )
    columns = ("network", *results.runners, *(f"peer / {name}" for name in own))
    rows = map(row, results.groups)
    return join([tag("p", text), table("Sums over the layers of each network, milliseconds", columns, rows)])


def _groups(results: Results) -> Html:
    pictures, ratios = pictures_of_layers(results), results.ratios()
    parts: list[str] = [tag("p", LAYERS_CAPTION)] if results.best_peers() else []
    unfolded = {"open": ""} if len(results.rows) <= FEW else {}
    for group in results.groups:
        rows = results.of(group)
        cells = table(f"All measurements of {group}", COLUMNS, _rows(rows, ratios))
        count = tag(
            "summary",
            f"{counted(len(rows), 'measurement')} of {counted(len(results.layers(group)), 'layer')}",
        )
        drawn = _image(results, pictures[group], "")
        parts.append(join([tag("h3", group), drawn, tag("details", count, cells, **unfolded)]))
    return join(parts)


def _rows(rows: list[Row], ratios: dict[Row, float]) -> Iterator[list[Cell]]:
    by_layer: dict[object, list[Row]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, []).append(row)
    for together in by_layer.values():
        fastest = least(row.time for row in together)
        for index, row in enumerate(together):
            again = "again" if index else ""
            yield [
                Cell(row.layer.name, kind=again),
                Cell(row.runner, kind="" if row.peer else "own"),
                _number(1e6 * row.time, best=row.time == fastest),
                _number(ratios[row]),
                Cell(share_text(row), row.share if row.bound > 0 else math.nan, "number"),
                Cell(f"{digits(row.rate / 1e9)} {row.unit}", row.rate, "number"),
                _number(row.spread),
                Cell(row.detail or ABSENT),
                Cell(error_text(row.error), row.error, "number"),
                Cell(str(row.count), row.count, f"number {again}".strip()),
                Cell(str(row.layer), kind=again),
            ]


def _number(value: float, best: bool = False) -> Cell:
    return Cell(digits(value), value, "best" if best else "number")


def _image(results: Results, drawing: Picture, caption: str) -> Html:
    """The picture in both themes; empty where the results have nothing for it."""
    figure = drawing.draw(results, "light")
    if figure is None:
        return Html("")
    light = as_bytes(figure, "svg")
    return picture(light, in_dark(light), f"{drawing.title}. {drawing.caption}", caption)


def _machine(results: Results) -> Html:
    rows = ([Cell(name), Cell(text, kind="wide")] for name, text in facts(results).items())
    return table("Machine, build and settings", ("what", "value"), rows)


def _method(results: Results) -> Html:
    settings = results.settings
    text = (
        "The runners take turns in one process: a round is one sample of each, and there are "
        f"{settings.rounds} rounds, so that what disturbs the machine disturbs all of them. A sample is the mean over "
        f"as many calls as fill {1000 * settings.block:g} ms. Before it come {1000 * settings.idle:g} ms of rest, in "
        "which threads that other libraries leave spinning go to sleep, and calls that are not timed. A time is the "
        "median of the samples. All runners get the same normally distributed arrays and the same number of threads. "
        "Before they are timed, results are compared with float64 at about 64 elements, and with each other in full; "
        "one that is wrong is not timed at all."
    )
    terms = join(Html(tag("dt", name) + tag("dd", meaning)) for name, meaning in TERMS.items())
    return join(
        [
            tag("p", text),
            tag("dl", terms, class_="terms"),
            tag("h3", "To measure the same"),
            tag("pre", tag("code", command(results))),
        ]
    )
