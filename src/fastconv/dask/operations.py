"""The functions of `fastconv` that can be computed chunk by chunk, for dask arrays."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dask.array as da

from fastconv.dask.applied import apply
from fastconv.ops.table import OPERATIONS
from fastconv.tiles.operations import TILED


def _on_chunks(name: str) -> Callable[..., Any]:
    function = OPERATIONS[name].function
    signature = inspect.signature(function)

    def on_chunks(x: Any, *arguments: Any, **named: Any) -> Any:
        bound = signature.bind(x, *arguments, **named).arguments
        _, *given = bound.items()
        for key, value in given:
            if isinstance(value, da.Array):
                raise TypeError(f"fastconv.dask.{name}: {key} is a dask array, but needs to be in memory")
        return apply(functools.partial(function, **dict(given)), x)

    on_chunks.__name__ = on_chunks.__qualname__ = name
    on_chunks.__module__ = "fastconv.dask"
    on_chunks.__signature__ = signature  # type: ignore[attr-defined]
    on_chunks.__doc__ = f"`fastconv.{name}` of a dask array; see `fastconv.dask` and `apply`."
    return on_chunks


FUNCTIONS: dict[str, Callable[..., Any]] = {name: _on_chunks(name) for name in TILED}
