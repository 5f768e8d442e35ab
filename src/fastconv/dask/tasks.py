"""Many tasks on the workers of a `distributed.Client`, a few at a time, with repeats; networks and tiles on these."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from itertools import islice
from typing import Any, SupportsIndex

import numpy as np

from fastconv.arguments import integer
from fastconv.backends import get_backend, use_backend
from fastconv.dask.threads import threads_of_a_task
from fastconv.first_use import importing
from fastconv.nn.data import Arrays
from fastconv.progress import Progress
from fastconv.settings.precision import get_precision, use_precision
from fastconv.settings.threads import num_threads
from fastconv.tiles.running import run_on
from fastconv.typing import Array

_FOR_EACH_THREAD = 2  # tasks, so that one is there when another is done
_ATTEMPTS = 5  # of sending what is shared, without any result between


def _task(shared: Any, function: Callable[..., Any], backend: Any, precision: Any, arguments: Any) -> Any:
    with use_backend(backend), use_precision(precision), num_threads(threads_of_a_task()):
        return function(shared, *arguments)


def on_cluster(
    client: Any, retries: int, function: Callable[..., Any], shared: Any, tasks: Iterator[tuple[Any, Any]]
) -> Iterator[tuple[Any, Any]]:
    """What ``function(shared, *arguments)`` gives for each task, as it is ready.

    Parameters
    ----------
    client : distributed.Client
    retries : int
        So often a task that fails is tried again; those of a worker that died are in any case.
    function, shared : object
        That can be pickled; `shared` is sent once to each worker.
    tasks : iterator of (key, arguments)

    Yields
    ------
    key, result
    """
    with importing:
        import distributed

        from fastconv.nn.cluster.on_dask import submit

    settings = function, get_backend(), get_precision()
    waiting: list[tuple[Any, Any]] = []
    failed = 0
    while True:
        client.wait_for_workers(1, timeout=60)
        (sent,) = client.scatter([shared], broadcast=True, hash=False)  # dask would take a tuple apart
        running: dict[Any, tuple[Any, Any]] = {}
        try:
            while True:
                room = _FOR_EACH_THREAD * max(1, sum(client.nthreads().values()))
                waiting += islice(tasks, max(0, room - len(running) - len(waiting)))
                while waiting:
                    future = submit(client, _task, sent, *settings, waiting[-1][1], retries=retries)
                    running[future] = waiting.pop()
                if not running:
                    return
                found: Any = distributed.wait(list(running), return_when="FIRST_COMPLETED")
                for future in found.done:
                    result = future.result()
                    key, _ = running.pop(future)
                    failed = 0
                    yield key, result
        except CancelledError:  # what is shared was lost, together with the only worker that had it
            failed += 1
            if failed == _ATTEMPTS:
                raise
            waiting += running.values()


def run(
    client: Any,
    op: Any,
    source: Any,
    destination: Any,
    *,
    tile: Any = None,
    retries: SupportsIndex = 3,
    progress: bool | Callable[[int, int], object] = False,
    journal: str | os.PathLike[str] | None = None,
    algorithm: str | None = None,
) -> None:
    """`fastconv.tiles.run` with the workers of a cluster.

    This process reads each tile's part of the source, sends it, and writes what comes back: the files need not be where
    the workers are, and two tiles for each of their threads are under way at a time.

    Parameters
    ----------
    client : distributed.Client
    op, source, destination, tile, progress, journal, algorithm
        As for `fastconv.tiles.run`.
    retries : int
        So often a tile that fails is tried again; those of a worker that died are in any case.

    Raises
    ------
    TilingError, ValueError, TypeError
        As `fastconv.tiles.run`.

    Examples
    --------
    >>> import functools, distributed, fastconv, fastconv.dask, numpy as np
    >>> image, smaller = np.ones((1, 8, 8), np.float32), np.empty((1, 4, 4), np.float32)
    >>> with distributed.Client(processes=False, dashboard_address=None) as client:
    ...     op = functools.partial(fastconv.max_pool2d, kernel_size=2)
    ...     fastconv.dask.run(client, op, image, smaller, tile=2)
    >>> smaller.min()
    np.float32(1.0)
    """
    again = integer("dask.run", "retries", retries, 0)
    elsewhere = functools.partial(on_cluster, client, again)
    run_on(elsewhere, 1, op, source, destination, tile, progress, journal, algorithm)


def _predicted(shared: tuple[Any, Any], places: Any, samples: Any) -> Array:
    network, source = shared
    x = source.take(places)[0] if samples is None else samples
    return np.asarray(network(x))


def predict(
    client: Any,
    network: Any,
    source: Any,
    destination: Any = None,
    *,
    batch_size: SupportsIndex = 32,
    retries: SupportsIndex = 3,
    progress: bool | Callable[[int, int], object] = False,
) -> Any:
    """A network's results for many samples, batch by batch on the workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
    network : callable
        A network of `fastconv.nn` whose parameters are made, an ONNX model, a program, or what else can be pickled and
        gives an array of results for one of samples.
    source : array_like or source of nn.data
        Samples along the first axis. Workers read pictures and arrays in files themselves, which they need to see under
        the same paths; arrays in memory are sent batch by batch.
    destination : array_like, optional
        What takes arrays for slices of its first axis: in place of one in memory.
    batch_size : int
    retries : int
        So often a batch that fails is tried again; those of a worker that died are in any case.
    progress : bool or callable
        True for a line on standard error; or a function that is called with how many batches are done, and of how many.

    Returns
    -------
    ndarray
        The results in the samples' order; or `destination`.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; what a network raises is raised here.

    Examples
    --------
    >>> import distributed, fastconv.dask, fastconv.nn as nn, numpy as np
    >>> x = np.ones((5, 1, 4, 4), np.float32)
    >>> net = nn.Sequential(nn.Flatten(), nn.Dense(3)).build(x.shape, rng=0)
    >>> with distributed.Client(processes=False, dashboard_address=None) as client:
    ...     y = fastconv.dask.predict(client, net, x, batch_size=2)
    >>> bool(np.allclose(y, net.predict(x), atol=1e-6))
    True
    """
    size, again = integer("predict", "batch_size", batch_size, 1), integer("predict", "retries", retries, 0)
    if not callable(network):
        raise TypeError(f"predict: network is {type(network).__name__}, but needs to be callable")
    given = source if hasattr(source, "take") and not hasattr(source, "dtype") else Arrays(source)
    is_here = isinstance(given, Arrays) and type(given.x) is np.ndarray
    total = len(given)
    slices = [slice(start, min(start + size, total)) for start in range(0, total, size)]

    def tasks() -> Iterator[tuple[slice, Any]]:
        for part in slices:
            places = np.arange(part.start, part.stop)
            yield part, (None, given.take(places)[0]) if is_here else (places, None)

    tell = Progress(progress, 0, len(slices))
    shared = network, None if is_here else given
    found = on_cluster(client, again, _predicted, shared, tasks())
    for count, (part, values) in enumerate(found, 1):
        if len(values) != part.stop - part.start:
            raise ValueError(f"predict: the network gave {values.shape} for {part.stop - part.start} samples")
        if destination is None:
            destination = np.empty((total, *values.shape[1:]), values.dtype)
        destination[part] = values
        tell(count)
    return destination
