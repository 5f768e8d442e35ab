"""The operations of `fastconv` and whole networks on `dask.array`: lazily, chunk by chunk, right at every border.

Names and arguments are those of `fastconv`; the array is a dask array, in chunks of any size along the batch and the
spatial axes, smaller than a kernel too; its channels are in one chunk. A result has a chunk for each of the input's and
a task for each chunk; nothing is rechunked. What an operation cannot do chunk by chunk is refused as by
`fastconv.tiles`, on whose exact halos all of this stands. Needs the ``dask`` extra.

With a `distributed.Client`, `run` does what `fastconv.tiles.run` does, and `predict` sends samples through a network,
on its workers; `Module.fit` trains on them.

A task takes its share of the threads that `fastconv` may use: those of a `distributed` worker, or of the process,
divided by the number of tasks that run there at a time.

Examples
--------
>>> import dask.array as da, fastconv.dask, numpy as np
>>> x = da.ones((1, 1, 100, 100), chunks=(1, 1, 30, 50), dtype=np.float32)
>>> y = fastconv.dask.conv2d(x, np.ones((1, 1, 5, 5), np.float32), stride=2, padding=2)
>>> y
dask.array<conv2d, shape=(1, 1, 50, 50), dtype=float32, chunksize=(1, 1, 15, 25), chunktype=numpy.ndarray>
>>> float(y.sum().compute())
61009.0
"""

try:
    import dask.array as _array  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'fastconv.dask cannot be loaded: {error}; install it with: pip install ".[dask]" in the folder of fastconv\'s '
        "source"
    ) from error

from typing import TYPE_CHECKING

from fastconv.dask.applied import apply
from fastconv.dask.operations import FUNCTIONS
from fastconv.dask.tasks import predict, run
from fastconv.shown import shows

__all__ = ["apply", "predict", "run", *sorted(FUNCTIONS)]  # pyright: ignore[reportUnsupportedDunderAll]
__dir__ = shows(__name__)

globals().update(FUNCTIONS)

if TYPE_CHECKING:  # with the arguments of those that they do on chunks
    from typing import Any

    def __getattr__(name: str) -> Any: ...
