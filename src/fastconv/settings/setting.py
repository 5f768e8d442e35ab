"""One mechanism for every process-wide choice: context-local, then set by a call, then the environment.

Used for the backend, the precision and the number of threads.
"""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, NamedTuple, ParamSpec, TypeVar

from fastconv.settings.warning import warn_once

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class Variable(NamedTuple, Generic[T]):
    """An environment variable.

    Attributes
    ----------
    name : str
    parse : callable
        Turns the text into a valid value or raises ValueError; gets the text and where it came from.
    foreign : bool
        Whether it belongs to others, too: then a text that cannot be read is told in a warning and passed over.
    """

    name: str
    parse: Callable[[str, str], T]
    foreign: bool = False


class Choice(Generic[T]):
    """The value of a ``with`` block.

    It is over where `Using` has gone without having seen the block's end: a signal may raise between any two steps of
    Python code, also after `__enter__` has done its work and before `__exit__` begins.
    """

    __slots__ = ("_ended", "_using", "value")

    def __init__(self, value: T, using: Using[T]) -> None:
        self.value = value
        self._using, self._ended = weakref.ref(using), False

    def belongs_to(self, using: Using[T]) -> bool:
        return self._using() is using

    def end(self) -> None:
        """The block has ended as it should; copies of its context, as tasks have, keep the value."""
        self._ended = True

    def holds(self) -> bool:
        return self._ended or self._using() is not None


class Choices(NamedTuple, Generic[T]):
    """The choice of the innermost block, and those of the blocks around it."""

    choice: Choice[T]
    around: Choices[T] | None


class Setting(Generic[T]):
    """A value with, strongest first: `using` (context-local), `set`, environment variables, a default.

    Parameters
    ----------
    variables
        Environment variables, strongest first; read once, at the first use.
    check
        Turns a user's value into a valid one or raises; gets the value and where it came from.
    default
        Computes the value where nobody chose one.
    """

    def __init__(
        self, variables: tuple[Variable[T], ...], check: Callable[[Any, str], T], default: Callable[[], T]
    ) -> None:
        self._variables, self._check, self._default = variables, check, default
        # What known calls read without a call of Python (`backends/cython/_shortcut.pxi`): the blocks of the context,
        # and what holds outside of them, once that is known.
        self.blocks: ContextVar[Choices[T] | None] = ContextVar(variables[0].name, default=None)
        self.outside: T | None = None

    def get(self) -> T:
        local = self.blocks.get()
        while local is not None:
            if local.choice.holds():
                return local.choice.value
            local = local.around
        if self.outside is None:
            self.outside = self._from_environment()
        return self.outside

    def _from_environment(self) -> T:
        for variable in self._variables:
            text = os.environ.get(variable.name, "").strip()
            if not text:
                continue
            try:
                return variable.parse(text, f"the environment variable {variable.name}")
            except ValueError as error:
                if not variable.foreign:
                    raise
                warn_once(f"{error}; fastconv goes on without it", RuntimeWarning)
        return self._default()

    def set(self, value: Any, caller: str) -> None:
        self.outside = self._check(value, caller)

    def using(self, value: Any, caller: str) -> Using[T]:
        return Using(self.blocks, self._check(value, caller))


class Using(Generic[T]):
    """Chooses a value within a ``with`` block or a decorated function; may be used again, and within itself."""

    def __init__(self, local: ContextVar[Choices[T] | None], value: T) -> None:
        self._local, self._value = local, value

    def __enter__(self) -> None:
        around = self._local.get()
        try:
            self._local.set(Choices(Choice(self._value, self), around))
        except BaseException:
            self._local.set(around)
            raise

    def __exit__(self, *exception: object) -> None:
        within, at = [], self._local.get()
        while at is not None and not at.choice.belongs_to(self):
            within.append(at.choice)
            at = at.around
        if at is None:  # entered in another context, as a generator may be that is closed in this one
            return
        rest = at.around
        for choice in reversed(within):  # the blocks of generators need not end in order
            rest = Choices(choice, rest)
        self._local.set(rest)
        at.choice.end()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """`function` with every call in a block of its own."""

        @functools.wraps(function)
        def decorated(*args: P.args, **kwargs: P.kwargs) -> R:
            with Using(self._local, self._value):
                return function(*args, **kwargs)

        return decorated
