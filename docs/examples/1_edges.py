"""
Edges of a photograph
=====================

Two Sobel filters measure how fast the brightness changes, one to the right and one downwards. Together they are a
gradient: its length shows how strong an edge is, its angle which way it faces.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import hsv_to_rgb
from skimage import data

import fastconv

photo = data.camera().astype(np.float32) / 255  # (H, W)

# %%
# One call computes both: the two filters are two output channels. ``padding="same"`` keeps the size, and replicated
# pixels around the image keep its border from looking like an edge.

sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32) / 4
weight = np.stack([sobel, sobel.T])[:, np.newaxis]  # (C_out, C_in, kH, kW)
to_the_right, down = fastconv.conv2d(photo[np.newaxis], weight, padding="same", padding_mode="replicate")

# %%
# The angle becomes a hue, the length a brightness.

length = np.hypot(to_the_right, down)
strength = np.clip(length / np.quantile(length, 0.98), 0, 1)
hue = np.arctan2(down, to_the_right) / (2 * np.pi) % 1
edges = hsv_to_rgb(np.stack([hue, 0.75 * np.ones_like(hue), strength], axis=-1))

figure, axes = plt.subplots(1, 2, figsize=(9, 4.6))
axes[0].imshow(photo, cmap="gray")
axes[1].imshow(edges)
for axis in axes:
    axis.axis("off")
plt.show()
