"""What a tile in the middle and one in a corner read, of an image that is filtered. Drawn for docs/tiles.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

SIZE, TILE, HALO = 12, 4, 1.4


def draw(theme):
    figure, axes = plt.subplots(1, 2, figsize=(7, 3.4))
    for axis, (row, column), title in zip(
        axes, ((1, 1), (0, 0)), ("in the middle: halo all around", "in a corner: the border"), strict=True
    ):  # fmt: skip
        top, left = row * TILE, column * TILE
        axis.add_patch(
            Rectangle(
                (-HALO, -HALO),
                SIZE + 2 * HALO,
                SIZE + 2 * HALO,
                facecolor="none",
                edgecolor=theme.line,
                ls=":",
            )
        )
        axis.add_patch(Rectangle((0, 0), SIZE, SIZE, facecolor=theme.quiet))
        field = Rectangle(
            (left - HALO, top - HALO), TILE + 2 * HALO, TILE + 2 * HALO, facecolor=theme.red, alpha=0.5
        )
        axis.add_patch(field)
        first = max(left - HALO, 0), max(top - HALO, 0)
        last = left + TILE + HALO, top + TILE + HALO
        axis.add_patch(Rectangle(first, last[0] - first[0], last[1] - first[1], facecolor=theme.orange))
        axis.add_patch(Rectangle((left, top), TILE, TILE, facecolor=theme.blue))
        for step in range(0, SIZE + 1, TILE):
            axis.plot((0, SIZE), (step, step), color=theme.line, lw=0.6)
            axis.plot((step, step), (0, SIZE), color=theme.line, lw=0.6)
        axis.text(
            left + TILE / 2,
            top + TILE / 2,
            "written",
            ha="center",
            va="center",
            size=8,
            color=theme.on_colour,
        )
        axis.set_title(title, size=9)
        axis.set(xlim=(-HALO - 0.3, SIZE + HALO + 0.3), ylim=(SIZE + HALO + 0.3, -HALO - 0.3), aspect="equal")
        axis.axis("off")
    return figure
