"""
Learning a filter
=================

A photograph and a filtered copy of it are given; the filter is not. Gradient descent finds it, with
:func:`fastconv.grad.conv2d_weight` for the gradient. This is the training of a network with a single weight layer.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import fastconv

photo = data.camera()[::2, ::2].astype(np.float32)[np.newaxis] / 255
photo -= photo.mean()

# %%
# The filter to be found embosses: light comes from the upper left.

hidden = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)[np.newaxis, np.newaxis]
target = fastconv.conv2d(photo, hidden)

# %%
# The loss is the mean of squared differences. Momentum helps where neighbouring pixels are alike, which makes the
# loss a narrow valley.

weight = np.zeros_like(hidden)
speed = np.zeros_like(hidden)
losses, filters = [], {}
for step in range(1501):
    difference = fastconv.conv2d(photo, weight) - target
    losses.append(float((difference**2).mean()))
    if step in (0, 50, 300, 1500):
        filters[step] = weight.copy()
    gradient = fastconv.grad.conv2d_weight(photo, weight.shape, 2 * difference / difference.size)
    speed = 0.98 * speed - 0.5 * gradient
    weight += speed
print("largest error of the filter:", abs(weight - hidden).max())

# %%
# The filter on its way, and the loss.

figure = plt.figure(figsize=(9.5, 4.4))
grid = figure.add_gridspec(2, 5, height_ratios=[1, 1.3])
for column, (title, shown) in enumerate([*filters.items(), ("hidden", hidden)]):
    axis = figure.add_subplot(grid[0, column])
    axis.imshow(shown[0, 0], cmap="RdBu", vmin=-2, vmax=2)
    axis.set_title(title if title == "hidden" else f"step {title}")
    axis.axis("off")
axis = figure.add_subplot(grid[1, :])
axis.semilogy(losses)
axis.set_xlabel("step")
axis.set_ylabel("loss")
plt.show()
