"""
Cells, segmented by a U-Net
===========================

A U-Net (Ronneberger et al., 2015) says for every pixel whether it belongs to a cell. The cells are drawn here: discs of
several sizes on noise as strong as themselves.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastconv.nn as nn

rng = np.random.default_rng(0)
SIZE = 48
rows, columns = np.mgrid[:SIZE, :SIZE]


def cells(count):
    """Noisy images, and the mask of each."""
    masks = np.zeros((count, 1, SIZE, SIZE), np.float32)
    for mask in masks:
        for _ in range(5):
            row, column = rng.uniform(4, SIZE - 4, 2)
            radius, stretch = rng.uniform(3, 6), rng.uniform(0.7, 1.4)
            inside = ((rows - row) * stretch) ** 2 + ((columns - column) / stretch) ** 2 < radius**2
            mask[0] = np.maximum(mask[0], inside)
    images = masks + 0.7 * rng.standard_normal(masks.shape)
    return images.astype(np.float32), masks


x, y = cells(128)
x_test, y_test = cells(32)

# %%
# Three levels, with batch normalisation; the loss is 1 less a smooth Dice coefficient.

net = nn.models.UNet(1, (8, 16, 32), norm=True)
rate = nn.schedules.cosine(5e-3, steps=10 * 16)
history = net.fit(
    x, y, 10, 8, loss="dice", optimizer=nn.Adam(rate), metrics="dice", validation=(x_test, y_test), rng=0,
)  # fmt: skip
dice = net.evaluate(x_test, y_test, metrics="dice")["dice"]
print(f"Dice coefficient on new images: {dice:.3f}")

# %%
found = net.predict(x_test[:4]) > 0
figure, axes = plt.subplots(3, 4, figsize=(8, 6.2))
for column, (image, mask, answer) in enumerate(zip(x_test, y_test, found, strict=False)):
    for axis, picture in zip(axes[:, column], (image, mask, answer), strict=True):
        axis.imshow(picture[0], cmap="gray")
        axis.axis("off")
for axis, title in zip(axes[:, 0], ("image", "drawn", "found"), strict=True):
    axis.set_title(title, loc="left")
plt.show()
