"""
Receptive fields
================

Which pixels of the input decide one output? :func:`fastconv.geometry.receptive_field` computes the field's size, and a
gradient shows it: that of one output with respect to the input is not zero exactly there.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

import fastconv

# %%
# A chain of layers as ``(kernel, stride, padding)``: a 5x5 convolution and three of 3x3, of which the middle one has
# stride 2.

layers = [(5, 1, 2), (3, 1, 1), (3, 2, 1), (3, 1, 1)]
for layer, field in zip(layers, fastconv.geometry.receptive_field(layers), strict=True):
    print(layer, "->", field)

# %%
# Backwards from one output in the middle, through filters of ones: each input pixel counts the ways to that output.

sizes = [(1, 1, 41, 41)]
for kernel, stride, padding in layers:
    height, width = fastconv.geometry.conv_output_size(sizes[-1][2:], kernel, stride, padding)
    sizes.append((1, 1, height, width))
gradient = np.zeros(sizes[-1], np.float32)
row = column = sizes[-1][2] // 2
gradient[0, 0, row, column] = 1
for size, (kernel, stride, padding) in reversed(list(zip(sizes, layers, strict=False))):
    ones = np.ones((1, 1, kernel, kernel), np.float32)
    gradient = fastconv.grad.conv2d_input(size, ones, gradient, stride, padding)

# %%
# The square is what the formula says. Pixels near the middle count far more than those at the rim: the effective field
# is smaller than the theoretical one.

field = fastconv.geometry.receptive_field(layers)[-1]
corner = field.center + row * field.stride - field.size / 2
figure, axis = plt.subplots(figsize=(5.2, 4.4))
shown = axis.imshow(np.where(gradient[0, 0] > 0, gradient[0, 0], np.nan), cmap="viridis")
axis.add_patch(Rectangle((corner, corner), field.size, field.size, fill=False, edgecolor="tab:orange", lw=2))
axis.set_title(f"receptive field {field.size} x {field.size}, step {field.stride}")
figure.colorbar(shown, label="ways to the output")
plt.show()
