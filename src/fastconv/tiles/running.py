"""Computes all tiles of a result: reads, computes, writes, with a few threads, and remembers what is done."""

from __future__ import annotations

import contextvars
import os
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from threading import Lock
from time import monotonic
from typing import Any, SupportsIndex

import numpy as np

from fastconv.arguments import integer
from fastconv.progress import Progress
from fastconv.settings.threads import get_num_threads, num_threads
from fastconv.tiles.journal import Journal, fingerprint
from fastconv.tiles.processes import on_processes
from fastconv.tiles.tiled import Tile, Tiling, described, opened, read, tiling
from fastconv.typing import Array

_FLUSHED_EVERY = 1.0  # seconds

# Gives ``(key, function(shared, *arguments))`` for an iterator of ``(key, arguments)``, taking a few at a time.
Elsewhere = Callable[
    [Callable[..., Any], Any, Iterator[tuple[Any, tuple[Any, ...]]]], Iterator[tuple[Any, Any]]
]


def run(
    op: Any,
    source: Any,
    destination: Any,
    *,
    tile: Any = None,
    workers: SupportsIndex = 1,
    processes: bool = False,
    progress: bool | Callable[[int, int], object] = False,
    journal: str | os.PathLike[str] | None = None,
    algorithm: str | None = None,
) -> None:
    """Compute an operation or a network on an image of any size, tile by tile.

    Arrays of at most ``workers * Tiling.memory`` bytes live at a time; besides there are the workspaces of the kernels,
    a few MB for each thread, and what `fastconv.get_cache_size` lets be kept for later results. The
    values are those of the whole image to rounding; with ``algorithm="direct"``, here for a network or as an argument
    of the operation, those of convolutions in every bit.

    Parameters
    ----------
    op : callable
        As for `tiling`.
    source, destination : array_like
        What has a shape and a dtype and gives, or takes, an array for a tuple of slices: a NumPy array, a
        `numpy.memmap`, arrays of zarr and h5py. The destination has the shape of the result; it is written to from one
        thread at a time, and nowhere but where a tile belongs.
    tile : int or tuple of int, optional
        Output pixels of a tile, as for `tiling`; by default as there, less where memory is short, of a destination
        that has `chunks` whole ones. A journal is for one size: say it where a run may go on on another machine.
    workers : int
        Tiles that are computed at a time, each by a share of the threads of `fastconv.get_num_threads`.
    processes : bool
        Whether workers are processes, for operations that hold Python's lock (steps of a network that run in Python);
        a script needs ``if __name__ == "__main__":`` then. This process reads and writes, and sends them their tiles;
        the tile of one that dies is repeated. It takes a copy of the weights and about a second to begin with for each.
    progress : bool or callable
        True for a line on standard error; or a function that is called with how many tiles are done, and of how many.
    journal : path, optional
        A file, made if need be, that remembers which tiles are done: a run with the same journal goes on where an
        earlier one stopped, however that ended, and does nothing where it was finished. The destination has to be on
        disk then; what has `chunks` (zarr) is written in whole ones.
    algorithm : str, optional
        As for `tiling`.

    Raises
    ------
    TilingError
        If a layer cannot be computed tile by tile; the message names it.
    ValueError, TypeError
        If shapes or dtypes do not fit, the destination overlaps the source, or the journal is that of another run.

    Examples
    --------
    >>> import functools, fastconv, numpy as np
    >>> image = np.arange(48, dtype=np.float32).reshape(1, 6, 8)
    >>> half = np.empty((1, 3, 4), np.float32)
    >>> fastconv.tiles.run(functools.partial(fastconv.max_pool2d, kernel_size=2), image, half, tile=2)
    >>> half[0, 0]
    array([ 9., 11., 13., 15.], dtype=float32)
    """
    workers = integer("tiles.run", "workers", workers, 1)
    threads = max(1, get_num_threads() // workers)

    def in_processes(function: Any, shared: Any, tasks: Any) -> Any:
        return on_processes(function, shared, tasks, workers, threads)

    elsewhere = in_processes if processes else None
    run_on(elsewhere, workers, op, source, destination, tile, progress, journal, algorithm)


def run_on(
    elsewhere: Elsewhere | None,
    workers: int,
    op: Any,
    source: Any,
    destination: Any,
    tile: Any,
    progress: bool | Callable[[int, int], object],
    journal: str | os.PathLike[str] | None,
    algorithm: str | None,
) -> None:
    """`run`, in threads of this process or elsewhere."""
    source, destination = sliceable("source", source), sliceable("destination", destination)
    chunks, op = _chunks(destination), opened(op, tuple(source.shape))
    made = tiling(op, source.shape, tile, dtype=source.dtype, algorithm=algorithm)
    if tile is None and chunks is not None:
        made = tiling(op, source.shape, _whole_chunks(made, chunks), dtype=source.dtype, algorithm=algorithm)
    _check(made, source, destination, chunks if journal is not None else None)
    if journal is None:
        _Run(made, source, destination, None, workers, elsewhere).all(progress)
        return
    identity = fingerprint(described(op), made.input_shape, str(source.dtype), made.tile, algorithm)
    with closing(Journal(journal, identity, len(made))) as kept:
        _Run(made, source, destination, kept, workers, elsewhere).all(progress)


def sliceable(name: str, array: Any) -> Any:
    if not all(hasattr(array, attribute) for attribute in ("shape", "dtype", "__getitem__")):
        raise TypeError(f"tiles.run: {name} is {type(array).__name__}, but needs a shape, a dtype and slices")
    return array


def _chunks(destination: Any) -> tuple[int, ...] | None:
    chunks = getattr(destination, "chunks", None)
    whole = isinstance(chunks, tuple) and all(isinstance(size, int) for size in chunks)
    return chunks if whole else None


def _whole_chunks(made: Tiling, chunks: tuple[int, ...]) -> tuple[int, ...]:
    """About as large as the usual tile."""
    return tuple(-(-t // chunks[axis]) * chunks[axis] for t, axis in zip(made.tile, made.axes, strict=True))


def _check(made: Tiling, source: Any, destination: Any, chunks: tuple[int, ...] | None) -> None:
    op = "tiles.run"
    if tuple(destination.shape) != made.output_shape:
        raise ValueError(f"{op}: destination has shape {destination.shape}, but needs {made.output_shape}")
    if not np.can_cast(made.dtype, destination.dtype, "same_kind"):
        raise TypeError(f"{op}: destination is {destination.dtype}, but the result is {made.dtype}")
    if isinstance(destination, np.ndarray) and not destination.flags.writeable:
        raise ValueError(f"{op}: destination cannot be written to")
    if _overlap(source, destination):
        raise ValueError(f"{op}: destination overlaps the source")
    if chunks is not None:  # one that is half written when the run is killed must not hold another tile
        pieces = {0: 1} if len(made.output_shape) > len(made.axes) + 1 else {}
        pieces |= dict(zip(made.axes, made.tile, strict=True))
        for axis, tile in pieces.items():
            if tile % chunks[axis] and tile < destination.shape[axis]:
                raise ValueError(
                    f"{op}: tiles are of one image and {made.tile}, but with a journal they need to be of whole "
                    f"chunks of the destination, {chunks}"
                )


def _overlap(source: Any, destination: Any) -> bool:
    """As far as it can be told: of two mappings of one file, where they begin and end in it."""
    if source is destination:
        return True
    if not isinstance(source, np.ndarray) or not isinstance(destination, np.ndarray):
        return False
    if isinstance(source, np.memmap) and isinstance(destination, np.memmap):
        files, starts = [source.filename, destination.filename], (source.offset, destination.offset)
        ends = starts[0] + source.nbytes, starts[1] + destination.nbytes
        if None not in files and files[0] == files[1] and max(starts) < min(ends):
            return True
    return np.may_share_memory(source, destination)


def computed(made: Tiling, tile: Tile, block: Array) -> Array:
    """The values of a tile, of what was read for it."""
    return made.region([tile.write[axis] for axis in made.axes], lambda _: block)


class _Run:
    """One run. Tiles are counted as done when they are written, and told to the journal when that is flushed."""

    def __init__(
        self,
        made: Tiling,
        source: Any,
        destination: Any,
        journal: Journal | None,
        workers: int,
        elsewhere: Elsewhere | None,
    ) -> None:
        self._elsewhere = elsewhere
        self._tiling, self._source, self._destination = made, source, destination
        self._journal, self._workers = journal, workers
        self._threads = max(1, get_num_threads() // workers)
        self._lock, self._written, self._flushed = Lock(), list[int](), monotonic()

    def all(self, progress: bool | Callable[[int, int], object]) -> None:
        done = set() if self._journal is None else self._journal.done
        left = (self._tiling[number] for number in range(len(self._tiling)) if number not in done)
        tell = Progress(progress, len(done), len(self._tiling))
        try:
            with closing(self._results(left)) as results:
                for count, _ in enumerate(results, len(done) + 1):
                    tell(count)
        finally:
            self._remember(0.0)

    def _results(self, tiles: Iterator[Tile]) -> Generator[None, None, None]:
        if self._elsewhere is not None:
            tasks = ((tile, (tile, read(self._source, tile.read))) for tile in tiles)
            for tile, values in self._elsewhere(computed, self._tiling, tasks):
                self._write(tile, values)
                yield
            return
        if self._workers == 1:
            yield from map(self._one, tiles)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            running: set[Future[None]] = set()
            try:
                for tile in tiles:
                    if len(running) == self._workers:
                        finished, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in finished)
                    # The current backend and other settings are those of the caller.
                    running.add(pool.submit(contextvars.copy_context().run, self._one, tile))
                yield from (future.result() for future in running)
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, tile: Tile) -> None:
        with num_threads(self._threads):
            values = self._tiling.compute(tile, self._source)
        self._write(tile, values)

    def _write(self, tile: Tile, values: Array) -> None:
        with self._lock:  # neighbours may share a chunk, which is read, changed and written
            self._destination[tile.write] = values
            self._written.append(tile.number)
            self._remember(_FLUSHED_EVERY)

    def _remember(self, interval: float) -> None:
        if self._journal is None or not self._written or monotonic() - self._flushed < interval:
            return
        flush = getattr(self._destination, "flush", None) or getattr(
            getattr(self._destination, "file", None), "flush", None
        )
        if flush is not None:
            flush()
        self._journal.add(self._written)
        self._written, self._flushed = [], monotonic()
