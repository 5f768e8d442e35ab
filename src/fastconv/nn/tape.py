"""The tape: records operations as they are computed, and walks back over them for gradients.

Used by `gradients.py`. What an entry keeps is freed as soon as its gradient has been taken, and where several readers
give a gradient, theirs are added in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.scope import SCOPE
from fastconv.nn.traced import Traced
from fastconv.typing import Array


class Gradient:
    """What a value's gradient is added up in. Entries of the tape hold these, so that values that nobody reads go."""

    __slots__ = ("array", "dtype", "owned", "shape")

    def __init__(self, value: Array) -> None:
        self.shape, self.dtype = value.shape, value.dtype
        self.array: Any = None
        self.owned = False  # whether the array's memory is nobody else's

    def receive(self, part: Array, alone: bool = False) -> None:
        """Add a part; `alone`: nobody else has it, so that the next may be added to it in place."""
        if part.shape != self.shape:
            raise AssertionError(f"a gradient of shape {part.shape} for a value of {self.shape}")
        if self.array is None:
            self.array, self.owned = (
                (part, alone) if part.dtype == self.dtype else (part.astype(self.dtype), True)
            )
        elif self.owned:
            self.array += part
        else:
            self.array, self.owned = self.array + part, True


class Variable(Traced):
    """An array that a gradient is wanted of, or that was computed from one."""

    __slots__ = ("gradient", "value")

    def __init__(self, value: Array) -> None:
        self.value = value
        self.gradient = Gradient(value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def item(self) -> float:
        return float(self.value)

    def __repr__(self) -> str:
        return f"<Variable {self.value.dtype} {self.value.shape}>"


class Tape:
    """Records what is computed from the arrays that it watches.

    Parameters
    ----------
    watched : iterable of ndarray
        Parameters of a network: layers get variables in their place.
    where : callable, optional
        Says in which layer an operation is: then every value and gradient is checked, and the first that is not
        finite ends in `FloatingPointError`.
    """

    def __init__(self, watched: Iterable[Array] = (), where: Callable[[], str] | None = None) -> None:
        self._where = where
        self.has_made = False  # whether a layer made parameters meanwhile
        self._watched = {id(array): Variable(array) for array in watched}
        # Where it was, the gradients of the inputs, None for those without, and that of the result.
        self._entries: list[tuple[str, Pullback, Sequence[Gradient | None], Gradient]] = []

    def watch(self, array: Array) -> Variable:
        """Have the gradient of an array computed, too."""
        return self._watched.setdefault(id(array), Variable(array))

    def lift(self, array: Array) -> Any:
        return self._watched.get(id(array), array)

    def made(self, array: Array) -> None:
        self.has_made = True
        self.watch(array)

    def gradient_of(self, array: Array) -> Array:
        """What `walk_back` found, zeros where nothing was computed from the array."""
        found = self._watched[id(array)].gradient.array
        return np.zeros_like(array) if found is None else found

    def apply(self, operation: Operation, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        needs = tuple(isinstance(value, Variable) for value in inputs)
        arrays = [value.value if isinstance(value, Variable) else value for value in inputs]
        if not any(needs):
            return operation.run(*arrays, **options)
        with_tracer, SCOPE.tracer = SCOPE.tracer, None
        try:
            result, pullback = operation.record(needs, *arrays, **options)
        finally:
            SCOPE.tracer = with_tracer
        variable, place = Variable(result), operation.name
        if self._where is not None:
            place = f"{operation.name} of {self._where()}"
            _check_finite("the result", result, place)
        slots = [value.gradient if isinstance(value, Variable) else None for value in inputs]
        self._entries.append((place, pullback, slots, variable.gradient))
        return variable

    def walk_back(self, output: Variable, gradient: Array) -> None:
        """From the gradient of an output to those of all that is watched; the tape is empty afterwards."""
        before, SCOPE.tracer = SCOPE.tracer, None
        try:
            output.gradient.receive(gradient)
            while self._entries:
                place, pullback, inputs, made = self._entries.pop()
                slope, made.array = made.array, None
                if slope is None:
                    continue
                parts = pullback(slope)
                places = [*map(id, parts)]
                for value, part in zip(inputs, parts, strict=True):
                    if value is not None and part is not None:
                        if self._where is not None:
                            _check_finite("a gradient", part, place)
                        # What a pullback made, not what it was given, a view of that, or one array for two.
                        alone = part is not slope and part.base is None and places.count(id(part)) == 1
                        value.receive(part, alone)
        finally:
            SCOPE.tracer = before
            self._entries.clear()


def _check_finite(what: str, array: Array, place: str) -> None:
    if not np.isfinite(array).all():
        raise FloatingPointError(f"{place}: {what} is not finite ({np.sum(~np.isfinite(array))} numbers)")
