"""Images larger than memory: an operation or a whole network, tile by tile, with the values of the whole image.

`tiling` says for each tile where to read, what of that is the image's border, and where to write; `run` does it all,
from anything that gives arrays for slices (NumPy, `numpy.memmap`, zarr, h5py) to anything that takes them.
"""

from __future__ import annotations

from fastconv.shown import shows
from fastconv.tiles.layers import TilingError
from fastconv.tiles.running import run
from fastconv.tiles.tiled import Tile, Tiling, tiling

__all__ = ["Tile", "Tiling", "TilingError", "run", "tiling"]
__dir__ = shows(__name__)
