"""Register tiles and sweeps along rows, written as LLVM vector code.

LLVM's vectoriser keeps accumulators in memory, checks pointers for overlap before every loop, and does what fills no
vector element by element. A tile keeps ``rows x vectors`` of them in registers over all taps, and comes close to the
processor's peak; a sweep does the rest of a row at once, and is compiled sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from llvmlite import ir as _ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils as _cgutils
from numba.core.registry import cpu_target

from fastconv.backends.numba.compile import intrinsic

ir: Any = _ir
cgutils: Any = _cgutils


# Taps whose products are summed one after the other: one more addition for each vector of sums, and few in all.
_PART_TAPS = 32


def _vector_bytes() -> int:
    """Width of the vectors of the processor that numba compiles for."""
    context: Any = cpu_target.target_context
    features = str(context.codegen().magic_tuple()[2])
    if "+avx512f" in features:
        return 64
    return 32 if "+avx2" in features else 16


VECTOR_BYTES = _vector_bytes()


def lanes(dtype: np.dtype[Any]) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // dtype.itemsize


class _Code:
    """Writes loads and stores on the arrays that an intrinsic is given, by name."""

    def __init__(self, context: Any, builder: Any, arrays: dict[str, tuple[Any, Any]]) -> None:
        self.builder = builder
        self._data = {n: context.make_array(t)(context, builder, v).data for n, (t, v) in arrays.items()}
        self._element = {n: context.get_data_type(t.dtype) for n, (t, _) in arrays.items()}
        self._bytes = {n: t.dtype.bitwidth // 8 for n, (t, _) in arrays.items()}

    def add(self, base: Any, offset: int) -> Any:
        return self.builder.add(base, ir.Constant(base.type, offset))

    def scalar(self, name: str, index: Any) -> Any:
        return self.builder.load(self.builder.gep(self._data[name], [index]))

    def load(self, name: str, index: Any) -> Any:
        return self.builder.load(self._at(name, index), align=self._bytes[name])

    def store(self, name: str, index: Any, value: Any) -> None:
        self.builder.store(value, self._at(name, index), align=self._bytes[name])

    def load_some(self, name: str, index: Any, mask: Any) -> Any:
        """0 where `mask` is false."""
        pointer, zero = self._at(name, index), self.zero(name)
        return self._masked("load", name, zero.type, pointer, self._alignment(name), mask, zero)

    def store_some(self, name: str, index: Any, value: Any, mask: Any) -> None:
        pointer = self._at(name, index)
        self._masked("store", name, ir.VoidType(), value, pointer, self._alignment(name), mask)

    def get(self, name: str, index: Any, used: Any) -> Any:
        """Load so many lanes, or all (None)."""
        return self.load(name, index) if used is None else self.load_some(name, index, self.below(name, used))

    def put(self, name: str, index: Any, value: Any, used: Any) -> None:
        """Store so many lanes, or all (None)."""
        if used is None:
            self.store(name, index, value)
        else:
            self.store_some(name, index, value, self.below(name, used))

    def _masked(self, what: str, name: str, result: Any, *args: Any) -> Any:
        vector = self._vector(name)
        types_of = ir.FunctionType(result, [a.type for a in args])
        full_name = f"llvm.masked.{what}.v{vector.count}{vector.element.intrinsic_name}.p0"
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, types_of, full_name), args
        )

    def _alignment(self, name: str) -> Any:
        return ir.Constant(ir.IntType(32), self._bytes[name])

    def zero(self, name: str) -> Any:
        """A vector of zeros."""
        return ir.Constant(self._vector(name), None)

    def splat(self, name: str, index: Any) -> Any:
        """One element in all lanes."""
        return self.repeat(self.scalar(name, index), self._vector(name))

    def below(self, name: str, count: Any) -> Any:
        """For each lane of a vector of `name` whether its number is below `count`."""
        lanes = ir.VectorType(count.type, self._vector(name).count)
        return self.builder.icmp_signed(
            "<", ir.Constant(lanes, list(range(lanes.count))), self.repeat(count, lanes)
        )

    def repeat(self, value: Any, vector: Any) -> Any:
        """A number in all lanes."""
        i32 = ir.IntType(32)
        empty = ir.Constant(vector, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(i32, 0))
        lane_0 = ir.Constant(ir.VectorType(i32, vector.count), None)
        return self.builder.shuffle_vector(first, empty, lane_0)

    def _vector(self, name: str) -> Any:
        return ir.VectorType(self._element[name], VECTOR_BYTES // self._bytes[name])

    def _at(self, name: str, index: Any) -> Any:
        pointer = self.builder.gep(self._data[name], [index])
        return self.builder.bitcast(pointer, self._vector(name).as_pointer())


class _RegisterSums:
    """Vectors of sums in registers: rows x vectors of them, from 0."""

    def __init__(self, code: _Code, name: str, rows: int, vectors: int) -> None:
        self._code, self._name = code, name
        zero = code.zero(name)
        self._sums = [[self._slot(zero) for _ in range(vectors)] for _ in range(rows)]

    def add_product(self, row: int, vector: int, left: Any, right: Any) -> None:
        builder, slot = self._code.builder, self._sums[row][vector]
        product = builder.fmul(left, right, flags=("contract",))
        builder.store(builder.fadd(builder.load(slot), product, flags=("contract",)), slot)

    def in_parts(self, first: Any, last: Any, add_taps: Callable[[Any, Any], None]) -> None:
        """``add_taps(first, last)`` for `_PART_TAPS` taps at a time, whose sums are then added up."""
        builder, size = self._code.builder, ir.Constant(first.type, _PART_TAPS)
        zero = self._code.zero(self._name)
        totals = [[self._slot(zero) for _ in row] for row in self._sums]
        with cgutils.for_range_slice(builder, first, last, size, inc=True) as (part, _):
            end = builder.add(part, size)
            add_taps(part, builder.select(builder.icmp_signed("<", end, last), end, last))
            for total, slot in self._pairs(totals):
                builder.store(builder.fadd(builder.load(total), builder.load(slot)), total)
                builder.store(zero, slot)
        for total, slot in self._pairs(totals):
            builder.store(builder.load(total), slot)

    def value(self, row: int, vector: int) -> Any:
        return self._code.builder.load(self._sums[row][vector])

    def add_to(self, places: list[list[Any]]) -> None:
        for place, slot in self._pairs(places):
            total = self._code.builder.fadd(self._code.load(self._name, place), self._code.builder.load(slot))
            self._code.store(self._name, place, total)

    def _slot(self, value: Any) -> Any:
        return cgutils.alloca_once_value(self._code.builder, value)

    def _pairs(self, others: list[list[Any]]) -> Iterator[tuple[Any, Any]]:
        for row, slots in zip(others, self._sums, strict=True):
            yield from zip(row, slots, strict=True)


_PARAMETERS = (
    "a", "a_rows", "row", "a_taps", "b", "column", "b_taps", "first", "last", "c", "origin", "pitch",
)  # fmt: skip


def make_tile(rows: int, vectors: int, *, broadcast: bool, in_parts: bool = False) -> Any:
    """A function ``tile(a, a_rows, row, a_taps, b, column, b_taps, first, last, c, origin, pitch)``.

    For every row `i`, lane `j` and tap `t` from `first` to `last` it adds
    ``a[a_rows[row + i] + a_taps[t]] * b[column + b_taps[t] + j]`` to ``c[origin + i * pitch + j]``;
    without `broadcast` the elements of `a` follow the lanes too (``... + a_taps[t] + j``). The
    taps are summed by themselves before they are added to `c`; `in_parts` of `_PART_TAPS`, that errs less still.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        typed = dict(zip(_PARAMETERS, zip(signature.args, args, strict=True), strict=True))
        code = _Code(context, builder, {n: v for n, v in typed.items() if isinstance(v[0], types.Array)})
        value = {n: v for n, (_, v) in typed.items()}
        width = VECTOR_BYTES // (signature.args[0].dtype.bitwidth // 8)
        starts = [code.scalar("a_rows", code.add(value["row"], i)) for i in range(rows)]
        places = []
        place = value["origin"]
        for _ in range(rows):
            places.append([code.add(place, j * width) for j in range(vectors)])
            place = builder.add(place, value["pitch"])
        sums = _RegisterSums(code, "c", rows, vectors)

        def add_taps(first: Any, last: Any) -> None:
            one = ir.Constant(first.type, 1)
            with cgutils.for_range_slice(builder, first, last, one, inc=True) as (tap, _):
                offset = builder.add(value["column"], code.scalar("b_taps", tap))
                right = [code.load("b", code.add(offset, j * width)) for j in range(vectors)]
                shift = code.scalar("a_taps", tap)
                for i in range(rows):
                    index = builder.add(starts[i], shift)
                    left = code.splat("a", index) if broadcast else code.load("a", index)
                    for j in range(vectors):
                        sums.add_product(i, j, left, right[j])

        if in_parts:
            sums.in_parts(value["first"], value["last"], add_taps)
        else:
            add_taps(value["first"], value["last"])
        sums.add_to(places)
        return context.get_dummy_value()

    def tile(
        typing: Any, a: Any, a_rows: Any, row: Any, a_taps: Any, b: Any, column: Any, b_taps: Any,
        first: Any, last: Any, c: Any, origin: Any, pitch: Any,
    ) -> Any:  # fmt: skip
        n = types.intp
        return types.void(a, a_rows, n, a_taps, b, n, b_taps, n, n, c, n, n), emit

    return intrinsic(tile)


_DOT_PARAMETERS = (
    "a", "place", "a_rows", "row", "a_taps", "b", "start", "b_taps", "first", "last", "used", "c", "origin",
)  # fmt: skip


def make_dots(rows: int) -> Any:
    """A function ``dots(a, place, a_rows, row, a_taps, b, start, b_taps, first, last, used, c, origin)``.

    For every row `i` and lane `j` it sums over the taps `t` from `first` to `last`
    ``a[place + a_rows[row + i] + a_taps[t] + j] * b[start + b_taps[t] + j]``, and adds that to
    ``c[origin + i * lanes + j]``, in parts of `_PART_TAPS`. Lanes of `a` from `used` on count as 0, whatever is there.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        typed = dict(zip(_DOT_PARAMETERS, zip(signature.args, args, strict=True), strict=True))
        code = _Code(context, builder, {n: v for n, v in typed.items() if isinstance(v[0], types.Array)})
        value = {n: v for n, (_, v) in typed.items()}
        width = VECTOR_BYTES // (signature.args[0].dtype.bitwidth // 8)
        zero, mask = code.zero("a"), code.below("a", value["used"])
        starts = [
            builder.add(value["place"], code.scalar("a_rows", code.add(value["row"], i))) for i in range(rows)
        ]
        sums = _RegisterSums(code, "c", rows, 1)

        def add_taps(first: Any, last: Any) -> None:
            one = ir.Constant(first.type, 1)
            with cgutils.for_range_slice(builder, first, last, one, inc=True) as (tap, _):
                right = code.load("b", builder.add(value["start"], code.scalar("b_taps", tap)))
                shift = code.scalar("a_taps", tap)
                for i in range(rows):
                    left = builder.select(mask, code.load("a", builder.add(starts[i], shift)), zero)
                    sums.add_product(i, 0, left, right)

        sums.in_parts(value["first"], value["last"], add_taps)
        sums.add_to([[code.add(value["origin"], i * width)] for i in range(rows)])
        return context.get_dummy_value()

    def dots(
        typing: Any, a: Any, place: Any, a_rows: Any, row: Any, a_taps: Any, b: Any, start: Any, b_taps: Any,
        first: Any, last: Any, used: Any, c: Any, origin: Any,
    ) -> Any:  # fmt: skip
        n = types.intp
        return types.void(a, n, a_rows, n, a_taps, b, n, b_taps, n, n, n, c, n), emit

    return intrinsic(dots)


def make_sweep(combine: Callable[[Any, Any, Any, Any], Any], step: int) -> Any:
    """A function ``sweep(source, origin, count, target, start)``.

    It sets ``target[start + i]`` to ``combine(builder, dtype, target[start + i], source[origin + i * step])`` for
    ``i < count``. Both arrays have the same dtype.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, origin, count, target, start = args
        dtype = signature.args[0].dtype
        code = _Code(
            context, builder, {"source": (signature.args[0], source), "target": (signature.args[3], target)}
        )
        lanes = VECTOR_BYTES // (dtype.bitwidth // 8)
        zero, size = ir.Constant(count.type, 0), ir.Constant(count.type, lanes)

        def one_vector(i: Any, left: Any) -> None:
            """From `i` on; `left` are fewer than fill it, or None."""
            first = builder.add(origin, builder.mul(i, ir.Constant(i.type, step)))
            parts = []
            for part in range(step):
                index = code.add(first, part * lanes)
                if left is None and part == 0:
                    parts.append(code.load("source", index))
                else:
                    # Nothing is read behind the last element.
                    used = size if left is None else left
                    last = builder.sub(
                        builder.mul(used, ir.Constant(i.type, step)), ir.Constant(i.type, step - 1)
                    )
                    reach = builder.sub(last, ir.Constant(i.type, part * lanes))
                    parts.append(code.load_some("source", index, code.below("source", reach)))
            value = parts[0]
            if step > 1:
                order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(0, step * lanes, step)))
                value = builder.shuffle_vector(*parts, order)
            place = builder.add(start, i)
            if left is None:
                code.store("target", place, combine(builder, dtype, code.load("target", place), value))
            else:
                mask = code.below("target", left)
                before = code.load_some("target", place, mask)
                code.store_some("target", place, combine(builder, dtype, before, value), mask)

        rest = builder.srem(count, size)
        full = builder.sub(count, rest)
        with cgutils.for_range_slice(builder, zero, full, size, inc=True) as (i, _):
            one_vector(i, None)
        with builder.if_then(builder.icmp_signed(">", rest, zero)):
            one_vector(full, rest)
        return context.get_dummy_value()

    def sweep(typing: Any, source: Any, origin: Any, count: Any, target: Any, start: Any) -> Any:
        n = types.intp
        return types.void(source, n, n, target, n), emit

    return intrinsic(sweep)


_LINE_PARAMETERS = (
    "weights", "place", "pixels", "at", "taps", "first", "last", "initial", "count", "target", "start",
)  # fmt: skip


def make_line(vectors: int) -> Any:
    """A function ``line(weights, place, pixels, at, taps, first, last, initial, count, target, start)``.

    For ``i < count`` it sums ``weights[place + t] * pixels[at + taps[t] + i]`` over the taps `t` from `first` to
    `last`, and adds that to ``target[start + i]``; if `first` is 0 it puts the sum there, plus `initial`. Up to
    `vectors` whole vectors more of pixels are read, but not used.
    """

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        typed = dict(zip(_LINE_PARAMETERS, zip(signature.args, args, strict=True), strict=True))
        code = _Code(context, builder, {n: v for n, v in typed.items() if isinstance(v[0], types.Array)})
        value = {n: v for n, (_, v) in typed.items()}
        first, one = value["first"], ir.Constant(value["first"].type, 1)
        initial = code.repeat(value["initial"], code.zero("target").type)
        width = initial.type.count
        begins = builder.icmp_signed("==", first, ir.Constant(first.type, 0))

        def one_block(i: Any, used: Any) -> None:
            """The results from `i` on, of which only the first `used` are wanted, where that is not None."""
            sums = _RegisterSums(code, "target", 1, vectors)
            at = builder.add(value["at"], i)
            with cgutils.for_range_slice(builder, first, value["last"], one, inc=True) as (tap, _):
                offset = builder.add(at, code.scalar("taps", tap))
                weight = code.splat("weights", builder.add(value["place"], tap))
                for j in range(vectors):
                    sums.add_product(0, j, weight, code.load("pixels", code.add(offset, j * width)))
            for j in range(vectors):
                to = code.add(builder.add(value["start"], i), j * width)
                own = None if used is None else code.add(used, -j * width)
                before = cgutils.alloca_once_value(builder, initial)
                with builder.if_then(builder.not_(begins)):
                    builder.store(code.get("target", to, own), before)
                code.put("target", to, builder.fadd(builder.load(before), sums.value(0, j)), own)

        count = value["count"]
        block = ir.Constant(count.type, vectors * width)
        rest = builder.srem(count, block)
        whole = builder.sub(count, rest)
        with cgutils.for_range_slice(builder, ir.Constant(count.type, 0), whole, block, inc=True) as (i, _):
            one_block(i, None)
        with builder.if_then(builder.icmp_signed(">", rest, ir.Constant(count.type, 0))):
            one_block(whole, rest)
        return context.get_dummy_value()

    def line(
        typing: Any, weights: Any, place: Any, pixels: Any, at: Any, taps: Any, first: Any, last: Any,
        initial: Any, count: Any, target: Any, start: Any,
    ) -> Any:  # fmt: skip
        n = types.intp
        return types.void(weights, n, pixels, n, taps, n, n, target.dtype, n, target, n), emit

    return intrinsic(line)
