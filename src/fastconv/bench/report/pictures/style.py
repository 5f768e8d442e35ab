"""How the pictures look: two themes, and for each runner and algorithm its colour and marker.

Called by `pictures_layers.py` and `pictures_studies.py`. The strong colours and those of the algorithms are after
Okabe and Ito, "Color Universal Design" (2008): they stay apart with the common kinds of colour blindness.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, Literal, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from fastconv.bench.measure.results import Results

ThemeName = Literal["light", "dark"]
P = ParamSpec("P")
Themed = Callable[Concatenate[Results, ThemeName, P], Figure | None]
WIDTH = 5.4  # inches: on a phone, where it is 360 pixels, letters of 9 points are 8 pixels high
LONGEST = 34  # letters of a label


@dataclass(frozen=True)
class Theme:
    """The colours of one theme."""

    paper: str
    ink: str
    faint: str  # lines of the grid
    quiet: str  # notes, and what is only there to compare with
    strong: tuple[str, ...]  # backends without a colour of their own
    backends: dict[str, str]
    muted: tuple[str, ...]  # peers, in the order of the results


THEMES: dict[ThemeName, Theme] = {
    "light": Theme(
        paper="#ffffff",
        ink="#1b2330",
        faint="#dfe3e8",
        quiet="#69737f",
        strong=("#b0478a", "#8a6d00"),
        backends={"cython": "#d55e00", "numba": "#0072b2", "numpy": "#009e73"},
        muted=("#6f7780", "#a9a093", "#8e86a6", "#a3b08c", "#c09aa4", "#86a5b0", "#4d5560", "#c7bd94"),
    ),
    "dark": Theme(
        paper="#12171f",
        ink="#e4e9f0",
        faint="#2b333e",
        quiet="#98a3b0",
        strong=("#e58cc4", "#e0c24a"),
        backends={"cython": "#ff8a3d", "numba": "#56b4e9", "numpy": "#2fc99b"},
        muted=("#aab2bc", "#7f776b", "#8b83a8", "#7d8a66", "#9c7680", "#66848f", "#d0d5db", "#a09770"),
    ),
}
ALGORITHMS = (  # the same in both themes, so none may be a colour of the light one, which `in_dark` replaces
    "#e69f00", "#56b4e9", "#089e73", "#f0e442", "#0872b2", "#d55e08", "#cc79a7", "#8c8c8c", "#7a4fb0", "#9be0c8",
)  # fmt: skip
OWN_MARKERS = "o^DsPX"
PEER_MARKERS = "svd<>phH"


@dataclass(frozen=True)
class Look:
    """Of one runner."""

    colour: str
    marker: str
    peer: bool

    def sign(self, label: str, size: float = 6) -> Line2D:
        """What stands for it in a legend."""
        return Line2D(
            [], [], color=self.colour, marker=self.marker, linestyle="", markersize=size, label=label
        )


def looks(results: Results, theme: Theme) -> dict[str, Look]:
    """The look of every runner, the same in all pictures of these results."""
    peers = {row.runner for row in results.rows if row.peer}
    own = [*dict.fromkeys([*results.runners, *(point.runner for point in results.scaling)])]
    found: dict[str, Look] = {}
    others = iter(theme.strong * len(own))
    families = dict(theme.backends)
    for name in own:
        count = len(found)
        if name in peers:
            index = sum(look.peer for look in found.values())
            found[name] = Look(cycle(theme.muted, index), cycle(PEER_MARKERS, index), True)
        else:
            family = name.split()[0] if name.split() else name
            if family not in families:
                families[family] = next(others)
            found[name] = Look(families[family], cycle(OWN_MARKERS, count), False)
    return found


def algorithm_colours(results: Results) -> dict[str, str]:
    """The colour of every algorithm of the studies, the same in all pictures of these results."""
    names = sorted(
        {point.algorithm for point in results.choice} | {point.algorithm for point in results.accuracy}
    )
    return {name: cycle(ALGORITHMS, index) for index, name in enumerate(names)}


def cycle(items: Sequence[str], index: int) -> str:
    return items[index % len(items)]


def themed(draw: Callable[Concatenate[Results, Theme, P], Figure | None]) -> Themed[P]:
    """Draw with the settings of a theme, which is given by its name; matplotlib's own settings stay as they are."""

    @functools.wraps(draw)
    def drawn(results: Results, theme: ThemeName, /, *args: P.args, **kwargs: P.kwargs) -> Figure | None:
        if theme not in THEMES:
            raise ValueError(f"theme must be one of {', '.join(THEMES)}, got {theme!r}")
        with matplotlib.rc_context(_settings(THEMES[theme])):
            return draw(results, THEMES[theme], *args, **kwargs)

    return drawn


def in_dark(svg: bytes) -> bytes:
    """A picture of the light theme, as SVG, in the dark one: drawing it again takes a hundred times as long."""
    light, dark = (colours(THEMES[name]) for name in THEMES)
    others = dict(zip(light, dark, strict=True))
    return re.sub(
        rb"(?<=: )#[0-9a-f]{6}", lambda found: others.get(found[0].decode(), found[0].decode()).encode(), svg
    )


def colours(theme: Theme) -> list[str]:
    """Those that the other theme has others for, in an order that both have."""
    shades = (theme.paper, theme.ink, theme.faint, theme.quiet)
    return [*shades, *theme.strong, *theme.backends.values(), *theme.muted]


def _settings(theme: Theme) -> Any:
    ink = dict.fromkeys(("text.color", "axes.labelcolor", "axes.titlecolor", "legend.labelcolor"), theme.ink)
    ink |= dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor"), theme.ink)
    quiet = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), theme.quiet)
    paper = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), theme.paper)
    return {
        **ink,
        **quiet,
        **paper,
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.faint,
        "grid.linewidth": 0.7,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "legend.handletextpad": 0.3,
        "legend.columnspacing": 1.0,
        "figure.dpi": 150,
    }


def new_figure(height: float) -> Figure:
    """An empty figure; not of pyplot, which needs a display and keeps a list of them."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def legend(figure: Figure, signs: Iterable[Any], columns: int = 3) -> None:
    """Above the axes, outside of them."""
    handles = list(signs)
    names = [str(handle.get_label()) for handle in handles]
    figure.legend(handles, names, loc="outside upper left", ncols=min(columns, max(1, len(names))))


def logarithmic(axes: Axes, axis: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers."""
    (axes.set_xscale if axis == "x" else axes.set_yscale)("log")
    part = axes.xaxis if axis == "x" else axes.yaxis
    part.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    part.set_minor_locator(NullLocator())


def label(text: str) -> str:
    """Shown as it is: on one line, not too long, and no formula."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return line.replace("$", r"\$")
