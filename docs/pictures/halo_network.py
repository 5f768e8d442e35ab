"""What tiles of a network that goes down by 2 and up again need of each layer, along one axis, for docs/tiles.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon, Rectangle

PIXELS = 24  # of the image
# From the output back: name, and what an interval of outputs reads.
LAYERS = (
    ("transposed, stride 2", lambda start, stop: (start // 2, (stop - 1) // 2 + 1)),
    ("3x3", lambda start, stop: (start - 1, stop + 1)),
    ("3x3, stride 2", lambda start, stop: (2 * start - 1, 2 * (stop - 1) + 2)),
)
WIDTHS = (1, 2, 2, 1)  # of a pixel of each value, the output's first
NAMES = ("output", "", "", "image")


def draw(theme):
    figure, panels = plt.subplots(1, 2, figsize=(7.6, 3.3), sharey=True)
    cases = (((8, 16), "in the middle: halo on both sides"), ((0, 8), "at the edge: padding on one"))
    for axis, (tile, title) in zip(panels, cases, strict=True):
        needed = [tile]
        for _, reads in LAYERS:
            count = PIXELS // WIDTHS[len(needed) - 1]
            start, stop = needed[-1]
            needed.append(reads(max(start, 0), min(stop, count)))
        for level, ((start, stop), width) in enumerate(zip(needed, WIDTHS, strict=True)):
            height = -1.5 * level
            own = (tile[0] // width, tile[1] // width)
            for pixel in range(min(start, 0), PIXELS // width):
                colour = theme.quiet
                if start <= pixel < stop:
                    colour = (
                        theme.red if pixel < 0 else theme.blue if own[0] <= pixel < own[1] else theme.orange
                    )
                if pixel < 0 and colour == theme.quiet:
                    continue
                axis.add_patch(
                    Rectangle(
                        (pixel * width, height), width, 0.7, facecolor=colour, edgecolor=theme.line, lw=0.6
                    )
                )
            if level:
                upper = [max(end, 0) * WIDTHS[level - 1] for end in needed[level - 1]]
                corners = [(upper[0], height + 1.5), (upper[1], height + 1.5),
                           (stop * width, height + 0.7), (start * width, height + 0.7)]  # fmt: skip
                axis.add_patch(Polygon(corners, facecolor=theme.orange, alpha=0.15))
                axis.text(PIXELS, height + 1.1, LAYERS[level - 1][0], ha="right", va="center", size=7.5)
            if axis is panels[0] and NAMES[level]:
                axis.text(-2.5, height + 0.35, NAMES[level], ha="right", va="center", size=8)
        axis.set_title(title, size=9)
        axis.set(xlim=(-2.2, PIXELS + 0.3), ylim=(-4.7, 0.9))
        axis.axis("off")
    return figure
