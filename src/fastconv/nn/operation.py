"""One operation of networks: its value, its gradients and its form as nodes of a graph. `operations/` has them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastconv.nn.scope import SCOPE
from fastconv.typing import Array

Pullback = Callable[[Array], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A function of arrays, which stand first; options are given by name.

    Attributes
    ----------
    run : callable
        Arrays and options to the result.
    record : callable
        ``(needs, *arrays, **options)``: the result, and the function that turns its gradient into those of the arrays;
        `needs` says of which. An array that may be missing is None, and so is its gradient.
    emit : callable or None
        ``(drawing, *symbols, **options)``: nodes of a graph (`symbols.py`). None where graphs cannot say it.
    """

    name: str
    run: Callable[..., Array]
    record: Callable[..., tuple[Array, Pullback]]
    emit: Callable[..., Any] | None = None

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Apply it to arrays, variables or symbols."""
        tracer = SCOPE.tracer
        if tracer is None:
            return self.run(*inputs, **options)
        return tracer.apply(self, inputs, options)
