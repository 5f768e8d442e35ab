"""What each form of `padding` adds to an image of 4x5 pixels, with a 3x3 kernel. Drawn for docs/layouts.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

HEIGHT, WIDTH, KERNEL = 4, 5, 3
FORMS = (
    ("padding=1", (1, 1, 1, 1)),
    ("padding=(2, 1)", (2, 2, 1, 1)),
    ("padding=((0, 1), (2, 3))", (0, 1, 2, 3)),
    ('padding="valid"', (0, 0, 0, 0)),
    ('padding="same"', (1, 1, 1, 1)),
    ('padding="full"', (2, 2, 2, 2)),
)


def draw(theme):
    figure, axes = plt.subplots(2, 3, figsize=(7, 4.6))
    for axis, (name, (top, bottom, left, right)) in zip(axes.flat, FORMS, strict=True):
        for i in range(-top, HEIGHT + bottom):
            for j in range(-left, WIDTH + right):
                inside = 0 <= i < HEIGHT and 0 <= j < WIDTH
                colour = theme.blue if inside else theme.quiet
                axis.add_patch(Rectangle((j, i), 1, 1, facecolor=colour, edgecolor=theme.line, lw=0.7))
        axis.add_patch(
            Rectangle((-left, -top), KERNEL, KERNEL, fill=False, edgecolor=theme.orange, lw=2.2, zorder=3)
        )
        rows, columns = HEIGHT + top + bottom - KERNEL + 1, WIDTH + left + right - KERNEL + 1
        axis.set_title(name, family="monospace", size=9)
        axis.text(2.5, 6.6, f"output {rows} x {columns}", ha="center", va="center", size=9)
        axis.set(xlim=(-2.3, 8.3), ylim=(7.2, -2.3), aspect="equal")
        axis.axis("off")
    return figure
