"""The pictures of the small studies beside the measurement. Listed in `pictures.py`."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from fastconv.bench.measure.results import Results
from fastconv.bench.report.pictures.style import (
    ALGORITHMS,
    Theme,
    algorithm_colours,
    cycle,
    label,
    legend,
    logarithmic,
    new_figure,
    themed,
)

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@themed
def choice_map(results: Results, theme: Theme) -> Figure | None:
    """The algorithm over channels and image size, a panel for each kernel size."""
    if not results.choice:
        return None
    kernels = sorted({point.kernel for point in results.choice})
    named = {point.algorithm for point in results.choice}
    colours = {name: colour for name, colour in algorithm_colours(results).items() if name in named}
    columns = min(2, len(kernels))
    rows = math.ceil(len(kernels) / columns)
    figure = new_figure(0.7 + 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    sizes = sorted({point.size for point in results.choice})
    channels = sorted({point.channels for point in results.choice})
    for axes in panels.flat[len(kernels) :]:
        axes.set_axis_off()
    for axes, kernel in zip(panels.flat, kernels, strict=False):
        cells = np.full((len(channels), len(sizes)), np.nan)
        for point in results.choice:
            if point.kernel == kernel:
                cells[channels.index(point.channels), sizes.index(point.size)] = list(colours).index(
                    point.algorithm
                )
        axes.pcolormesh(
            np.ma.masked_invalid(cells), cmap=ListedColormap(list(colours.values())), vmin=-0.5,
            vmax=len(colours) - 0.5, edgecolor=theme.paper, linewidth=0.8,
        )  # fmt: skip
        axes.set_title(f"{kernel}x{kernel}")
        axes.grid(False)
        axes.set_xticks(np.arange(len(sizes)) + 0.5, [str(size) for size in sizes], fontsize=8)
        axes.set_yticks(np.arange(len(channels)) + 0.5, [str(count) for count in channels], fontsize=8)
        axes.tick_params(length=0)
    figure.supxlabel("height and width of the image", fontsize=9)
    figure.supylabel("channels, and as many filters", fontsize=9)
    legend(figure, (Patch(color=colour, label=label(name)) for name, colour in colours.items()))
    return figure


@themed
def scaling(results: Results, theme: Theme) -> Figure | None:
    """How many times as fast each layer is on several threads as on one, beside as many times as threads."""
    one = {(point.layer, point.runner): point.seconds for point in results.scaling if point.threads == 1}
    points = [p for p in results.scaling if p.threads > 1 and (p.layer, p.runner) in one]
    if not points:
        return None
    lines = list(dict.fromkeys((point.layer, point.runner) for point in points))
    counts = sorted({point.threads for point in points})
    colours = {threads: cycle(ALGORITHMS, index) for index, threads in enumerate(counts)}
    figure = new_figure(1.2 + 0.22 * len(lines))
    axes = figure.subplots()
    signs = []
    for threads in counts:
        chosen = [point for point in points if point.threads == threads]
        gains = [one[p.layer, p.runner] / p.seconds for p in chosen]
        where = [lines.index((p.layer, p.runner)) for p in chosen]
        axes.axvline(threads, color=colours[threads], linestyle="--", linewidth=1.2)
        axes.plot(gains, where, marker="o", markersize=6, linestyle="", color=colours[threads], zorder=4)
        signs.append(
            Line2D(
                [],
                [],
                marker="o",
                markersize=6,
                linestyle="--",
                color=colours[threads],
                label=f"{threads} threads",
            )
        )
    several = len({runner for _, runner in lines}) > 1
    names = [label(f"{layer}, {runner}" if several else layer) for layer, runner in lines]
    axes.set_yticks(range(len(lines)), names, fontsize=8)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    if counts[-1] > 8:
        logarithmic(axes, "x")
        axes.set_xticks([1, *counts])
    axes.set_xlabel("speed, as a multiple of one thread's")
    axes.axvline(1, color=theme.ink, linewidth=1)
    legend(figure, signs)
    return figure


@themed
def accuracy(results: Results, theme: Theme) -> Figure | None:
    """Error over speed of every algorithm, a panel for each layer."""
    points = [point for point in results.accuracy if point.error > 0]
    if not points:
        return None
    layers = list(dict.fromkeys(point.layer for point in points))
    named = {point.algorithm for point in points}
    colours = {name: colour for name, colour in algorithm_colours(results).items() if name in named}
    columns = min(2, len(layers))
    rows = math.ceil(len(layers) / columns)
    figure = new_figure(0.8 + 2.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes in panels.flat[len(layers) :]:
        axes.set_axis_off()
    for axes, layer in zip(panels.flat, layers, strict=False):
        for point in points:
            if point.layer == layer:
                axes.plot(
                    point.flops / point.seconds / 1e9, point.error, marker="o", markersize=7.5, linestyle="",
                    color=colours[point.algorithm], markeredgecolor=theme.quiet, markeredgewidth=0.5,
                )  # fmt: skip
        axes.set_title(label(layer), fontsize=8)
        fastest = max(p.flops / p.seconds / 1e9 for p in points if p.layer == layer)
        axes.set_xlim(0, 1.12 * fastest or 1)
        logarithmic(axes, "y")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        axes.tick_params(labelsize=8)
        axes.margins(y=0.15)
    figure.supxlabel("GFLOP/s of the textbook sum", fontsize=9)
    figure.supylabel("error, as a fraction of the result", fontsize=9)
    signs = (
        Line2D([], [], color=colour, marker="o", markersize=7.5, linestyle="", label=label(name))
        for name, colour in colours.items()
    )
    legend(figure, signs)
    return figure


def _power(value: float) -> str:
    exponent = round(math.log10(value))
    return f"10{str(exponent).translate(SUPERSCRIPT)}"
