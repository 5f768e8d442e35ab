"""How the pixels of an image of 2 channels lie in memory. Drawn for docs/layouts.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle


def draw(theme):
    figure, axis = plt.subplots(figsize=(7, 3.1))
    colours = (theme.blue, theme.orange)
    height, width = 2, 3
    for channel in (1, 0):
        for i in range(height):
            for j in range(width):
                at = (j + 0.45 * channel, 3.6 - i + 0.45 * channel)
                axis.add_patch(Rectangle(at, 1, 1, facecolor=colours[channel], edgecolor=theme.ink, lw=0.8))
                if channel == 0:
                    axis.text(
                        at[0] + 0.5, at[1] + 0.5, f"{i},{j}", ha="center", va="center", color=theme.on_colour
                    )
    axis.text(4.3, 4.5, "channel 0", color=theme.blue, weight="bold", va="center")
    axis.text(4.3, 3.9, "channel 1", color=theme.orange, weight="bold", va="center")
    orders = {
        "NCHW": [(c, i, j) for c in range(2) for i in range(height) for j in range(width)],
        "NHWC": [(c, i, j) for i in range(height) for j in range(width) for c in range(2)],
    }
    for row, (name, order) in enumerate(orders.items()):
        y = 1.4 - 1.4 * row
        axis.text(-0.2, y + 0.4, name, ha="right", va="center", family="monospace")
        for k, (c, i, j) in enumerate(order):
            axis.add_patch(
                Rectangle((k * 0.8, y), 0.8, 0.8, facecolor=colours[c], edgecolor=theme.ink, lw=0.8)
            )
            axis.text(
                k * 0.8 + 0.4, y + 0.4, f"{i},{j}", ha="center", va="center", color=theme.on_colour, size=9
            )
    axis.annotate(
        "", (9.6, -0.35), (0, -0.35), arrowprops={"arrowstyle": "->", "color": theme.line, "lw": 1.2}
    )
    axis.text(9.6, -0.75, "address in memory", ha="right", va="center", size=9)
    axis.set(xlim=(-1.6, 9.8), ylim=(-1, 5.2), aspect="equal")
    axis.axis("off")
    return figure
