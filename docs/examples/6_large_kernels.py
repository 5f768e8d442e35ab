"""
Large kernels: unsharp masking and a lens
=========================================

Blurring with a kernel of 31x31 takes 961 products for each pixel and channel, done as a textbook sum. fastconv takes
the fast Fourier transform where that is cheaper; nothing in the call changes.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

import fastconv

photo = np.ascontiguousarray(data.astronaut().transpose(2, 0, 1)).astype(np.float32) / 255  # (C, H, W)
y, x = np.mgrid[-15:16, -15:16]


def blur(image, kernel, radius=15):
    weight = np.repeat((kernel / kernel.sum())[np.newaxis, np.newaxis], 3, axis=0).astype(np.float32)
    return fastconv.depthwise_conv2d(image, weight, padding=radius, padding_mode="reflect")


# %%
# Unsharp masking adds what a Gaussian blur takes away. A disk blurs as a lens does that is out of focus: bright spots
# become disks. It is done on linear light, here approximated by the third power.

gaussian = blur(photo, np.exp(-(x**2 + y**2) / (2 * 5.0**2)))
sharp = np.clip(photo + 0.8 * (photo - gaussian), 0, 1)
lens = np.maximum(blur(photo**3, x**2 + y**2 <= 12**2), 0) ** (1 / 3)  # rounding may go below 0

figure, axes = plt.subplots(1, 3, figsize=(10, 3.8))
for axis, (name, image) in zip(
    axes, {"photograph": photo, "unsharp mask": sharp, "out of focus": lens}.items(), strict=True
):
    axis.imshow(image.transpose(1, 2, 0))
    axis.set_title(name)
    axis.axis("off")
plt.show()

# %%
# A plan tells what is done, and what the alternatives would have cost on the machine that built this page.

plan = fastconv.plan_conv2d(np.ones((1, 1, 31, 31), np.float32), padding=15, input_shape=(1, 1, 512, 512))
print(plan.explain())
