"""Stride and dilation: which pixels two neighbouring outputs see. Drawn for docs/layouts.md."""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

SIZE, KERNEL = 7, 3


def draw(theme):
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.7))
    for axis, (stride, dilation) in zip(axes, ((1, 1), (2, 1), (1, 2)), strict=True):
        for i in range(SIZE):
            for j in range(SIZE):
                axis.add_patch(Rectangle((j, i), 1, 1, facecolor=theme.quiet, edgecolor=theme.line, lw=0.6))
        for output, colour, inset in ((0, theme.blue, 0.12), (1, theme.orange, 0.3)):
            for r in range(KERNEL):
                for s in range(KERNEL):
                    at = (output * stride + s * dilation + inset, r * dilation + inset)
                    axis.add_patch(Rectangle(at, 1 - 2 * inset, 1 - 2 * inset, facecolor=colour))
        size = (SIZE - dilation * (KERNEL - 1) - 1) // stride + 1
        axis.set_title(f"stride={stride}, dilation={dilation}", family="monospace", size=9)
        axis.text(SIZE / 2, SIZE + 0.7, f"output {size} x {size}", ha="center", va="center", size=9)
        axis.set(xlim=(-0.1, SIZE + 0.1), ylim=(SIZE + 1.2, -0.1), aspect="equal")
        axis.axis("off")
    return figure
