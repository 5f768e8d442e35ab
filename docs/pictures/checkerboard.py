"""How many copies of a kernel meet at each output of a transposed convolution. For docs/algorithms/transposed.md."""

import matplotlib.pyplot as plt
import numpy as np

import fastconv


def draw(theme):
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.9))
    ones = np.ones((1, 6, 6), np.float32)
    for axis, (kernel, stride) in zip(axes, ((3, 2), (4, 2), (5, 3)), strict=True):
        weight = np.ones((1, 1, kernel, kernel), np.float32)
        copies = fastconv.conv_transpose2d(ones, weight, stride=stride)[0]
        axis.imshow(copies, cmap="magma", vmin=0, vmax=4)
        for at in np.ndindex(copies.shape):
            axis.text(
                *at[::-1],
                int(copies[at]),
                ha="center",
                va="center",
                size=5.5,
                color="white" if copies[at] < 3 else "black",
            )
        axis.set_title(f"kernel {kernel}, stride {stride}", size=10)
        axis.axis("off")
    return figure
