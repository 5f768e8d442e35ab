"""What changes shapes, or takes and joins parts, and computes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.nn.operation import Operation, Pullback
from fastconv.nn.symbols import Drawing, Symbol, is_last
from fastconv.nn.traced import method
from fastconv.typing import Array


def _record_reshape(needs: tuple[bool, ...], x: Array, *, shape: Any) -> tuple[Array, Pullback]:
    before = x.shape
    return x.reshape(shape), lambda gradient: (gradient.reshape(before),)


def _emit_reshape(drawing: Drawing, x: Symbol, *, shape: Any) -> Symbol:
    """The first size may be that of a batch that is not known: it is copied."""
    first = x.shape[0]
    wanted = [
        0 if place == 0 and size == first and not isinstance(first, int) else size
        for place, size in enumerate(shape)
    ]
    if not all(isinstance(size, int) for size in wanted):
        raise ValueError(f"reshape to {tuple(shape)}: only the batch may be unknown, as the first axis")
    if not isinstance(first, int) and -1 in wanted and all(isinstance(size, int) for size in x.shape[1:]):
        rest = [size for size in wanted[1:] if size != -1]
        if wanted[0] == 0:
            whole = int(np.prod(x.shape[1:], dtype=np.int64)) // int(np.prod(rest, dtype=np.int64))
            wanted[wanted.index(-1)] = whole
    y = drawing.node("Reshape", [x, drawing.constant(wanted)])
    if y.shape[0] is None and wanted[0] == -1:
        before, after = (int(np.prod(s, dtype=np.int64)) for s in (x.shape[1:], wanted[1:]))
        y.value.shape = (first if before == after else None, *y.shape[1:])
    return y


RESHAPE = method("reshape")(
    Operation("reshape", lambda x, *, shape: x.reshape(shape), _record_reshape, _emit_reshape)
)


def _record_transpose(needs: tuple[bool, ...], x: Array, *, axes: Any) -> tuple[Array, Pullback]:
    back = tuple(int(place) for place in np.argsort([axis % x.ndim for axis in axes]))
    return x.transpose(axes), lambda gradient: (gradient.transpose(back),)


TRANSPOSE = method("transpose")(
    Operation(
        "transpose",
        lambda x, *, axes: x.transpose(axes),
        _record_transpose,
        lambda drawing, x, *, axes: drawing.node("Transpose", [x], perm=tuple(a % x.ndim for a in axes)),
    )
)


def _flat(x: Array, layout: Any) -> Array:
    if x.ndim > 2 and is_last({"layout": layout}):
        x = np.moveaxis(x, -1, 1)
    return x.reshape(len(x), -1) if len(x) else x.reshape(0, int(np.prod(x.shape[1:], dtype=np.int64)))


def _record_flatten(needs: tuple[bool, ...], x: Array, *, layout: Any) -> tuple[Array, Pullback]:
    moved = x.ndim > 2 and is_last({"layout": layout})
    shape = np.moveaxis(x, -1, 1).shape if moved else x.shape

    def back(gradient: Array) -> tuple[Any, ...]:
        images = gradient.reshape(shape)
        return (np.moveaxis(images, 1, -1) if moved else images,)

    return _flat(x, layout), back


def _emit_flatten(drawing: Drawing, x: Symbol, *, layout: Any) -> Symbol:
    return drawing.node("Flatten", [drawing.images(x, x.ndim > 2 and is_last({"layout": layout}))])


FLATTEN = Operation("flatten", lambda x, *, layout: _flat(x, layout), _record_flatten, _emit_flatten)


def _record_join(needs: tuple[bool, ...], *values: Array, axis: int) -> tuple[Array, Pullback]:
    stops = np.cumsum([value.shape[axis] for value in values])[:-1]

    def back(gradient: Array) -> tuple[Any, ...]:
        parts = np.split(gradient, stops, axis)
        return tuple(part if wanted else None for wanted, part in zip(needs, parts, strict=True))

    return np.concatenate(values, axis), back


def _emit_join(drawing: Drawing, *values: Any, axis: int) -> Symbol:
    like = next(value for value in values if isinstance(value, Symbol))
    return drawing.node("Concat", [drawing.symbol(v, like) for v in values], axis=axis % like.ndim)


CONCATENATE = Operation(
    "concatenate", lambda *values, axis: np.concatenate(values, axis), _record_join, _emit_join
)


def _record_getitem(needs: tuple[bool, ...], x: Array, *, index: Any) -> tuple[Array, Pullback]:
    shape, basic = x.shape, _is_basic(index)

    def back(gradient: Array) -> tuple[Any, ...]:
        result = np.zeros(shape, gradient.dtype)
        if basic:
            result[index] = gradient
        else:
            np.add.at(result, index, gradient)
        return (result,)

    return np.asarray(x[index]), back


def _is_basic(index: Any) -> bool:
    """Whether no element is taken twice."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts
    )


def _emit_getitem(drawing: Drawing, x: Symbol, *, index: Any) -> Symbol:
    parts = list(index) if isinstance(index, tuple) else [index]
    if not all(part is Ellipsis or isinstance(part, (int, np.integer, slice)) for part in parts):
        raise ValueError(f"x[{index!r}] has no form as a graph: integers, slices and ... have")
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        parts[place : place + 1] = [slice(None)] * (x.ndim - len(parts) + 1)
    starts, stops, axes, steps, gone = list[int](), list[int](), list[int](), list[int](), list[int]()
    for axis, part in enumerate(parts):
        if isinstance(part, slice):
            if part == slice(None):
                continue
            step = 1 if part.step is None else part.step
            start = (0 if step > 0 else 2**31 - 1) if part.start is None else part.start
            stop = (2**31 - 1 if step > 0 else -(2**31)) if part.stop is None else part.stop
        else:
            start, step = int(part), 1
            stop = start + 1 if start != -1 else 2**31 - 1
            gone.append(axis)
        for values, value in zip((starts, stops, axes, steps), (start, stop, axis, step), strict=True):
            values.append(value)
    y = x
    if axes:
        bounds = [drawing.constant(values) for values in (starts, stops, axes, steps)]
        y = drawing.node("Slice", [x, *bounds])
    return drawing.node("Squeeze", [y, drawing.constant(gone)]) if gone else y


GETITEM = method("getitem")(
    Operation("getitem", lambda x, *, index: x[index], _record_getitem, _emit_getitem)
)
