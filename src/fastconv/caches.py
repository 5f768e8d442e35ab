"""What is kept of earlier calls: every cache joins the list here where it is made, so that `clear_cache` empties all.

The ground floor: settings, problems and backends are cached. Nothing here knows an array or another module.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Cache:
    """One of them: how it is emptied, and how much it holds (entries, or bytes where it is bounded by these)."""

    name: str
    clear: Callable[[], object]
    held: Callable[[], int]


CACHES: list[Cache] = []
CONSTANTS: list[Callable[..., Any]] = []


def clear_all() -> None:
    for cache in CACHES:
        cache.clear()


def constant(function: Callable[P, R]) -> Callable[P, R]:
    """What never changes while the program runs is worked out once and never forgotten; there is little of it."""
    known = functools.cache(function)
    CONSTANTS.append(known)
    return known  # type: ignore[return-value]


def kept(most: int = 1024, *, typed: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the results for the last so many arguments; for results that are small, whatever the sizes of arrays."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = functools.lru_cache(most, typed)(function)
        CACHES.append(Cache(_name(function), known.cache_clear, lambda: known.cache_info().currsize))
        return known  # type: ignore[return-value]

    return decorate


class Store(Generic[R]):
    """Results by their keys, so many of them and of so many bytes in all; where that is too little, the earlier ones
    are forgotten. One that would take more than half of it is not kept."""

    def __init__(self, name: str, most: int, count: int = 1024) -> None:
        self._most, self._count = most, count
        self._known: dict[Hashable, tuple[int, R]] = {}
        self._size = 0  # threads that keep results at the same moment may leave it a little off, until all go
        # How large a result is, and itself; None where it is not known.
        self.find: Callable[[Hashable], tuple[int, R] | None] = self._known.get
        CACHES.append(Cache(name, self.clear, self.held))

    def held(self) -> int:
        return sum(size for size, _ in list(self._known.values()))

    def clear(self) -> None:
        self._known.clear()
        self._size = 0

    def keep(self, key: Hashable, result: R) -> bool:
        size = bytes_of(result)
        if size > self._most // 2:
            return False
        if len(self._known) >= self._count or self._size + size > self._most:
            self.clear()
        self._known[key] = size, result
        self._size += size
        return True


def kept_up_to(most: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep results of so many bytes in all, for those that grow with the sizes of arrays."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known: Store[R] = Store(_name(function), most)

        @functools.wraps(function)
        def call(*args: P.args, **named: P.kwargs) -> R:
            key = (*args, *named.items())
            found = known.find(key)
            if found is not None:
                return found[1]
            result = function(*args, **named)
            known.keep(key, result)
            return result

        return call

    return decorate


def bytes_of(value: Any) -> int:
    """About how many a result takes: its arrays and numbers, in tuples, lists and dictionaries."""
    size = sys.getsizeof(value)
    if isinstance(value, dict):
        return size + sum(map(bytes_of, value.values()))
    if isinstance(value, (tuple, list)):
        return size + sum(map(bytes_of, value))
    return max(size, getattr(value, "nbytes", 0))


def _name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
