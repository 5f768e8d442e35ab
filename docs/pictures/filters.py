"""A photograph after some of the calls in the table of docs/scipy.md."""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from fastconv import ndimage

CALLS = {
    "the photograph": lambda x: x,
    "gaussian_filter(x, 3)": lambda x: ndimage.gaussian_filter(x, 3, saturate=True),
    "uniform_filter(x, 9)": lambda x: ndimage.uniform_filter(x, 9, saturate=True),
    "median_filter(x, 9)": lambda x: ndimage.median_filter(x, 9),
    "grey_dilation(x, 5)": lambda x: ndimage.grey_dilation(x, 5),
    "grey_erosion(x, 5)": lambda x: ndimage.grey_erosion(x, 5),
    "sobel(x, 1, float)": lambda x: ndimage.sobel(x, 1, np.float32),
    "laplace(x, float)": lambda x: ndimage.laplace(x, np.float32),
}


def draw(theme):
    photograph = data.camera()[70:230, 160:320]
    figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.6))
    for axis, (title, call) in zip(axes.flat, CALLS.items(), strict=True):
        picture = call(photograph)
        signed = picture.dtype.kind == "f"
        limit = np.quantile(np.abs(picture), 0.995)
        axis.imshow(picture, cmap="gray", vmin=-limit if signed else 0, vmax=limit if signed else 255)
        axis.set_title(title, family="monospace", size=8)
        axis.axis("off")
    return figure
