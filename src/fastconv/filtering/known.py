"""What a filter's call leaves for others like it: the filter that it made, and its call of a kernel.

Reading arguments, and finding out which kernel does a filter and with what, takes longer than a small picture. Both
depend on no pixel: filters are kept by their arguments, calls of kernels by filter and by how arrays lie in memory.
Called by the filters of `fastconv.ndimage`. What is chosen for the process or a context, as the backend and the number
of threads, is never kept: a filter's call is one of the backend that is chosen then.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fastconv.backends import resolve
from fastconv.caches import Store
from fastconv.filtering.pictures import KernelCall
from fastconv.typing import Array, BackendName

P = ParamSpec("P")
F = TypeVar("F", bound="Filter")

_MOST_ITEMS = 64  # of a sequence, and
_MOST_BYTES = 1 << 13  # of an array, up to which it is quick to tell it from others


class Filter:
    """What all filters have whose arguments have been read.

    Attributes
    ----------
    run : callable
        ``run(x, out, cval)`` puts the filtered `x` into `out`. It tells the call of a kernel that did all of it, where
        there was a single one, else None.
    kept_as : object, optional
        Of a filter that is kept: calls of kernels are kept by it.
    """

    op: str
    run: Callable[[Array, Array, Any], KernelCall | None]
    cval: Any
    backend: BackendName | None
    kept_as: object | None = None

    def do(self, x: Array, out: Array) -> None:
        """The filtered `x`, of which no pixel is missing, into `out`: of the same shape, where the filter is kept."""
        if self.kept_as is None or np.may_share_memory(x, out):
            self.run(x, out, self.cval)
            return
        backend = resolve(self.op, self.backend).name
        key = (self.kept_as, backend, x.shape, x.strides, x.dtype, out.strides, out.dtype)
        found = _calls.find(key)
        if found is not None:
            found[1](x, out)
            return
        call = self.run(x, out, self.cval)
        if call is not None and call.again:
            _calls.keep(key, call)


_filters: Store[Filter] = Store(f"{__name__}.filters", 1 << 22, 256)
_calls: Store[KernelCall] = Store(f"{__name__}.calls", 1 << 22)


def kept_filters(make: Callable[P, F]) -> Callable[P, F]:
    """Keep the filters that a function makes of its arguments.

    Arguments that cannot be told apart quickly make a filter that is not kept. What users may change later is copied.
    """

    @functools.wraps(make)
    def made(*args: P.args, **named: P.kwargs) -> F:
        try:
            key = (make, len(args), *named.keys(), *_all_frozen(args), *_all_frozen(named.values()))
        except _Unknown:
            return make(*args, **named)
        found = _filters.find(key)
        if found is not None:
            return found[1]  # type: ignore[return-value]
        make_from: Callable[..., F] = make
        result = make_from(*map(_own, args), **{name: _own(value) for name, value in named.items()})
        if _filters.keep(key, result) and result.kept_as is None:  # else it is another one's, too
            result.kept_as = object()
        return result

    return made


class _Unknown(Exception):
    """An argument that cannot be told apart from others quickly."""


_DISTINCT = {int, str, type(None), np.ufunc}  # are keys themselves


def _all_frozen(values: Iterable[Any]) -> list[Hashable]:
    """Keys that differ wherever two values may make different filters: by type, too, and by the sign of a zero."""
    return [value if type(value) in _DISTINCT else _frozen(value) for value in values]


def _frozen(value: Any) -> Hashable:
    kind = type(value)
    if kind is float:
        return kind, value or repr(value)
    if kind is bool:
        return kind, value
    if kind is tuple or kind is list:
        if len(value) <= _MOST_ITEMS:
            return (kind, *_all_frozen(value))
    elif kind is np.ndarray:
        # Sums of weights are added up as these lie in memory.
        if value.dtype.kind in "biufc" and value.nbytes <= _MOST_BYTES and value.flags.forc:
            return kind, value.dtype, value.shape, value.strides, value.tobytes()
    elif kind is complex:
        return kind, repr(value)
    elif issubclass(kind, (np.number, np.bool_)):
        return kind, value.tobytes()
    raise _Unknown


def _own(value: Any) -> Any:
    """`value`, or a copy of what may be changed."""
    if type(value) is np.ndarray:
        return value.copy(order="K")
    if type(value) is tuple or type(value) is list:
        return type(value)(map(_own, value))
    return value
