"""
Checkerboards of transposed convolution
=======================================

A transposed convolution puts a copy of its kernel at every ``stride``-th pixel. Where the stride does not divide the
kernel, some pixels get more copies than others, and the result has a pattern that the input does not have
(`Odena et al., 2016 <https://doi.org/10.23915/distill.00003>`_).
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import fastconv

photo = data.astronaut()[60:156, 170:266].astype(np.float32) / 255  # (H, W, C)

# %%
# Three kernels enlarge the photograph twice. Each of the three channels is a group of its own; the weights are
# ``(kH, kW, C_out // groups, C_in)``. All are scaled to a mean brightness of 1.

triangle = np.array([1, 2, 1], np.float32) / 2
kernels = {
    "3x3, all equal": np.full((3, 3), 4 / 9, np.float32),
    "4x4, all equal": np.full((4, 4), 1 / 4, np.float32),
    "3x3, linear interpolation": np.outer(triangle, triangle),
}


def enlarge(image, kernel):
    weight = np.repeat(kernel[:, :, np.newaxis, np.newaxis], image.shape[-1], axis=3)
    return fastconv.conv_transpose2d(image, weight, stride=2, groups=image.shape[-1], layout="NHWC")


# %%
# Above, a grey plane; below, a part of the photograph. The linear kernel has a size of 3 as well: its weights make up
# for the uneven overlap.

figure, axes = plt.subplots(2, 3, figsize=(9.5, 6.4))
for column, (name, kernel) in enumerate(kernels.items()):
    plane = enlarge(np.full((12, 12, 1), 0.5, np.float32), kernel)
    axes[0, column].imshow(plane[2:-2, 2:-2, 0], cmap="gray", vmin=0, vmax=1)
    axes[0, column].set_title(name)
    axes[1, column].imshow(np.clip(enlarge(photo, kernel)[2:-2, 2:-2], 0, 1))
for axis in axes.flat:
    axis.axis("off")
plt.show()
