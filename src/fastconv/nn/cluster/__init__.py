"""Data-parallel training: each worker computes the gradient of its share of a batch, and one reduction adds them up.

`step_on` gives `training/loop.py` what computes a step: on the workers of a `distributed.Client` (`on_dask.py`), or
among the processes of a communicator of mpi4py (`on_mpi.py`). What a worker does is the same (`shares.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.first_use import importing
from fastconv.nn.cluster.on_mpi import MpiStep
from fastconv.nn.training.loop import Here


def step_on(cluster: Any, feed: Any, synchronise: bool) -> Callable[..., Any]:
    """What makes the object that computes steps.

    Parameters
    ----------
    cluster : distributed.Client, communicator, or None
        None: this process.
    feed : object
        What `Module.fit` is given as `x`.
    synchronise : bool
    """
    if cluster is None:
        return Here
    shards = getattr(feed, "shards", 1)
    if type(cluster).__module__.split(".")[0] == "distributed" and hasattr(cluster, "scatter"):
        with importing:
            from fastconv.nn.cluster.on_dask import DaskStep

        if cluster.asynchronous:
            raise ValueError("fit: cluster is an asynchronous client, but needs one that waits")
        return lambda net, loss, metrics, debug: DaskStep(
            cluster, net, loss, metrics, debug, feed, shards, synchronise
        )
    if all(hasattr(cluster, name) for name in ("Allreduce", "allgather", "bcast", "Get_rank", "Get_size")):
        return lambda net, loss, metrics, debug: MpiStep(
            cluster, net, loss, metrics, debug, feed, shards, synchronise
        )
    raise TypeError(
        f"fit: cluster is {type(cluster).__name__}, but needs a distributed.Client or a communicator of mpi4py"
    )
