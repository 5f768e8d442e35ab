"""The windows of several kinds of pooling along one axis. Drawn for docs/algorithms/pooling.md."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from fastconv.problem.pooling import AdaptiveWindows, FractionalWindows, sliding

SIZE = 10
TABLES = {
    "kernel 3, stride 2": sliding("picture", "width", SIZE, 3, 2, (0, 0)),
    "the same, ceil_mode": sliding("picture", "width", SIZE, 3, 2, (0, 0), ceil_mode=True),
    "padding 1, dilation 2": sliding("picture", "width", SIZE, 3, 3, (1, 1), dilation=2),
    "adaptive, 4 outputs": AdaptiveWindows(SIZE, 4),
    "fractional, 4 outputs": FractionalWindows(SIZE, 4, 2, np.array([0.6])),
    "global": AdaptiveWindows(SIZE, 1),
}


def draw(theme):
    figure, axes = plt.subplots(3, 2, figsize=(7, 4.6))
    colours = (theme.blue, theme.orange, theme.green, theme.red, theme.blue)
    for axis, (name, windows) in zip(axes.flat, TABLES.items(), strict=True):
        for pixel in range(SIZE):
            axis.add_patch(
                Rectangle((pixel + 0.03, 0), 0.94, 0.9, facecolor=theme.quiet, edgecolor=theme.line, lw=0.6)
            )
        tables = windows.tables()
        for output in range(windows.count):
            start, stop = tables.start[0, output], tables.stop[0, output]
            y = 1.2 + 0.55 * (output % 3)
            axis.plot([start + 0.1, stop - 0.1], [y + 0.15] * 2, color=colours[output], lw=1)
            for pixel in range(start, stop, windows.step):
                axis.add_patch(Rectangle((pixel + 0.1, y), 0.8, 0.3, facecolor=colours[output]))
        axis.set_title(name, size=9.5)
        axis.set(xlim=(-0.1, SIZE + 0.1), ylim=(-0.1, 2.9))
        axis.axis("off")
    return figure
