"""The pictures of what layers and networks took. Listed in `gallery.py`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fastconv.bench.measure.results import Results, Row
from fastconv.bench.report.facts import level_rates
from fastconv.bench.report.pictures.style import Theme, label, legend, logarithmic, looks, new_figure, themed
from fastconv.bench.report.summary import Summary
from fastconv.limits import Limits
from fastconv.text import digits, duration

BAR = 0.17  # inches from bar to bar
MOST = 5.0  # times the fastest: longer bars are cut off
BETWEEN = 1.9  # bars of room for a network's name


@themed
def roofline(results: Results, theme: Theme) -> Figure | None:
    """Rate over intensity of every layer, below what the machine's limits allow."""
    limits, settings = results.limits, results.settings
    own = [row for row in results.rows if row.flops and not row.peer]
    if limits is None or not own:
        return None
    best = [row for row in Summary(results).best_peers if row.flops]
    styles = looks(results, theme)
    figure = new_figure(4.6)
    axes = figure.subplots()
    axes.set_xlabel("flop per byte of arguments and result")
    axes.set_ylabel("GFLOP/s of the textbook sum")
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    grey: dict[str, Any] = {
        "color": theme.quiet,
        "marker": "s",
        "markersize": 2.6,
        "linestyle": "",
        "alpha": 0.75,
    }
    axes.plot(*_points(best), **grey, zorder=3)
    signs = []
    for runner in dict.fromkeys(row.runner for row in own):
        rows, look = [row for row in own if row.runner == runner], styles[runner]
        axes.plot(
            *_points(rows), color=look.colour, marker=look.marker, linestyle="", markersize=5.5, alpha=0.85,
            markeredgecolor=theme.paper, markeredgewidth=0.5, zorder=4,
        )  # fmt: skip
        signs.append(look.sign(label(runner)))
    if best:
        signs.append(Line2D([], [], **grey, label="best peer of the layer"))
    _roofs(axes, limits, settings.dtype, settings.threads, [*own, *best], theme)
    legend(figure, signs, 4)
    return figure


def _points(rows: Iterable[Row]) -> tuple[list[float], list[float]]:
    chosen = list(rows)
    return [row.flops / row.bytes for row in chosen], [row.rate / 1e9 for row in chosen]


def _roofs(axes: Axes, limits: Limits, dtype: str, threads: int, rows: list[Row], theme: Theme) -> None:
    peaks = {
        peak.isa: limits.peak(dtype, threads, peak.isa) / 1e9 for peak in limits.peaks if peak.dtype == dtype
    }
    slopes = {level: rate / 1e9 for level, rate in level_rates(limits, threads).items()}
    top = limits.peak(dtype, threads) / 1e9
    x, y = _points(rows)
    fastest, slowest = max(slopes.values()), min(slopes.values())
    left = min(*x, min(peaks.values()) / fastest / 12) / 2  # room for the names of the peaks
    right = max(*x, top / slowest) * 2
    axes.set_xlim(left, right)
    axes.set_ylim(min(*y, left * slowest) / 2, max(*y, *peaks.values()) * 1.8)
    for level, slope in slopes.items():
        axes.plot([left, top / slope], [left * slope, top], color=theme.ink, linewidth=1)
        axes.text(
            left * 1.15, left * slope * 1.22, f"{label(level)} {digits(slope)} GB/s", fontsize=7.5, va="bottom",
            rotation=math.degrees(math.atan(slope)), rotation_mode="anchor", transform_rotates_text=True,
        )  # fmt: skip
    for isa, peak in peaks.items():
        used = isa == limits.isa
        start = peak / fastest
        axes.plot([start, right], [peak, peak], color=theme.ink, linewidth=2.2 if used else 0.8)
        axes.text(
            start / 1.15, peak, f"{label(isa)} {digits(peak)} GFLOP/s", ha="right", va="center", fontsize=7.5,
            weight="bold" if used else "normal",
        )  # fmt: skip


@themed
def network_bars(results: Results, theme: Theme) -> Figure | None:
    """Sums over the layers of each network, a bar for each runner, as long as the fastest makes it."""
    summary, styles = Summary(results), looks(results, theme)
    groups = {group: summary.sums_of(group) for group in results.groups if summary.overview(group)}
    if not groups:
        return None
    bars = sum(len(sums) + BETWEEN for sums in groups.values())
    figure = new_figure(0.75 + BAR * bars)
    axes = figure.subplots()
    position, ticks = 0.0, {}
    for group, sums in groups.items():
        position += BETWEEN
        axes.text(0, position - 0.75, label(group), weight="bold", va="center")
        (_, fastest), *_ = summary.overview(group)
        for runner, seconds in sorted(sums.items(), key=lambda item: (math.isnan(item[1]), item[1])):
            position += 1
            ticks[position - 0.5] = runner
            _bar(axes, position - 0.5, seconds, seconds / fastest, styles[runner].colour)
    axes.set_yticks(list(ticks), [label(runner) for runner in ticks.values()], fontsize=8)
    for text, runner in zip(axes.get_yticklabels(), ticks.values(), strict=True):
        text.set_fontweight("normal" if styles[runner].peer else "bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(position + 0.4, 0.3)
    axes.set_xlim(0, MOST * 1.42)
    axes.set_xticks(range(1, int(MOST) + 1))
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("time, as a multiple of the fastest")
    return figure


def _bar(axes: Axes, position: float, seconds: float, multiple: float, colour: str) -> None:
    if math.isnan(seconds):
        axes.text(0.06, position, "lacks some of the layers", va="center", fontsize=7.5, style="italic")
        return
    length = min(multiple, MOST)
    axes.barh(position, length, height=0.78, color=colour)
    text = duration(seconds) + (f", {digits(multiple)}x" if multiple > 1 else "")
    axes.text(length + 0.06, position, f"» {text}" if multiple > MOST else text, va="center", fontsize=7.5)


@themed
def layer_bars(results: Results, theme: Theme, group: str) -> Figure | None:
    """Each layer of one network: the best peer's time over that of each runner."""
    layers = results.layers(group)
    ratios = {
        row: ratio
        for row, ratio in zip(results.rows, Summary(results).ratios, strict=True)
        if row.group == group and not math.isnan(ratio)
    }
    rows = list(ratios)
    if not rows:
        return None
    styles = {
        name: look for name, look in looks(results, theme).items() if any(row.runner == name for row in rows)
    }
    figure = new_figure(1.15 + 0.22 * len(layers) + 0.2 * math.ceil(len(styles) / 3))
    axes = figure.subplots()
    logarithmic(axes, "x")
    axes.axvline(1, color=theme.ink, linewidth=1)
    for name, look in styles.items():
        mine = [row for row in rows if row.runner == name]
        axes.plot(
            [ratios[row] for row in mine], [layers.index(row.layer) for row in mine], linestyle="", color=look.colour,
            marker=look.marker, markersize=4.5 if look.peer else 7, alpha=0.9, zorder=3 if look.peer else 4,
            markeredgecolor=theme.paper, markeredgewidth=0.4,
        )  # fmt: skip
    compared = {row.layer for row in rows}
    for index, layer in enumerate(layers):
        if layer not in compared:
            axes.text(1.03, index, "no peer has it", va="center", fontsize=7.5, style="italic")
    axes.set_yticks(range(len(layers)), [label(layer.name) for layer in layers], fontsize=8)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    values = [ratios[row] for row in rows]
    low, high = min(*values, 0.5), max(*values, 2)
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.set_xticks([tick for tick in TICKS if low / 1.15 <= tick <= high * 1.15])
    axes.set_xlabel("speed, as a multiple of the best peer's")
    legend(figure, (look.sign(label(name)) for name, look in styles.items()))
    return figure


TICKS = (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000)
