"""An image and im2col's matrix of it, one window and one panel marked. Drawn for docs/algorithms/im2col.md."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

SIZE, KERNEL, WINDOW = 4, 2, 4  # the window's number, row after row
PANEL = (3, 6)  # columns


def draw(theme):
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.4), width_ratios=[1, 2])
    image = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)
    windows = np.lib.stride_tricks.sliding_window_view(image, (KERNEL, KERNEL))
    matrix = windows.reshape(-1, KERNEL * KERNEL).T
    for axis, numbers, title in ((left, image, "image"), (right, matrix, "matrix: a column for each window")):
        for (i, j), number in np.ndenumerate(numbers):
            seen = number in matrix[:, WINDOW] if axis is left else j == WINDOW
            colour, ink = (theme.blue, theme.on_colour) if seen else (theme.quiet, theme.ink)
            axis.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor=theme.line, lw=0.6))
            axis.text(j + 0.5, i + 0.5, number, ha="center", va="center", size=9, color=ink)
        height, width = numbers.shape
        axis.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.1), aspect="equal")
        axis.set_title(title, size=9)
        axis.axis("off")
    first, end = PANEL
    right.add_patch(Rectangle((first, 0), end - first, len(matrix), fill=False, edgecolor=theme.orange, lw=2))
    return figure
