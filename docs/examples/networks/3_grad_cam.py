"""
What a network looks at
=======================

A network learns which of three shapes is somewhere in a noisy image: nobody tells it where. Its filters, its feature
maps and Grad-CAM (Selvaraju et al., 2017) are one call each, and show where it looks.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

rng = np.random.default_rng(0)
SIZE = 32
rows, columns = np.mgrid[:SIZE, :SIZE]


def shapes(count):
    """Discs, squares and crosses on noise; what each image has, and the centre of it."""
    x = 0.4 * rng.standard_normal((count, 1, SIZE, SIZE)).astype(np.float32)
    y, centres = rng.integers(3, size=count), rng.integers(6, SIZE - 6, (count, 2))
    for image, label, (row, column) in zip(x, y, centres, strict=True):
        down, right = np.abs(rows - row), np.abs(columns - column)
        disc = down**2 + right**2 <= 20
        square = np.maximum(down, right) <= 4
        cross = (np.minimum(down, right) <= 1) & (np.maximum(down, right) <= 5)
        image[0] += 1.2 * (disc, square, cross)[label]
    return x, y, centres


x, y, _ = shapes(600)
x_test, y_test, centres = shapes(100)

# %%
# Mean pooling at the end leaves the places in the last feature maps.

net = nn.Sequential(
    nn.Conv2D(16, 5, padding=2, activation="relu"), nn.MaxPool2D(2),
    nn.Conv2D(32, 3, padding=1, activation="relu"), nn.Conv2D(32, 3, padding=1, activation="relu"),
    nn.GlobalAvgPool2D(keepdims=False), nn.Dense(3),
)  # fmt: skip
rate = nn.schedules.cosine(5e-3, steps=16 * 19)
history = net.fit(x, y, 16, 32, optimizer=nn.Adam(rate), validation=(x_test, y_test), rng=0)
nn.plot_history(history)
plt.show()

# %%
# The filters of the first layer, and what the second makes of an image.

nn.plot_filters(net, "0")
plt.show()

# %%
nn.plot_feature_maps(net, x_test, "2", most=16)
plt.show()

# %%
# What speaks for the right class, laid over the images.

nn.plot_grad_cam(net, x_test[:8], y_test[:8])
plt.show()

# %%
# How far the brightest place is from the shape's centre, in pixels. A class can be told by what is missing, as here the
# cross: then Grad-CAM lights up everything but the shape, and such a map says so honestly.

maps = nn.grad_cam(net, x_test, y_test)
peaks = np.array([np.unravel_index(part.argmax(), part.shape) for part in maps])
distances = np.linalg.norm(peaks - centres, axis=1)
accuracy = history["val_accuracy"][-1]
print(f"accuracy {accuracy:.1%}, median distance {np.median(distances):.1f} pixels")
for label, name in enumerate(("disc", "square", "cross")):
    print(f"{name:7} {np.median(distances[y_test == label]):.1f}")
