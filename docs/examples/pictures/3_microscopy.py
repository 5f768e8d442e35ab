"""
A microscopy stack in a file
============================

Stacks of a microscope are files that memory may not hold. Filters read memory-mapped files slab by slab and write to
others: the memory that this takes does not grow with the stack. The stack here is drawn: cells with nuclei, counted
photon by photon.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from fastconv import ndimage

folder = tempfile.TemporaryDirectory()
path = Path(folder.name)
shape = 96, 256, 320  # slices, rows, columns

# %%
# Each cell is a wide blur of a point, its nucleus a narrow one.

rng = np.random.default_rng(0)
places = rng.uniform((0, 0, 0), shape, (60, 3)).astype(int)
points = np.zeros(shape, np.float32)
points[tuple(places.T)] = 1
light = np.full(shape, 10, np.float32)
for brightness, spread in ((60, (6, 8, 8)), (90, (2.5, 3.5, 3.5))):
    blurred = ndimage.gaussian_filter(points, spread, mode="constant")
    light += brightness * (2 * np.pi) ** 1.5 * np.prod(spread) * blurred
np.save(path / "stack.npy", rng.poisson(light).astype(np.uint16))

# %%
# Smoothed in three dimensions, from file to file; ``progress=`` is called after each slab, or shows a line. Integers
# are rounded once, at the end (``saturate=True``).

raw = np.load(path / "stack.npy", mmap_mode="r")
smooth = np.lib.format.open_memmap(path / "smooth.npy", "w+", np.uint16, shape)
done = []
ndimage.gaussian_filter(
    raw,
    (1, 1.5, 1.5),
    output=smooth,
    saturate=True,
    progress=lambda count, total: done.append((count, total)),
)
print("slabs:", done)

# %%
# Nuclei stand out of the background, which is what a wide blur leaves; an opening, slice by slice (``axes=(1, 2)``),
# takes single bright pixels away.

background = ndimage.gaussian_filter(np.asarray(smooth, np.float32), (2, 20, 20))
nuclei = ndimage.grey_opening(smooth, 5, axes=(1, 2)) - background
spots = (ndimage.maximum_filter(nuclei, (15, 17, 17)) == nuclei) & (nuclei > 60)
print(f"{spots.sum()} nuclei of {len(places)}, some of which touch")

figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.2))
middle = shape[0] // 2
pictures = {
    "one slice": raw[middle],
    "smoothed": smooth[middle],
    "brightest of all slices": smooth.max(axis=0),
}
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture, cmap="viridis", vmax=150)
    axis.set_title(title)
    axis.axis("off")
found = np.nonzero(spots)
axes[2].scatter(found[2], found[1], s=40, facecolors="none", edgecolors="white", linewidths=0.8)
plt.show()
