"""Arrays of samples, or tuples of such arrays, taken in batches. Used by `loop.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastconv.typing import Array


def arrays(op: str, name: str, value: Any) -> Any:
    """An array, or a tuple of arrays with as many samples each."""
    if isinstance(value, (tuple, list)) and value and all(hasattr(part, "shape") for part in value):
        parts = tuple(np.asarray(part) for part in value)
    else:
        parts = (np.asarray(value),)
    for part in parts:
        if not part.ndim or part.dtype.kind not in "biuf":
            raise TypeError(
                f"{op}: {name} has shape {part.shape} and dtype {part.dtype}, but needs samples of numbers"
            )
        if len(part) != len(parts[0]):
            raise ValueError(f"{op}: {name} has arrays of {len(parts[0])} and {len(part)} samples")
    return parts if isinstance(value, (tuple, list)) and len(parts) > 1 else parts[0]  # pyright: ignore  (not empty)


def count(value: Any) -> int:
    """How many samples there are."""
    if hasattr(value, "samples"):  # they are elsewhere
        return int(value.samples)
    return len(value[0]) if isinstance(value, tuple) else len(value)


def take(value: Any, places: Any) -> Any:
    """Some of the samples."""
    return tuple(part[places] for part in value) if isinstance(value, tuple) else value[places]


def called(net: Any, x: Any) -> Any:
    """The network with one input, or several."""
    return net(*x) if isinstance(x, tuple) else net(x)


def slices(samples: int, size: int) -> Iterator[slice]:
    """One after the other; the last may be shorter."""
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def parts_of(samples: int, count: int) -> list[slice]:
    """So many parts, as even as can be; some are empty where there are fewer samples."""
    ends = [samples * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def same_count(op: str, x: Any, y: Any) -> None:
    if count(x) != count(y):
        raise ValueError(f"{op}: x has {count(x)} samples, but y has {count(y)}")
    if not count(x):
        raise ValueError(f"{op}: x has no samples")


def joined(results: list[Any]) -> Any:
    """The results of batches as one."""
    if isinstance(results[0], tuple):
        return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))
    whole: Array = np.concatenate(results)
    return whole
