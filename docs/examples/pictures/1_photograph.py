"""
A photograph: smoothed, sharpened, cleaned
==========================================

Filters take a photograph as it is, bytes with the colours last, and give one back. ``axes=(0, 1)`` says along which
axes to filter, ``saturate=True`` rounds and keeps to 0 ... 255, as OpenCV does.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from fastconv import ndimage

photo = data.coffee()  # (H, W, 3), uint8
plane = {"axes": (0, 1)}

# %%
# An unsharp mask adds what a blur takes away. Both are one kernel: the one that leaves a pixel as it is, and the
# difference of it and of the blur's. It is no product of lines, so that `correlate` does it as it is; a Gaussian alone
# is one, and is found to be (``separable="auto"``).

blurred = ndimage.gaussian_filter(photo, 4, saturate=True, **plane)

line = np.exp(-0.5 * (np.arange(-6, 7) / 2) ** 2)
gaussian = np.outer(line, line) / line.sum() ** 2
unsharp = -1.5 * gaussian
unsharp[6, 6] += 2.5
sharp = ndimage.correlate(photo, unsharp[..., np.newaxis], saturate=True)

# %%
# Single wrong pixels vanish in a median, where a mean would spread them.

rng = np.random.default_rng(0)
noisy = photo.copy()
noisy[rng.random(photo.shape[:2]) < 0.08] = 255
noisy[rng.random(photo.shape[:2]) < 0.08] = 0
cleaned = ndimage.median_filter(noisy, 5, **plane)

figure, axes = plt.subplots(2, 3, figsize=(9, 4.6))
pictures = {
    "photograph": photo,
    "gaussian_filter": blurred,
    "correlate: unsharp": sharp,
    "wrong pixels": noisy,
    "uniform_filter": ndimage.uniform_filter(noisy, 5, saturate=True, **plane),
    "median_filter": cleaned,
}
for axis, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture[120:320, 120:420])
    axis.set_title(title)
    axis.axis("off")
plt.show()

print("mean error of noisy:", np.abs(noisy.astype(float) - photo).mean().round(1))
print("after the median:   ", np.abs(cleaned.astype(float) - photo).mean().round(1))

# %%
# Where is a detail? `match_template` gives the correlation of a template with every window, whatever their brightness.

grey = photo.mean(axis=2)
template = grey[190:240, 380:440]
found = ndimage.match_template(0.6 * grey + 30, template)
row, column = np.unravel_index(found.argmax(), found.shape)
print(f"found at {row}, {column} with a correlation of {found.max():.3f}")
