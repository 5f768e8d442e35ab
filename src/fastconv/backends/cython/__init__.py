"""The compiled backend: C kernels behind a thin Cython door (`_engine.pyx`)."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# Not `from fastconv.backends.cython import _engine`, which takes a missing extension for a circular import.
import fastconv.backends.cython._engine as _engine
from fastconv.backends.cython.filters import Filters
from fastconv.backends.cython.sizes import LAYOUTS, pixels, places, planes, pool_arguments
from fastconv.backends.protocol import Bounds, Segments, Update, Work
from fastconv.caches import kept
from fastconv.problem.convolution import SUMS, ConvProblem
from fastconv.problem.layout import image_sizes, plane_size
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem
from fastconv.settings.cache import get_cache_size
from fastconv.settings.threadpool import register
from fastconv.settings.threads import get_num_threads
from fastconv.typing import Array, BackendName, Layout, ThreadingName

# In the order of the enums of fastconv.h.
_DTYPES = {np.dtype(np.float32): 0, np.dtype(np.float64): 1}
ACTIVATIONS = {
    name: number
    for number, name in enumerate(
        (
            "linear",
            "relu",
            "clip",
            "leaky_relu",
            "sigmoid",
            "tanh",
            "silu",
            "hardswish",
            "gelu",
            "scaled_hardswish",
            "prelu",
        )
    )
}
_LINEAR = Activation("linear")
_KERNELS = tuple(name for name, _ in _engine.kernels())
_DIRECT = tuple(name for name, textbook in _engine.kernels() if textbook)


def recycled(size: int) -> Array:
    """So many bytes, from a pool of such that were given back."""
    return _engine.recycled((size,), np.uint8)


class ChosenKernel(NamedTuple):
    """A problem as the kernels see it, and the kernel that does it."""

    conv: _engine.Conv
    kernel: int


@kept()
def _choose(problem: ConvProblem, once: bool = False) -> ChosenKernel:
    """With `once`, the weights are prepared for one call alone."""
    conv = _conv(problem, once)
    if problem.algorithm is None:
        return ChosenKernel(conv, conv.choose())
    kernels = _candidates(problem, conv)
    if not kernels:
        raise ValueError(
            f"{problem.op}: algorithm is {problem.algorithm!r}, which cannot do a convolution of {problem.channels} "
            f"to {problem.filters} channels in {problem.groups} groups, kernel {problem.kernel}, stride "
            f"{problem.stride}, dilation {problem.dilation}, {problem.layout}, with precision {problem.precision!r}"
        )
    return ChosenKernel(conv, kernels[0])


def _candidates(problem: ConvProblem, conv: _engine.Conv) -> list[int]:
    """The kernels that the problem's algorithm allows and that accept it, by their predicted costs."""
    allowed = {None: _KERNELS, "direct": _DIRECT, SUMS: _DIRECT}.get(problem.algorithm, (problem.algorithm,))
    fits = conv.sums_alike if problem.algorithm == "direct" else conv.accepts
    kernels = [kernel for kernel, name in enumerate(_KERNELS) if name in allowed and fits(kernel)]
    return sorted(kernels, key=conv.cost)


@kept()
def _choose_gradient(problem: ConvProblem) -> ChosenKernel:
    """The kernel for the gradient of the weights."""
    conv = _conv(problem)
    return ChosenKernel(conv, conv.choose_gradient())


def _conv(problem: ConvProblem, once: bool = False) -> _engine.Conv:
    top, _, left, _ = problem.padding
    sizes = (
        problem.batch, problem.channels, *problem.size, problem.filters, *problem.kernel, *problem.stride, top, left,
        *problem.dilation, problem.groups, *problem.out_size,
    )  # fmt: skip
    dtype = _DTYPES.get(problem.dtype, 0)
    strict = problem.precision == "strict"
    return _engine.Conv(sizes, LAYOUTS[problem.layout], dtype, problem.transposed, strict, once)


class CythonBackend:
    name: BackendName = "cython"
    checks_positions = True
    lists_windows = False
    filters = Filters(_engine)

    @property
    def instruction_set(self) -> str:
        return INSTRUCTION_SET

    def algorithms(self) -> tuple[str, ...]:
        return ("direct", *_KERNELS)

    def algorithm(self, problem: ConvProblem) -> str:
        return _KERNELS[_choose(problem).kernel]

    def candidates(self, problem: ConvProblem) -> tuple[str, ...]:
        return tuple(_KERNELS[kernel] for kernel in _candidates(problem, _choose(problem).conv))

    def work(self, problem: ConvProblem, once: bool = False) -> Work:
        conv, kernel = _choose(problem, once)
        done = int(conv.flops(kernel)) or problem.flops
        return Work(_KERNELS[kernel], done, conv.weight_bytes(kernel), conv.cost(kernel))

    def transforms(self, problem: ConvProblem, once: bool = False) -> bool:
        return _KERNELS[_choose(problem, once).kernel] not in _DIRECT

    def is_even(self, problem: ConvProblem, x: Array, far: float) -> bool:
        return bool(_choose(problem).conv.is_even(x, far, get_num_threads()))

    def explain(self, problem: ConvProblem) -> str:
        threads = get_num_threads()
        conv, chosen = _choose(problem)
        operands = [problem.input_shape, problem.output_shape]
        size = problem.dtype.itemsize
        data = sum(int(np.prod(shape)) for shape in operands) * size
        _, done, weights, _ = self.work(problem)
        lines = [
            f"{'transposed ' if problem.transposed else ''}convolution {problem.input_shape} -> "
            f"{problem.output_shape}, kernel {problem.kernel}, {problem.layout}, {problem.dtype}",
            f"chosen kernel: {_KERNELS[chosen]}, instruction set {INSTRUCTION_SET}, {threads} thread(s)",
            f"FLOPs: {problem.flops:,}" + (f" (the kernel's: {done:,})" if done != problem.flops else ""),
            f"bytes: {data + weights:,} (images {data:,}, prepared weights {weights:,})",
            f"arithmetic intensity: {problem.flops / (data + weights):.1f} FLOPs per byte",
            f"workspace: {conv.workspace_bytes(chosen, threads):,} bytes per thread",
            "candidates (predicted cycles, where two threads share the work; error as a multiple of the direct sum's):",
        ]
        for kernel, name in enumerate(_KERNELS):
            verdict = "cannot do it"
            if conv.accepts(kernel):
                verdict = f"{conv.cost(kernel):,.0f}; {conv.error(kernel):g}"
            lines.append(f"  {name}: {verdict}")
        return "\n".join(lines)

    def weight_form(self, problem: ConvProblem) -> tuple[int, int]:
        conv, kernel = _choose(problem)
        return kernel, conv.weight_form(kernel)

    def prepares(self, problem: ConvProblem) -> bool:
        """Are weights packed for the problem's kernel, or ready as they are?"""
        conv, kernel = _choose(problem)
        return conv.prepares(kernel)

    def prepare(
        self,
        problem: ConvProblem,
        weight: Array,
        once: bool = False,
        planar: bool = False,
        allocate: Callable[[int], Array] = recycled,
    ) -> tuple[int, Array]:
        """The kernel, and the weights packed for it, in so many bytes as are asked for; `planar` ones are those of
        NCHW, whatever the layout."""
        conv, kernel = _choose(problem, once)
        packed = allocate(conv.weight_bytes(kernel))
        conv.prepare(kernel, weight, packed, get_num_threads(), planar)
        return kernel, packed

    def conv(
        self,
        problem: ConvProblem,
        x: Array,
        prepared: tuple[int, Array],
        bias: Array | None,
        residual: Array | None,
        activation: Activation | None,
        out: Array,
    ) -> None:
        threads = get_num_threads()
        name, a, b = activation or _LINEAR
        kernel, packed = prepared
        conv = _choose(problem).conv
        conv.run(kernel, x, packed, bias, residual, ACTIVATIONS[name], a, b, out, threads)

    def conv_weight_gradient(
        self, problem: ConvProblem, x: Array, grad_output: Array, out: Array, bias: Array | None
    ) -> None:
        conv, kernel = _choose_gradient(problem)
        conv.gradient(kernel, x, grad_output, out, bias, get_num_threads())

    def deform_conv(
        self,
        problem: ConvProblem,
        x: Array,
        offset: Array,
        mask: Array | None,
        weight: Array,
        bias: Array | None,
        out: Array,
    ) -> None:
        groups = offset.shape[1] // (2 * problem.kernel[0] * problem.kernel[1])
        _conv(problem).deform(x, offset, mask, groups, weight, bias, out, get_num_threads())

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        _conv(problem).unfold(x, out, get_num_threads())

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        _conv(problem).fold(columns, out, get_num_threads())

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        _engine.pool(*pool_arguments(problem), x, out, indices, uniforms, get_num_threads())

    def conv_shortcut(
        self,
        problem: ConvProblem,
        activation: Activation | None,
        shape: tuple[int, ...],
        once: bool,
        far: float = 0,
    ) -> _engine.ConvShortcut:
        name, a, b = activation or _LINEAR
        conv, kernel = _choose(problem, once)
        channels = problem.result_channels
        return _engine.ConvShortcut(
            conv, kernel, ACTIVATIONS[name], a, b, channels, shape, problem.dtype, far
        )

    def pool_shortcut(self, problem: PoolProblem, shape: tuple[int, ...]) -> _engine.PoolShortcut:
        return _engine.PoolShortcut(*pool_arguments(problem), shape, problem.dtype)

    def rows_shortcut(
        self,
        sizes: tuple[int, ...],
        log: bool,
        eps: float | None,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> _engine.RowsShortcut | None:
        return (
            _engine.RowsShortcut(sizes, log, eps, shape, dtype) if len(shape) <= _engine.MOST_AXES else None
        )

    def gradient_shortcut(
        self,
        of_input: ConvProblem,
        of_weight: ConvProblem,
        transposed: bool,
        shapes: tuple[tuple[int, ...] | None, ...],
        far: float = 0,
    ) -> _engine.GradientShortcut:
        batch, channels, (height, width) = image_sizes(of_input.operand_shape, of_input.layout)
        sums = batch, channels, height * width
        # Where the input's gradient is not needed, no algorithm is refused for it.
        return _engine.GradientShortcut(
            *_choose(of_weight if shapes[0] is None else of_input, True),
            *_choose_gradient(of_weight),
            transposed,
            sums,
            shapes,
            of_weight.dtype,
            far,
        )

    def scatter(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        _engine.scatter(values, indices, out, places(values, out, layout), LAYOUTS[layout], get_num_threads())

    def pad(self, x: Array, rows: Array, columns: Array, value: Any, layout: Layout, out: Array) -> None:
        fill = np.array([value]).astype(x.dtype)
        _engine.pad(x, out, pixels(x, layout), rows, columns, fill, get_num_threads())

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
    ) -> None:
        sizes = planes(x, layout)
        _engine.local_response_norm(
            x, out, sizes, size, alpha, beta, k, LAYOUTS[layout], _DTYPES[x.dtype], get_num_threads()
        )  # fmt: skip

    def channel_sums(self, x: Array, layout: Layout, out: Array) -> None:
        sizes = planes(x, layout)
        _engine.channel_sums(x, out, sizes, LAYOUTS[layout], _DTYPES[x.dtype], get_num_threads())

    def deform_conv_gradient(
        self,
        problem: ConvProblem,
        x: Array,
        offset: Array,
        mask: Array | None,
        weight: Array,
        grad_output: Array,
        grad_x: Array,
        grad_offset: Array,
        grad_weight: Array,
        grad_mask: Array | None,
    ) -> None:
        groups = offset.shape[1] // (2 * problem.kernel[0] * problem.kernel[1])
        _conv(problem).deform_gradient(
            x, offset, mask, groups, weight, grad_output, grad_x, grad_offset, grad_weight, grad_mask, get_num_threads()
        )  # fmt: skip

    def pool_gradient(self, problem: PoolProblem, grad_output: Array, out: Array) -> None:
        _engine.pool_gradient(*pool_arguments(problem), grad_output, out, get_num_threads())

    def scatter_add(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        sizes = (
            *planes(values, layout)[:2],
            *plane_size(values.shape, layout),
            *plane_size(out.shape, layout),
        )
        _engine.scatter_add(
            values, indices, out, sizes, LAYOUTS[layout], _DTYPES[out.dtype], get_num_threads()
        )

    def gather(self, x: Array, indices: Array, layout: Layout, out: Array) -> None:
        _engine.gather(x, indices, out, places(out, x, layout), LAYOUTS[layout], get_num_threads())

    def pad_gradient(
        self, grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array
    ) -> None:
        sizes = pixels(out, layout)
        _engine.pad_gradient(grad_output, out, sizes, rows, columns, _DTYPES[out.dtype], get_num_threads())

    def local_response_norm_gradient(
        self,
        x: Array,
        grad_output: Array,
        size: int,
        alpha: float,
        beta: float,
        k: float,
        layout: Layout,
        out: Array,
    ) -> None:
        sizes = planes(x, layout)
        _engine.local_response_norm_gradient(
            x, grad_output, out, sizes, size, alpha, beta, k, LAYOUTS[layout], _DTYPES[x.dtype], get_num_threads()
        )  # fmt: skip

    def activation_gradient(
        self, activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
    ) -> None:
        name, a, b = activation
        _engine.activation_gradient(
            ACTIVATIONS[name], a, b, grad_output, value, from_output, out, _DTYPES[out.dtype], get_num_threads()
        )  # fmt: skip

    def softmax(self, x: Array, log: bool, out: Array) -> None:
        _engine.softmax(x, out, x.shape, log, _DTYPES[x.dtype], get_num_threads())

    def softmax_gradient(self, grad_output: Array, output: Array, log: bool, out: Array) -> None:
        _engine.softmax_gradient(
            grad_output, output, out, out.shape, log, _DTYPES[out.dtype], get_num_threads()
        )

    def segment_sums(
        self, x: Array, other: Array | None, centre: Array, segments: Segments, out: Array
    ) -> None:
        _engine.segment_sums(x, other, centre, out, segments, _DTYPES[x.dtype], get_num_threads())

    def segment_affine(
        self,
        x: Array,
        centre: Array,
        scale: Array,
        shift: Array,
        other: Array | None,
        factor: Array | None,
        segments: Segments,
        out: Array,
    ) -> None:
        _engine.segment_affine(
            x, centre, scale, shift, other, factor, out, segments, _DTYPES[x.dtype], get_num_threads()
        )  # fmt: skip

    def normalise_rows(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        sizes: tuple[int, int, int, int],
        out: Array,
    ) -> bool:
        return _engine.normalise_rows(x, weight, bias, eps, out, sizes, _DTYPES[x.dtype], get_num_threads())

    def optimiser_step(
        self,
        weights: list[Array],
        gradients: list[Array],
        first: list[Array | None],
        second: list[Array | None],
        update: Update,
    ) -> bool:
        _engine.optimiser_step(
            weights, gradients, first, second, update, _DTYPES[weights[0].dtype], get_num_threads()
        )
        return True

    def train_batch(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        residual: Array | None,
        eps: float,
        bounds: Bounds,
        segments: Segments,
        out: Array,
        statistics: Array,
    ) -> bool:
        _engine.batch_norm(
            x, weight, bias, residual, eps, *bounds, out, statistics, segments[1:], _DTYPES[x.dtype],
            get_num_threads(),
        )  # fmt: skip
        return True

    def train_batch_gradient(
        self,
        x: Array,
        grad_output: Array,
        output: Array | None,
        weight: Array | None,
        statistics: Array,
        eps: float,
        bounds: Bounds,
        segments: Segments,
        grad_x: Array,
        grad_residual: Array | None,
        totals: Array,
    ) -> bool:
        _engine.batch_norm_gradient(
            x, grad_output, output, weight, statistics, eps, *bounds, grad_x, grad_residual, totals, segments[1:],
            _DTYPES[x.dtype], get_num_threads(),
        )  # fmt: skip
        return True

    def resample(self, x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
        outer, size, inner = x.shape
        sizes = outer, size, *weights.shape[:1], inner, *weights.shape[1:]
        _engine.resample(x, starts, counts, weights, out, sizes, _DTYPES[x.dtype], get_num_threads())


def instruction_sets() -> tuple[str, ...]:
    """The instruction sets that this build has kernels for and this processor runs, lowest first."""
    return tuple(name for name, here in _engine.instruction_sets() if here)


def _select() -> str:
    """Choose the highest instruction set, or the one that FASTCONV_ISA lowers it to."""
    usable = instruction_sets()
    wanted = os.environ.get("FASTCONV_ISA", "").strip() or usable[-1]
    if wanted not in usable:
        raise ValueError(
            f"the environment variable FASTCONV_ISA is {wanted!r}, but this processor and build have "
            f"{', '.join(map(repr, usable))}"
        )
    _engine.select_instruction_set([name for name, _ in _engine.instruction_sets()].index(wanted))
    return wanted


def threading() -> ThreadingName:
    """Where the threads of the next call come from."""
    return "openmp" if _engine.uses_openmp() else "pool"


def use_threading(name: str, source: str) -> None:
    """`source` is what said so, for errors."""
    if name == "pool":
        _engine.use_pool()
    elif name != "openmp":
        raise ValueError(f"{source} is {name!r}, but needs to be 'pool' or 'openmp'")
    else:
        layer = os.path.join(os.path.dirname(_engine.__file__), "libfastconv_openmp.so")
        reason = _engine.use_openmp(os.fsencode(layer))
        if reason is not None:
            raise ValueError(f"{source} is 'openmp', which fastconv cannot use here: {reason}; 'pool' it can")


def build_info() -> dict[str, Any]:
    """How the extension was built, and what it runs on here."""
    return {
        "compiler": _engine.compiler(),
        "flags": _engine.flags(),
        "built_for": platform.machine(),
        "instruction_set": INSTRUCTION_SET,
        "instruction_sets": instruction_sets(),
        "costs": "for {} ({})".format(*_engine.processors()[_engine.selected_processor()]),
        "openmp": _engine.openmp_version() or "left out",
    }


INSTRUCTION_SET = _select()
use_threading(
    os.environ.get("FASTCONV_THREADING", "").strip() or "pool", "the environment variable FASTCONV_THREADING"
)
_engine.limit_recycling(get_cache_size())
BACKEND = CythonBackend()
register()
