"""
A frame of a telescope with NaN
===============================

Dead pixels, cosmic rays and saturated stars are marked with NaN. A sum with a NaN in it is NaN: a blur makes large
holes of small ones. ``nan_policy="interpolate"`` takes the mean of the pixels that are there: normalised convolution,
as that of ``astropy.convolution``. The middle of a hole that is larger than the window stays one.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage import data

from fastconv import ndimage

sky = data.hubble_deep_field().mean(axis=2)[:400, :600]

# %%
# Two dead columns, a block, and one pixel in a thousand.

rng = np.random.default_rng(0)
missing = rng.random(sky.shape) < 0.001
missing[:, 200:203] = True
missing[150:170, 350:372] = True
frame = np.where(missing, np.nan, sky)

spread = ndimage.gaussian_filter(frame, 2)
zeros = ndimage.gaussian_filter(frame, 2, nan_policy="omit")
made_up = ndimage.gaussian_filter(frame, 2, nan_policy="interpolate")
whole = ndimage.gaussian_filter(sky, 2)

figure, axes = plt.subplots(2, 2, figsize=(9, 6.2))
shown = {
    "the frame": frame,
    'nan_policy="propagate"': spread,
    'nan_policy="omit"': zeros,
    'nan_policy="interpolate"': made_up,
}
for axis, (title, picture) in zip(axes.flat, shown.items(), strict=True):
    colours = plt.get_cmap("magma").with_extremes(bad="#3f9b62")
    axis.imshow(picture, cmap=colours, vmin=0, vmax=120)
    axis.set_title(title, family="monospace")
    axis.axis("off")
plt.show()

for title, picture in (("propagate", spread), ("omit", zeros), ("interpolate", made_up)):
    error = np.abs(picture - whole)
    print(f"{title:>11}: {np.isnan(picture).mean():6.1%} missing, error {np.nanmean(error):.2f} in the mean")

# %%
# Only windows that hold a missing pixel are changed: everything else has the bits of the filter without NaN.

touched = np.isnan(spread)
assert np.array_equal(made_up[~touched], spread[~touched])

# %%
# A masked array says the same of every dtype, integers too. Its result is masked where no pixel is in the window.

counts = np.ma.array(sky.astype(np.uint16), mask=missing)
smooth = ndimage.uniform_filter(counts, 5, nan_policy="interpolate")
print(type(smooth).__name__, smooth.dtype, "with", smooth.mask.sum(), "masked pixels of", missing.sum())

# %%
# And the difference of two such blurs finds what has the size of a galaxy.

galaxies = made_up - ndimage.gaussian_filter(frame, 8, nan_policy="interpolate")
peaks = (ndimage.maximum_filter(galaxies, 15) == galaxies) & (galaxies > 20)
figure, axis = plt.subplots(figsize=(9, 5.4))
axis.imshow(galaxies, cmap="magma", vmin=-5, vmax=60)
rows, columns = np.nonzero(peaks)
axis.scatter(columns, rows, s=60, facecolors="none", edgecolors="#5aa7dc")
axis.set_title(f"{len(rows)} spots")
axis.axis("off")
plt.show()
