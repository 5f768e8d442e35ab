"""What the padding modes put around an image of 3x4 pixels. Drawn for docs/layouts.md."""

from typing import get_args

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import fastconv
from fastconv.typing import PaddingMode

IMAGE = np.arange(1, 13).reshape(1, 3, 4)


def draw(theme):
    figure, axes = plt.subplots(3, 2, figsize=(7, 8.4))
    colours = plt.get_cmap("viridis")
    for axis, mode in zip(axes.flat, get_args(PaddingMode), strict=True):
        constant = 99 if mode == "constant" else 0
        padded = fastconv.pad2d(IMAGE, 2, mode=mode, value=constant)[0]
        for (i, j), value in np.ndenumerate(padded):
            inside = 2 <= i < 5 and 2 <= j < 6
            colour = colours(0.12 + 0.7 * (value - 1) / 11) if value != constant else theme.quiet
            alpha = 1 if inside or value == constant else 0.55
            axis.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, alpha=alpha, edgecolor="none"))
            letters = "white" if inside else theme.ink
            axis.text(j + 0.5, i + 0.5, value, ha="center", va="center", color=letters, size=10)
        axis.add_patch(Rectangle((2, 2), 4, 3, fill=False, edgecolor=theme.orange, lw=2.2))
        axis.set_title(f'"{mode}"', family="monospace", size=10)
        axis.set(xlim=(-0.1, 8.1), ylim=(7.1, -0.1), aspect="equal")
        axis.axis("off")
    return figure
