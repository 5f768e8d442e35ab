"""One mechanism for every process-wide choice: context-local, then set by a call, then the environment.

Used for the backend, the precision and the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Setting(Generic[T]):
    """A value with, strongest first: `using` (context-local), `set`, environment variables, a default.

    Parameters
    ----------
    variables
        Names of environment variables, strongest first; read once, at the first use.
    check
        Turns a user's value into a valid one or raises; gets the value and where it came from.
    default
        Computes the value where nobody chose one.
    parse
        Turns an environment variable's text into a valid value or raises; by default `check` does.
    """

    def __init__(
        self,
        variables: tuple[str, ...],
        check: Callable[[Any, str], T],
        default: Callable[[], T],
        parse: Callable[[str, str], T] | None = None,
    ) -> None:
        self._parse = parse or check
        self._variables, self._check, self._default = variables, check, default
        self._local: ContextVar[T | None] = ContextVar(variables[0], default=None)
        self._chosen: T | None = None
        self._initial: T | None = None

    def get(self) -> T:
        local = self._local.get()
        if local is not None:
            return local
        if self._chosen is not None:
            return self._chosen
        if self._initial is None:
            self._initial = self._from_environment()
        return self._initial

    def _from_environment(self) -> T:
        for variable in self._variables:
            value = os.environ.get(variable, "").strip()
            if value:
                return self._parse(value, f"the environment variable {variable}")
        return self._default()

    def set(self, value: Any, caller: str) -> None:
        self._chosen = self._check(value, caller)

    @contextmanager
    def using(self, value: Any, caller: str) -> Iterator[None]:
        token = self._local.set(self._check(value, caller))
        try:
            yield
        finally:
            self._local.reset(token)
