"""Repeated calls on plain arrays go straight to the C kernels: with the same options, shapes and dtypes, all that
could be refused has been accepted before. Called by the public functions; where the ``cython`` backend is not in use,
nothing is ever remembered, and every call goes the long way.
"""

from __future__ import annotations

from typing import Any

from fastconv.backends import CHOSEN
from fastconv.caches import CACHES, Cache, constant
from fastconv.execution.memory import extension
from fastconv.settings.precision import PRECISION
from fastconv.settings.threads import LIMIT, THREADS
from fastconv.typing import Array, ArrayLike, BackendName

Given = tuple[object, ...]  # a call's options, as the user wrote them


@constant
def _settings() -> Any:
    """What calls depend on, as the extension reads it."""
    return extension().Settings(CHOSEN, PRECISION, THREADS, LIMIT)


@constant
def _memo() -> Any:
    """The memory of calls; None where the extension was not built."""
    engine = extension()
    if engine is None:
        return None
    memo = engine.Memo(_settings())
    CACHES.append(Cache(f"{__name__}._memo", memo.clear, memo.__len__))
    return memo


class NoCalls:
    """The calls of a plan that are known, where the extension was not built: none."""

    problem: Any = None  # of the last call

    def recall(self, *call: object) -> None:
        return None


def plan_calls() -> Any:
    """What a plan remembers of its calls."""
    engine = extension()
    return NoCalls() if engine is None else engine.PlanCalls(_settings())


def recall_conv(
    op: str,
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None,
    out: Array | None,
    given: Given,
    backend: BackendName | None,
) -> Array | None:
    """The result of a convolution that is known; None where it has to go the long way."""
    memo = _memo()
    if memo is None:
        return None
    return memo.recall_conv(op, x, weight, bias, out, given, backend)  # type: ignore[no-any-return]


def recall_pool(
    op: str, x: ArrayLike, out: Array | None, given: Given, backend: BackendName | None
) -> Array | None:
    """The result of a pooling that is known."""
    memo = _memo()
    if memo is None:
        return None
    return memo.recall_pool(op, x, out, given, backend)  # type: ignore[no-any-return]


def recall_rows(
    op: str,
    x: ArrayLike,
    weight: ArrayLike | None,
    bias: ArrayLike | None,
    out: Array | None,
    given: Given,
    backend: BackendName | None,
) -> Array | None:
    """The result of a softmax, or a normalisation of rows, that is known."""
    memo = _memo()
    if memo is None:
        return None
    return memo.recall_rows(op, x, weight, bias, out, given, backend)  # type: ignore[no-any-return]


def recall_gradients(
    op: str,
    x: ArrayLike,
    weight: ArrayLike,
    grad_output: ArrayLike,
    given: Given,
    backend: BackendName | None,
) -> tuple[Array | None, Array | None, Array | None] | None:
    """The gradients of a convolution that are known."""
    memo = _memo()
    if memo is None:
        return None
    return memo.recall_gradient(  # type: ignore[no-any-return]
        op, x, weight, grad_output, given, backend
    )


def remember(
    shortcut: Any, op: str, given: Given, backend: BackendName | None, *arrays: Array | None
) -> None:
    """Keep what one of a backend's shortcuts gave for calls like this one; None is an operand that was left out."""
    if shortcut is not None and len({array.dtype for array in arrays if array is not None}) == 1:
        _memo().remember(shortcut, op, given, backend, *arrays)
