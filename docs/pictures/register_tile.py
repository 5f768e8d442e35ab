"""The register tile of the direct kernel: pixels x filters. Drawn for docs/algorithms/direct.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

PIXELS, VECTORS = 14, 2


def draw(theme):
    figure, axis = plt.subplots(figsize=(6.2, 4.4))
    width = 6
    centred = {"ha": "center", "va": "center"}
    for vector in range(VECTORS):
        x = 2 + vector * (width + 0.3)
        filters = f"16 weights: filters {16 * vector} to {16 * vector + 15}"
        axis.add_patch(Rectangle((x, PIXELS + 0.6), width, 1, facecolor=theme.orange))
        axis.text(x + width / 2, PIXELS + 1.1, filters, size=8, color=theme.on_colour, **centred)
        for pixel in range(PIXELS):
            place = (x, pixel + 0.08)
            axis.add_patch(Rectangle(place, width, 0.84, facecolor=theme.quiet, edgecolor=theme.line, lw=0.7))
            for lane in range(1, 16):
                at = x + lane * width / 16
                axis.plot([at, at], [pixel + 0.08, pixel + 0.92], color=theme.line, lw=0.4)
    for pixel in range(PIXELS):
        axis.add_patch(Rectangle((0.7, pixel + 0.08), 0.9, 0.84, facecolor=theme.blue))
    axis.text(0.35, PIXELS / 2, "14 pixels: a number of each", rotation=90, size=9, **centred)
    axis.text(2 + width + 0.15, -0.6, "28 registers of 16 sums", size=9, **centred)
    axis.set(xlim=(0, 2 + VECTORS * (width + 0.3)), ylim=(-1.1, PIXELS + 1.8))
    axis.axis("off")
    return figure
