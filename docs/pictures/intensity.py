"""Operations for each byte, from dense to depthwise. Drawn for docs/algorithms/depthwise.md."""

import matplotlib.pyplot as plt

from fastconv.geometry import conv_flops, conv_memory

CHANNELS, SIZE = 128, 56
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128)


def intensity(kernel, groups):
    shape, padding = (1, CHANNELS, SIZE, SIZE), kernel // 2
    flops = conv_flops(shape, CHANNELS, kernel, padding=padding, groups=groups)
    return flops / conv_memory(shape, CHANNELS, kernel, padding=padding, groups=groups, bias=False).total


def draw(theme):
    figure, axis = plt.subplots(figsize=(6.4, 3.5))
    for kernel, colour in ((7, theme.orange), (5, theme.green), (3, theme.blue), (1, theme.red)):
        values = [intensity(kernel, groups) for groups in GROUPS]
        axis.loglog(GROUPS, values, "o-", color=colour, label=f"{kernel}x{kernel}", markersize=4)
    axis.set(
        xticks=GROUPS, xticklabels=GROUPS, xlabel="groups (1: dense, 128: depthwise)", ylabel="FLOPs per byte"
    )
    axis.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    axis.minorticks_off()
    axis.grid(True, lw=0.6)
    axis.legend(fontsize=9, ncols=4, loc="lower left")
    return figure
