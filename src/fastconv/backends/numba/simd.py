"""Register tiles written as LLVM vector code, which the loops around them in `gemm.py` call.

LLVM's vectoriser keeps accumulators in memory and checks pointers for overlap before every loop; a tile keeps
``rows x vectors`` of them in registers over all taps, and reaches the processor's peak.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target

from fastconv.backends.numba.compile import intrinsic


def _vector_bytes() -> int:
    """Width of the vectors of the processor that numba compiles for."""
    features = str(cpu_target.target_context.codegen().magic_tuple()[2])
    if "+avx512f" in features:
        return 64
    return 32 if "+avx2" in features else 16


VECTOR_BYTES = _vector_bytes()


def lanes(dtype: np.dtype[Any]) -> int:
    """Elements of a vector."""
    return VECTOR_BYTES // dtype.itemsize


class _Emitter:
    """Loads and stores on the arrays that an intrinsic is given."""

    def __init__(self, context: Any, builder: Any, arrays: dict[str, tuple[Any, Any]]) -> None:
        self.builder = builder
        self._data = {name: context.make_array(t)(context, builder, v).data for name, (t, v) in arrays.items()}
        self._element = {name: context.get_data_type(t.dtype) for name, (t, _) in arrays.items()}
        self._bytes = {name: t.dtype.bitwidth // 8 for name, (t, _) in arrays.items()}

    def scalar(self, name: str, index: Any) -> Any:
        return self.builder.load(self.builder.gep(self._data[name], [index]))

    def _vector_at(self, name: str, index: Any) -> Any:
        pointer = self.builder.gep(self._data[name], [index])
        return self.builder.bitcast(pointer, self._type(name).as_pointer())

    def _type(self, name: str) -> Any:
        return ir.VectorType(self._element[name], VECTOR_BYTES // self._bytes[name])

    def vector(self, name: str, index: Any) -> Any:
        return self.builder.load(self._vector_at(name, index), align=self._bytes[name])

    def store(self, name: str, index: Any, value: Any) -> None:
        self.builder.store(value, self._vector_at(name, index), align=self._bytes[name])

    def splat(self, name: str, index: Any) -> Any:
        """One element in all lanes."""
        kind = self._type(name)
        undefined, i32 = ir.Constant(kind, ir.Undefined), ir.IntType(32)
        first = self.builder.insert_element(undefined, self.scalar(name, index), ir.Constant(i32, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, kind.count), None))


def make_tile(rows: int, vectors: int, *, broadcast: bool) -> Any:
    """A function ``tile(a, a_rows, row, a_taps, b, column, b_taps, first, last, c, origin, pitch)``.

    For every row `i`, lane `j` and tap `t` from `first` to `last` it adds
    ``a[a_rows[row + i] + a_taps[t]] * b[column + b_taps[t] + j]`` to ``c[origin + i * pitch + j]``;
    without `broadcast` the elements of `a` follow the lanes too (``... + a_taps[t] + j``).
    """

    def tile(
        typing: Any, a: Any, a_rows: Any, row: Any, a_taps: Any, b: Any, column: Any, b_taps: Any,
        first: Any, last: Any, c: Any, origin: Any, pitch: Any,
    ) -> Any:  # fmt: skip
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            named = dict(zip(parameters, zip(signature.args, args, strict=True), strict=True))
            code = _Emitter(context, builder, {n: v for n, v in named.items() if isinstance(v[0], types.Array)})
            value = {n: v[1] for n, v in named.items()}

            def at(base: Any, offset: int) -> Any:
                return builder.add(base, ir.Constant(base.type, offset))

            width = VECTOR_BYTES // (signature.args[0].dtype.bitwidth // 8)
            starts = [code.scalar("a_rows", at(value["row"], i)) for i in range(rows)]
            places, sums = [], []
            place = value["origin"]
            for _ in range(rows):
                places.append([at(place, j * width) for j in range(vectors)])
                sums.append([cgutils.alloca_once_value(builder, code.vector("c", p)) for p in places[-1]])
                place = builder.add(place, value["pitch"])
            step = ir.Constant(value["first"].type, 1)
            with cgutils.for_range_slice(builder, value["first"], value["last"], step, inc=True) as (tap, _):
                offset = builder.add(value["column"], code.scalar("b_taps", tap))
                right = [code.vector("b", at(offset, j * width)) for j in range(vectors)]
                shift = code.scalar("a_taps", tap)
                for i in range(rows):
                    index = builder.add(starts[i], shift)
                    left = code.splat("a", index) if broadcast else code.vector("a", index)
                    for j in range(vectors):
                        product = builder.fmul(left, right[j], flags=("contract",))
                        total = builder.fadd(builder.load(sums[i][j]), product, flags=("contract",))
                        builder.store(total, sums[i][j])
            for i in range(rows):
                for j in range(vectors):
                    code.store("c", places[i][j], builder.load(sums[i][j]))
            return context.get_dummy_value()

        n = types.intp
        return types.void(a, a_rows, n, a_taps, b, n, b_taps, n, n, c, n, n), emit

    parameters = "a a_rows row a_taps b column b_taps first last c origin pitch".split()
    return intrinsic(tile)
