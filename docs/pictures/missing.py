"""What the three policies for missing pixels make of a photograph with holes. Drawn for docs/scipy.md."""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from fastconv import ndimage


def draw(theme):
    photograph = data.camera()[70:230, 160:320].astype(np.float32)
    holes = np.random.default_rng(0).random(photograph.shape) < 0.002
    holes[:, 40:42] = holes[100:106, 90:96] = True
    photograph[holes] = np.nan
    figure, axes = plt.subplots(1, 4, figsize=(8.4, 2.4))
    colours = plt.get_cmap("gray").with_extremes(bad=theme.orange)
    for axis, policy in zip(axes, (None, "propagate", "omit", "interpolate"), strict=True):
        picture = photograph if policy is None else ndimage.gaussian_filter(photograph, 2, nan_policy=policy)
        axis.imshow(picture, cmap=colours, vmin=0, vmax=255)
        axis.set_title("NaN in a photograph" if policy is None else f'"{policy}"', size=9)
        axis.axis("off")
    return figure
