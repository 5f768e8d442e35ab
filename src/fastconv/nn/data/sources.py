"""Where samples come from: arrays in memory and in files, and folders of pictures. Read by `batches.py`, by threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastconv.arguments import choice, integer
from fastconv.first_use import importing
from fastconv.nn.data.reopened import lasting
from fastconv.problem.layout import channels_last, check_layout
from fastconv.typing import Array, Layout

# What Pillow opens, of which there is one name each in folders that people have.
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))


class Source(Protocol):
    """Samples that are read when they are asked for."""

    def __len__(self) -> int: ...

    def take(self, places: Array) -> tuple[Any, Any]: ...


class Arrays:
    """Samples along the first axis of arrays: of NumPy, mapped to memory, or what gives arrays for slices (zarr, h5py).

    Parameters
    ----------
    x : array_like
        Samples.
    y : array_like, optional
        What they should give, as many.

    Raises
    ------
    TypeError
        If one has no shape, dtype or slices.
    ValueError
        If there are not as many of both, or none.

    Notes
    -----
    What has `chunks` is read chunk by chunk, and a chunk once for all its samples in a batch. Batches in random order
    read nearly a chunk for each sample: let chunks hold few. In other processes memory-mapped files and HDF5's
    are opened again, by their paths, to be read.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.nn import data
    >>> source = data.Arrays(np.arange(12.0).reshape(6, 2), np.arange(6))
    >>> source.take(np.array([4, 1]))
    (array([[8., 9.],
           [2., 3.]]), array([4, 1]))
    """

    def __init__(self, x: Any, y: Any = None) -> None:
        for name, array in (("x", x), *([] if y is None else [("y", y)])):
            if not all(hasattr(array, attribute) for attribute in ("shape", "dtype", "__getitem__")):
                raise TypeError(
                    f"Arrays: {name} is {type(array).__name__}, but needs a shape, a dtype and slices"
                )
            if not array.shape:
                raise ValueError(f"Arrays: {name} has no axes, but needs samples along the first")
        if y is not None and x.shape[0] != y.shape[0]:
            raise ValueError(f"Arrays: x has {x.shape[0]} samples, but y has {y.shape[0]}")
        if not x.shape[0]:
            raise ValueError("Arrays: x has no samples")
        self.x, self.y = x, y

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def take(self, places: Array) -> tuple[Any, Any]:
        """The samples at these places, and what they should give.

        Parameters
        ----------
        places : (n,) ndarray of int

        Returns
        -------
        x : ndarray
        y : ndarray or None
        """
        return _rows(self.x, places), None if self.y is None else _rows(self.y, places)

    def __getstate__(self) -> dict[str, Any]:
        return {"x": lasting(self.x), "y": lasting(self.y)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x, self.y = (a.opened() if hasattr(a, "opened") else a for a in (state["x"], state["y"]))


def _rows(array: Any, places: Array) -> Array:
    """Some rows of an array that may be on disk: each chunk is read once."""
    if isinstance(array, np.ndarray):
        return np.asarray(array[places])
    chunks = getattr(array, "chunks", None)
    length = chunks[0] if chunks and isinstance(chunks[0], int) else 1
    result = np.empty((len(places), *array.shape[1:]), array.dtype)
    numbers = places // length
    for number in np.unique(numbers):
        wanted = np.flatnonzero(numbers == number)
        first, last = int(places[wanted].min()), int(places[wanted].max())
        result[wanted] = np.asarray(array[first : last + 1])[places[wanted] - first]
    return result


class Pictures:
    """Picture files, as arrays of one size.

    Parameters
    ----------
    where : path, or list of path
        A folder, or files. The folders in a folder are the classes; one without any has pictures without labels.
    size : int or (int, int)
        Height and width that all get.
    channels : {3, 1}
        Colours, or grey.
    fit : {"crop", "stretch"}
        Whether a picture of another shape loses its margins, or is stretched.
    mean, std : float or sequence of float
        ``(value / 255 - mean) / std``, of each channel or of all.
    layout : {"NCHW", "NHWC"}

    Attributes
    ----------
    paths : list of Path
    classes : list of str
        The names of the folders, in their order: the labels are places in it.

    Raises
    ------
    ValueError
        If an argument does not fit, there are no pictures, or, when it is read, a file is none.
    ImportError
        Without Pillow.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from fastconv.nn import data
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name, grey in (("cats", 0), ("dogs", 255)):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (20, 10), grey).save(folder / name / "one.png")
    >>> source = data.Pictures(folder, 8, channels=1)
    >>> x, y = source.take(np.array([1, 0]))
    >>> source.classes, x.shape, x[:, 0, 0, 0], y
    (['cats', 'dogs'], (2, 1, 8, 8), array([1., 0.], dtype=float32), array([1, 0]))
    """

    def __init__(
        self,
        where: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        size: int | tuple[int, int],
        *,
        channels: int = 3,
        fit: str = "crop",
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        layout: Layout = "NCHW",
    ) -> None:
        height, width = (size, size) if isinstance(size, int) else size
        self.size = (
            integer("Pictures", "size", height, 1),
            integer("Pictures", "size", width, 1),
        )
        if channels not in (1, 3):
            raise ValueError(f"Pictures: channels is {channels!r}, but needs 3 or 1")
        self.channels = channels
        self.crop = choice("Pictures", "fit", fit, ("crop", "stretch")) == "crop"
        self.layout: Layout = check_layout("Pictures", layout)
        self._mean, self._std = (
            _of_channels(name, v, channels) for name, v in (("mean", mean), ("std", std))
        )
        if not (self._std > 0).all():
            raise ValueError(f"Pictures: std is {std!r}, but needs numbers above 0")
        with importing:
            from fastconv import pictures
        self._pictures: Any = pictures
        self.classes: list[str] = []
        self._labels: Array | None = None
        if isinstance(where, (str, os.PathLike)):
            self._find(Path(where))
        else:
            self.paths = [Path(path) for path in where]
        if not self.paths:
            raise ValueError(f"Pictures: there are no pictures in {where!s}")

    def _find(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"Pictures: there is no folder {folder}")
        self.classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
        if not self.classes:
            self.paths = _in_folder(folder)
            return
        found = [_in_folder(folder / name) for name in self.classes]
        self.paths = [path for paths in found for path in paths]
        self._labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, places: Array) -> tuple[Any, Any]:
        """The pictures at these places, and their labels.

        Parameters
        ----------
        places : (n,) ndarray of int

        Returns
        -------
        x : (n, channels, height, width) or (n, height, width, channels) ndarray of float32
        y : (n,) ndarray of int, or None
        """
        pixels = np.empty((len(places), *self.size, self.channels), np.float32)
        for row, place in zip(pixels, places, strict=True):
            picture = self._pictures.open_picture(self.paths[place])
            row[...] = self._pictures.as_pixels(picture, self.channels, self.size, self.crop)
        pixels /= 255
        pixels -= self._mean
        pixels /= self._std
        x = pixels if channels_last(self.layout) else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return x, None if self._labels is None else self._labels[places]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pictures"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with importing:
            from fastconv import pictures
        self.__dict__.update(state, _pictures=pictures)


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _of_channels(name: str, value: Any, channels: int) -> Array:
    numbers = np.asarray(value, np.float32).reshape(-1)
    if numbers.size not in (1, channels):
        raise ValueError(f"Pictures: {name} has {numbers.size} numbers, but needs 1 or {channels}")
    return numbers
