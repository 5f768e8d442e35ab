"""
Feature maps of a filter bank
=============================

Gabor filters answer to stripes of one width and direction, much as the first layer of a trained network does.
Convolution, activation and pooling are the three steps of such a layer; the first two are one call.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import fastconv

photo = data.astronaut().astype(np.float32) / 255  # (H, W, C)

# %%
# Eight filters of 15x15 pixels: a wave in each direction under a Gaussian, without its mean. The photograph has its
# channels last, so ``layout="NHWC"`` takes it as it is, and weights are ``(kH, kW, C_in, C_out)``.

y, x = np.mgrid[-7:8, -7:8]
angles = np.arange(8) * np.pi / 8
waves = [np.cos(2 * np.pi / 7 * (x * np.cos(a) + y * np.sin(a))) for a in angles]
bank = np.stack(waves, axis=-1) * np.exp(-(x**2 + y**2) / 18)[..., np.newaxis]
bank -= bank.mean(axis=(0, 1))
weight = np.repeat(bank[:, :, np.newaxis], 3, axis=2).astype(np.float32) / 3

maps = fastconv.conv2d(
    photo, weight, stride=2, padding=7, padding_mode="reflect", layout="NHWC", activation="relu"
)
pooled = fastconv.max_pool2d(maps, 4, layout="NHWC")
print(photo.shape, "->", maps.shape, "->", pooled.shape)

# %%
# Each filter, and where in the picture its stripes are.

figure, axes = plt.subplots(4, 4, figsize=(9, 9))
for i in range(8):
    row, column = i // 4 * 2, i % 4
    axes[row, column].imshow(bank[..., i], cmap="RdBu", vmin=-1, vmax=1)
    axes[row + 1, column].imshow(pooled[..., i], cmap="magma")
for axis in axes.flat:
    axis.axis("off")
plt.show()
