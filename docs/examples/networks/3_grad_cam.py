"""
What a network looks at
=======================

A network learns whether there is a disc, a square or a cross somewhere in a noisy image: nobody tells it where. Its
filters, its feature maps and Grad-CAM (Selvaraju et al., 2017) are one call each, and show where it looks.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

rng = np.random.default_rng(0)
SIZE = 32
rows, columns = np.mgrid[:SIZE, :SIZE]


def shapes(count):
    """A disc, a square, a cross or nothing on noise; what each image has, and the centre of it."""
    x = 0.4 * rng.standard_normal((count, 1, SIZE, SIZE)).astype(np.float32)
    y, centres = rng.integers(4, size=count), rng.integers(6, SIZE - 6, (count, 2))
    for image, label, (row, column) in zip(x, y, centres, strict=True):
        down, right = np.abs(rows - row), np.abs(columns - column)
        disc = down**2 + right**2 <= 20
        square = np.maximum(down, right) <= 4
        cross = (np.minimum(down, right) <= 1) & (np.maximum(down, right) <= 5)
        image[0] += 1.2 * (disc, square, cross, 0)[label]
    return x, y, centres


def answers(y):
    """Yes or no for each of the three; of no shape three times no."""
    return (y[:, np.newaxis] == np.arange(3)).astype(np.float32)


def right(output, target):
    return np.mean(np.all((output > 0) == target, axis=1))


x, y, _ = shapes(800)
x_test, y_test, centres = shapes(120)

# %%
# Pooling at the end finds a shape wherever it is, and leaves the places in the last feature maps. Each score says yes
# or no by itself: with a softmax over classes only differences count, so that a cross may be what is neither disc nor
# square, and its map lights up everything but the shape.

net = nn.Sequential(
    nn.Conv2D(16, 5, padding=2, activation="relu"), nn.MaxPool2D(2),
    nn.Conv2D(32, 3, padding=1, activation="relu"), nn.Conv2D(32, 3, padding=1, activation="relu"),
    nn.GlobalMaxPool2D(keepdims=False), nn.Dense(3),
)  # fmt: skip
rate = nn.schedules.cosine(5e-3, steps=16 * 25)
history = net.fit(
    x, answers(y), 16, 32, loss="binary_cross_entropy", optimizer=nn.Adam(rate), metrics=right,
    validation=(x_test, answers(y_test)), rng=0,
)  # fmt: skip
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
# What speaks for the shape that an image has, laid over it.

drawn = y_test < 3
nn.plot_grad_cam(net, x_test[drawn][:8], y_test[drawn][:8])
plt.show()

# %%
# How far the brightest place is from the shape's centre, in pixels.

maps = nn.grad_cam(net, x_test[drawn], y_test[drawn])
peaks = np.array([np.unravel_index(part.argmax(), part.shape) for part in maps])
distances = np.linalg.norm(peaks - centres[drawn], axis=1)
accuracy, by_shape = history["val_right"][-1], {}
print(f"right: {accuracy:.1%}; median distances:")
for label, name in enumerate(("disc", "square", "cross")):
    by_shape[name] = np.median(distances[y_test[drawn] == label])
    print(f"{name:7} {by_shape[name]:.1f} pixels")
