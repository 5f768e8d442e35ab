"""Which taps of a transposed convolution meet which outputs. Drawn for docs/algorithms/transposed.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

STRIDE, KERNEL, INPUTS = 2, 4, 4


def draw(theme):
    figure, axis = plt.subplots(figsize=(7, 2.7))
    colours = (theme.blue, theme.orange)
    outputs = (INPUTS - 1) * STRIDE + KERNEL
    for i in range(INPUTS):
        centre = i * STRIDE + KERNEL / 2
        axis.add_patch(
            Rectangle((centre - 0.45, 3), 0.9, 0.9, facecolor=theme.quiet, edgecolor=theme.ink, lw=0.8)
        )
        axis.text(centre, 3.45, f"x{i}", ha="center", va="center")
        for tap in range(KERNEL):
            output = i * STRIDE + tap
            colour = colours[tap % STRIDE]
            axis.plot([centre, output + 0.5], [3, 0.95], color=colour, lw=1.3)
            axis.text(
                0.18 * centre + 0.82 * (output + 0.5), 0.18 * 3 + 0.82 * 0.95, f"w{tap}", size=8, color=theme.ink,
                ha="center", va="center", bbox={"facecolor": theme.quiet, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip
    for output in range(outputs):
        axis.add_patch(Rectangle((output + 0.05, 0), 0.9, 0.9, facecolor=colours[output % STRIDE]))
        axis.text(output + 0.5, 0.45, f"y{output}", ha="center", va="center", color=theme.on_colour)
    axis.set(xlim=(-0.1, outputs + 0.1), ylim=(-0.1, 4), aspect="equal")
    axis.axis("off")
    return figure
