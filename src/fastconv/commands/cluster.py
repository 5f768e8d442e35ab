"""The option ``--cluster``: a dask scheduler, and tasks on its workers. Called by `run_model.py`; needs distributed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastconv.commands.error import CommandError

_PATIENCE = "10s"
_RETRIES = 3


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of a scheduler.

    Raises
    ------
    CommandError
        If distributed is missing, or nobody answers.
    """
    try:
        import distributed
    except ImportError as error:
        raise CommandError(f"--cluster needs distributed: {error}") from None
    try:
        client = distributed.Client(address, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise CommandError(f"--cluster: there is no scheduler at {address} ({error})") from None
    with client:
        if not client.nthreads():
            raise CommandError(f"--cluster: the scheduler at {address} has no workers")
        yield client


def in_order(client: Any, function: Callable[..., Any], shared: Any, items: Sequence[Any]) -> Iterator[Any]:
    """What ``function(shared, item)`` gives for each, in their order; a few at a time are under way."""
    from fastconv.dask.tasks import on_cluster

    ready: dict[int, Any] = {}
    tasks = ((place, (item,)) for place, item in enumerate(items))
    expected = 0
    for place, result in on_cluster(client, _RETRIES, function, shared, tasks):
        ready[place] = result
        while expected in ready:
            yield ready.pop(expected)
            expected += 1
