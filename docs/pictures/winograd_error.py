"""What Winograd's algorithm costs in accuracy, measured. Drawn for docs/algorithms/winograd.md.

Left: the library's own algorithms, by number of channels, as multiples of the direct sum's error in float32. Right: how
much the interpolation points matter, for tiles of 4x4 outputs of a 3x3 kernel, computed here with NumPy in float32.
"""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np

import fastconv

CHANNELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NAMES = ("winograd2", "winograd3", "winograd4")
POINTS = {
    "0, ±1, ±2": (0, 1, -1, 2, -2),
    "0, ±1/2, ±1": (0, 0.5, -0.5, 1, -1),
    "0, ±5/8, ±3/2": (0, 0.625, -0.625, 1.5, -1.5),
}


def rms(difference):
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


@cache
def by_channels():
    rng = np.random.default_rng(0)
    multiples = {name: [] for name in NAMES}
    for channels in CHANNELS:
        x = rng.standard_normal((4, channels, 32, 32), dtype=np.float32)
        weight = rng.standard_normal((16, channels, 3, 3), dtype=np.float32)
        exact = fastconv.conv2d(x.astype(np.float64), weight.astype(np.float64), algorithm="direct")
        direct = rms(fastconv.conv2d(x, weight, algorithm="direct") - exact)
        for name in NAMES:
            try:
                result = fastconv.conv2d(x, weight, algorithm=name, precision="fast")
            except ValueError:  # refused: its predicted error is too large
                multiples[name].append(np.nan)
            else:
                multiples[name].append(rms(result - exact) / direct)
    return multiples


def transforms(points, outputs, taps):
    """A, B and G of the finite points and infinity, as rows of points."""
    points = np.array(points)
    evaluate = np.vstack([points[:, None] ** np.arange(outputs), np.eye(outputs)[-1:]])
    kernel = points[:, None] ** np.arange(taps)
    others = [np.delete(points, i) for i in range(len(points))]
    kernel = kernel / np.array([np.prod(x - rest) for x, rest in zip(points, others, strict=True)])[:, None]
    kernel = np.vstack([kernel, np.eye(taps)[-1:]])
    basis = np.zeros((len(points) + 1, outputs + taps - 1))
    for row, rest in enumerate(others):
        basis[row, : len(rest) + 1] = np.poly(rest)[::-1]
    basis[-1] = np.poly(points)[::-1]
    return evaluate, basis, kernel


@cache
def by_points():
    rng = np.random.default_rng(0)
    tiles, channels, filters = 200, 64, 8
    d = rng.standard_normal((tiles, channels, 6, 6)).astype(np.float32)
    g = rng.standard_normal((filters, channels, 3, 3)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(d, (3, 3), axis=(2, 3))
    exact = np.einsum("tcyxrs,kcrs->tkyx", windows.astype(np.float64), g.astype(np.float64), optimize=True)
    errors = []
    for points in POINTS.values():
        a, b, k = (matrix.astype(np.float32) for matrix in transforms(points, 4, 3))
        products = np.einsum("tcij,kcij->tkij", b @ d @ b.T, k @ g @ k.T, optimize=True)
        errors.append(rms(a.T @ products @ a - exact))
    return np.array(errors) / errors[-1]


def draw(theme):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.4), width_ratios=[1.7, 1])
    for (name, values), colour in zip(
        by_channels().items(), (theme.green, theme.blue, theme.orange), strict=True
    ):
        left.plot(CHANNELS, values, "o-", color=colour, label=name, markersize=4)
    left.axhline(1, color=theme.ink, lw=1, ls="--")
    left.text(CHANNELS[-1], 0.9, "direct sum", ha="right", va="top", size=9)
    left.set_xscale("log", base=2)
    left.set(
        xticks=CHANNELS, xticklabels=CHANNELS, xlabel="channels", ylim=(0, None), title="error / direct sum's"
    )
    left.grid(True, lw=0.6)
    left.legend(fontsize=9)
    bars = right.barh(list(POINTS), by_points(), color=[theme.line, theme.line, theme.orange], height=0.6)
    right.bar_label(bars, fmt=" %.1f", size=9)
    right.set(title="error by points", xlim=(0, max(by_points()) * 1.25))
    right.set_xticks([])
    right.tick_params(axis="y", length=0)
    right.spines[["top", "right", "bottom"]].set_visible(False)
    return figure
