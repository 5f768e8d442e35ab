"""
Dilation: the same taps, further apart
======================================

A dilated filter sees a larger part of the image for the same number of products. With the dilation doubled from step to
step, a 3x3 filter takes a picture apart into details of every size ("à trous", with holes).
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import fastconv

photo = data.astronaut().mean(axis=2).astype(np.float32) / 255

# %%
# Each step blurs with a filter of 3x3 taps that lie 1, 2, 4, 8 and 16 pixels apart; what the blur takes away are the
# details of that size. Their sum with the last blur is the photograph.

line = np.array([0.25, 0.5, 0.25], np.float32)
blur = np.outer(line, line)[np.newaxis, np.newaxis]
smooth, details, distances = photo[np.newaxis], [], (1, 2, 4, 8, 16)
for distance in distances:
    smoother = fastconv.conv2d(
        smooth, blur, padding="same", dilation=distance, padding_mode="reflect", algorithm="direct"
    )
    details.append(smooth - smoother)
    smooth = smoother
print("largest difference to the photograph:", abs(sum(details) + smooth - photo).max())

# %%
# Above, the taps of each filter; below, the details it takes away.

figure, axes = plt.subplots(2, 5, figsize=(10, 4.3))
for i, distance in enumerate(distances):
    taps = np.zeros((33, 33))
    at = 16 + distance * np.arange(-1, 2)
    taps[np.ix_(at, at)] = blur[0, 0]
    axes[0, i].imshow(taps, cmap="Blues", vmax=0.25)
    axes[0, i].set_title(f"dilation {distance}")
    axes[1, i].imshow(details[i][0], cmap="gray", vmin=-0.12, vmax=0.12)
for axis in axes.flat:
    axis.set_xticks([])
    axis.set_yticks([])
plt.show()
