"""The list of pictures of a measurement, and their files. Called by `command.py` and `report.py`."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fastconv.bench.measure.results import Results
from fastconv.bench.report.pictures.layers import layer_bars, network_bars, roofline
from fastconv.bench.report.pictures.studies import accuracy, choice_map, scaling
from fastconv.bench.report.pictures.style import ThemeName

DPI = 150
MOST_PIXELS = 60_000  # of a side: more than matplotlib draws, and than anybody looks at


@dataclass(frozen=True)
class Picture:
    """One picture; `draw` returns None where the results hold nothing for it."""

    name: str
    title: str
    caption: str
    draw: Callable[[Results, ThemeName], Figure | None]


PICTURES = (
    Picture(
        "networks",
        "Networks",
        "Sum over the layers of each network, as a multiple of the fastest: shorter is faster. Backends of fastconv "
        "are in strong colours, other libraries in muted ones. Bars that leave the picture are cut off, marked with ».",
        network_bars,
    ),
    Picture(
        "roofline",
        "Roofline",
        "Every layer that multiplies, by its operations per byte. What does the textbook sum stays below the lines: "
        "the bandwidth of memory and caches on the slopes, the arithmetic of the cores on the level ones, bold for the "
        "instruction set in use. Winograd's algorithms and FFT multiply less, so their points can be above.",
        roofline,
    ),
    Picture(
        "scaling",
        "Scaling over threads",
        "How many times as fast each layer is on several threads as on one. On the dashed line of its colour it would "
        "be as many times as fast as it has threads.",
        scaling,
    ),
    Picture(
        "choice",
        "Choice of algorithm",
        "The algorithm that is chosen for one image and as many filters as channels, over channels and size of the "
        "image; a panel for each size of the kernel.",
        choice_map,
    ),
    Picture(
        "accuracy",
        "Accuracy and speed",
        "The algorithms on a few layers. Right is faster, lower is more accurate: the error is the root mean square of "
        "the difference to float64, as a fraction of that of the results.",
        accuracy,
    ),
)
LAYERS_CAPTION = (
    "A row for each layer, a mark for each runner: how many times as fast it is as the best peer of that layer. Right "
    "of the line at 1 it is faster than all of them. The scale is logarithmic."
)


def pictures_of_layers(results: Results) -> dict[str, Picture]:
    """A picture of the layers of each network, by its group."""
    return {
        group: Picture(
            f"layers-{index:02}-{re.sub('[^a-z0-9]+', '-', group.lower()).strip('-')[:40]}",
            f"Layers of {group}",
            LAYERS_CAPTION,
            partial(layer_bars, group=group),
        )
        for index, group in enumerate(results.groups, 1)
    }


def save_pictures(results: Results, folder: Path, theme: ThemeName = "light") -> list[Path]:
    """Write every picture that the results have something for as a PNG.

    Parameters
    ----------
    results : Results
    folder : Path
        Made where it does not exist.
    theme : {"light", "dark"}

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ValueError
        If there is no such theme.
    OSError
        If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for picture in (*PICTURES, *pictures_of_layers(results).values()):
        figure = picture.draw(results, theme)
        if figure is not None:
            path = folder / f"{picture.name}.png"
            path.write_bytes(as_bytes(figure, "png"))
            paths.append(path)
    return paths


def as_bytes(figure: Figure, kind: str) -> bytes:
    """The file of a figure, the same for the same figure. SVG leaves the letters to the reader's fonts."""
    file = io.BytesIO()
    date = {"Date": None} if kind == "svg" else None
    with (
        warnings.catch_warnings(),
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastconv"}),
    ):
        warnings.filterwarnings("ignore", "Glyph")  # a name may hold letters that the font has not
        dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
        figure.savefig(file, format=kind, dpi=dpi, metadata=date)
    return file.getvalue()
