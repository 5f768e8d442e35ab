from collections.abc import Sequence
from typing import Any

from fastconv.typing import Array

Windows = tuple[tuple[float, ...], Array | None]  # the numbers of fc_windows, and samples

def compiler() -> str: ...
def flags() -> str: ...
def instruction_sets() -> list[tuple[str, bool]]: ...
def select_instruction_set(index: int) -> None: ...
def processors() -> list[tuple[str, str]]: ...
def processor_of(vendor: str, family: int, model: int) -> int: ...
def selected_processor() -> int: ...
def select_processor(index: int) -> None: ...
def gradients() -> list[str]: ...
def most_threads() -> int: ...
def openmp_version() -> str: ...
def uses_openmp() -> bool: ...
def use_pool() -> None: ...
def use_openmp(path: bytes) -> str | None: ...
def handle_signals_every(seconds: float) -> None: ...
def kernels() -> list[tuple[str, bool]]: ...
def recycled(shape: tuple[int, ...], dtype: Any) -> Array: ...
def limit_recycling(size: int) -> None: ...
def recycled_bytes() -> int: ...
def clear_recycled() -> None: ...

class Conv:
    def __init__(
        self, sizes: Sequence[int], layout: int, dtype: int, transposed: bool, strict: bool, once: bool
    ) -> None: ...
    def accepts(self, kernel: int) -> bool: ...
    def cost(self, kernel: int) -> float: ...
    def error(self, kernel: int) -> float: ...
    def is_even(self, x: Array, far: float, threads: int) -> bool: ...
    def flops(self, kernel: int) -> float: ...
    def gradient_accepts(self, kernel: int) -> bool: ...
    def gradient_cost(self, kernel: int) -> float: ...
    def choose_gradient(self) -> int: ...
    def gradient(
        self, kernel: int, x: Array, gradient: Array, weights: Array, bias: Array | None, threads: int
    ) -> None: ...
    def sums_alike(self, kernel: int) -> bool: ...
    def choose(self) -> int: ...
    def weight_bytes(self, kernel: int) -> int: ...
    def weight_form(self, kernel: int) -> int: ...
    def workspace_bytes(self, kernel: int, threads: int) -> int: ...
    def prepares(self, kernel: int) -> bool: ...
    def prepare(
        self, kernel: int, weight: Array, packed: Array, threads: int, planar: bool = False
    ) -> None: ...
    def run(
        self,
        kernel: int,
        x: Array,
        packed: Array,
        bias: Array | None,
        residual: Array | None,
        activation: int,
        a: float,
        b: float,
        out: Array,
        threads: int,
    ) -> None: ...
    def deform(
        self,
        x: Array,
        offset: Array,
        mask: Array | None,
        offset_groups: int,
        weight: Array,
        bias: Array | None,
        out: Array,
        threads: int,
    ) -> None: ...
    def deform_gradient(
        self,
        x: Array,
        offset: Array,
        mask: Array | None,
        offset_groups: int,
        weight: Array,
        gradient: Array,
        grad_x: Array,
        grad_offset: Array,
        grad_weight: Array,
        grad_mask: Array | None,
        threads: int,
    ) -> None: ...
    def unfold(self, x: Array, out: Array, threads: int) -> None: ...
    def fold(self, columns: Array, out: Array, threads: int) -> None: ...

def pool(
    sizes: Sequence[int],
    rows: Windows,
    columns: Windows,
    layout: int,
    type: int,
    reducer: int,
    power: float,
    x: Array,
    out: Array,
    indices: Array | None,
    uniforms: Array | None,
    threads: int,
) -> None: ...
def pool_gradient(
    sizes: Sequence[int],
    rows: Windows,
    columns: Windows,
    layout: int,
    type: int,
    reducer: int,
    power: float,
    gradient: Array,
    out: Array,
    threads: int,
) -> None: ...
def pad(
    x: Array, out: Array, sizes: Sequence[int], rows: Array, columns: Array, value: Array, threads: int
) -> None: ...
def pad_gradient(
    gradient: Array, out: Array, sizes: Sequence[int], rows: Array, columns: Array, dtype: int, threads: int
) -> None: ...
def scatter(
    values: Array, indices: Array, out: Array, sizes: Sequence[int], layout: int, threads: int
) -> None: ...
def scatter_add(
    values: Array, indices: Array, out: Array, sizes: Sequence[int], layout: int, dtype: int, threads: int
) -> None: ...
def gather(x: Array, indices: Array, out: Array, sizes: Sequence[int], layout: int, threads: int) -> None: ...
def to_floats(halves: Array, floats: Array, threads: int) -> None: ...
def to_halves(floats: Array, halves: Array, threads: int) -> bool: ...
def channel_sums(
    x: Array, out: Array, sizes: Sequence[int], layout: int, dtype: int, threads: int
) -> None: ...
def activation_gradient(
    activation: int,
    a: float,
    b: float,
    gradient: Array,
    value: Array,
    from_output: bool,
    out: Array,
    dtype: int,
    threads: int,
) -> None: ...
def local_response_norm(
    x: Array,
    out: Array,
    sizes: Sequence[int],
    size: int,
    alpha: float,
    beta: float,
    k: float,
    layout: int,
    dtype: int,
    threads: int,
) -> None: ...
def local_response_norm_gradient(
    x: Array,
    gradient: Array,
    out: Array,
    sizes: Sequence[int],
    size: int,
    alpha: float,
    beta: float,
    k: float,
    layout: int,
    dtype: int,
    threads: int,
) -> None: ...
def softmax(x: Array, out: Array, sizes: Sequence[int], log: bool, dtype: int, threads: int) -> None: ...
def softmax_gradient(
    gradient: Array, output: Array, out: Array, sizes: Sequence[int], log: bool, dtype: int, threads: int
) -> None: ...
def segment_sums(
    x: Array, other: Array | None, centre: Array, sums: Array, sizes: Sequence[int], dtype: int, threads: int
) -> None: ...
def optimiser_step(
    weights: list[Array],
    gradients: list[Array],
    first: list[Array | None],
    second: list[Array | None],
    rule: Sequence[float],
    dtype: int,
    threads: int,
) -> None: ...
def batch_norm(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    residual: Array | None,
    eps: float,
    low: float,
    high: float,
    out: Array,
    statistics: Array,
    sizes: Sequence[int],
    dtype: int,
    threads: int,
) -> None: ...
def batch_norm_gradient(
    x: Array,
    gradient: Array,
    output: Array | None,
    weight: Array | None,
    statistics: Array,
    eps: float,
    low: float,
    high: float,
    grad_x: Array,
    grad_residual: Array | None,
    totals: Array,
    sizes: Sequence[int],
    dtype: int,
    threads: int,
) -> None: ...
def segment_affine(
    x: Array,
    centre: Array,
    scale: Array,
    shift: Array,
    other: Array | None,
    factor: Array | None,
    out: Array,
    sizes: Sequence[int],
    dtype: int,
    threads: int,
) -> None: ...
def normalise_rows(
    x: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    out: Array,
    sizes: Sequence[int],
    dtype: int,
    threads: int,
) -> bool: ...
def resample(
    x: Array,
    starts: Array,
    counts: Array,
    weights: Array,
    out: Array,
    sizes: Sequence[int],
    dtype: int,
    threads: int,
) -> None: ...
def filter_sums(
    picture: tuple[Any, ...], first: Any, second: Any, x: Array, out: Array, dtype: int, threads: int
) -> bool: ...
def filter_means(picture: tuple[Any, ...], x: Array, out: Array, dtype: int, threads: int) -> None: ...
def filter_scores(
    products: Array, mean: Array, square: Array, length: float, flat: float, threads: int
) -> None: ...
def filter_extrema(picture: tuple[Any, ...], largest: int, x: Array, out: Array, threads: int) -> None: ...
def filter_network(
    picture: tuple[Any, ...],
    offsets: Array,
    exchanges: Array,
    place: int,
    x: Array,
    out: Array,
    threads: int,
) -> None: ...
def probe(
    isa: int,
    dtype: int,
    kind: int,
    memory: Array | None,
    stride: int,
    size: int,
    repeats: int,
    threads: int,
) -> tuple[float, float]: ...

class ConvShortcut:
    def __init__(
        self,
        conv: Conv,
        kernel: int,
        activation: int,
        a: float,
        b: float,
        channels: int,
        shape: Sequence[int],
        dtype: Any,
        far: float,
    ) -> None: ...

class Settings:
    def __init__(self, backend: Any, precision: Any, threads: Any, limit: Any) -> None: ...

class PlanCalls:
    problem: Any
    def __init__(self, settings: Settings) -> None: ...
    def recall(self, x: Any, bias: Array | None, out: Any) -> Array | None: ...
    def remember(
        self, x: Array, precision: str, shortcut: ConvShortcut, packed: Array, problem: Any
    ) -> None: ...

class GradientShortcut:
    def __init__(
        self,
        of_input: Conv,
        input_kernel: int,
        of_weight: Conv,
        weight_kernel: int,
        transposed: bool,
        sums: tuple[int, int, int],
        shapes: tuple[tuple[int, ...] | None, ...],
        dtype: Any,
        far: float,
    ) -> None: ...

class PoolShortcut:
    def __init__(
        self,
        sizes: Sequence[int],
        rows: Windows,
        columns: Windows,
        layout: int,
        type: int,
        reducer: int,
        power: float,
        shape: Sequence[int],
        dtype: Any,
    ) -> None: ...

class RowsShortcut:
    def __init__(
        self, sizes: Sequence[int], log: bool, eps: float | None, shape: Sequence[int], dtype: Any
    ) -> None: ...

class Memo:
    def __init__(self, settings: Settings) -> None: ...
    def __len__(self) -> int: ...
    def clear(self) -> None: ...
    def recall_conv(
        self,
        op: str,
        x: Any,
        weight: Any,
        bias: Any,
        out: Any,
        given: tuple[Any, ...],
        backend: Any,
    ) -> Array | None: ...
    def recall_rows(
        self,
        op: str,
        x: Any,
        weight: Any,
        bias: Any,
        out: Any,
        given: tuple[Any, ...],
        backend: Any,
    ) -> Array | None: ...
    def recall_pool(
        self, op: str, x: Any, out: Any, given: tuple[Any, ...], backend: Any
    ) -> Array | None: ...
    def remember(
        self, shortcut: Any, op: str, given: tuple[Any, ...], backend: Any, *arrays: Any
    ) -> None: ...

MOST_AXES: int
MOST_CHAINED: int
SUMMED: int
MOST_ROW_BYTES: int

def elementwise_operations() -> dict[str, int]: ...
def elementwise_room() -> tuple[int, int, int]: ...
def reductions() -> dict[str, int]: ...

class Places:
    def __init__(self, count: int) -> None: ...
    def bind(self, members: list[tuple[int, int]], array: Array | None) -> None: ...

Instruction = tuple[int, int, int, int, int, float, float]

class Network:
    def __len__(self) -> int: ...
    def conv(
        self,
        known: ConvShortcut,
        packed: Array,
        bias: Array | None,
        slopes: Array | None,
        scale: Array | None,
        shift: Array | None,
        x: int,
        residual: int,
        gate: int,
        out: int,
    ) -> None: ...
    def widen(self, step: int, channels: int) -> None: ...
    def sums_rows(self, step: int) -> bool: ...
    def sum_rows(self, step: int, sums: int) -> None: ...
    def chain_bytes(self, first: int, count: int, band: int) -> int: ...
    def chain(self, first: int, count: int, band: int) -> None: ...
    def product(self, known: ConvShortcut, x: int, weight: int, packed: int, out: int) -> None: ...
    def pool(self, known: PoolShortcut, x: int, out: int) -> None: ...
    def elementwise(
        self,
        dtype: int,
        sizes: Sequence[int],
        strides: Sequence[Sequence[int]],
        out_strides: Sequence[int],
        code: Sequence[Instruction],
        truths: int,
        gives_truth: bool,
        operands: Sequence[int],
        out: int,
    ) -> None: ...
    def copy(
        self,
        item: int,
        sizes: Sequence[int],
        x_strides: Sequence[int],
        out_strides: Sequence[int],
        x: int,
        out: int,
    ) -> None: ...
    def pad(
        self,
        item: int,
        sizes: tuple[int, int, int, int],
        rows: Array,
        columns: Array,
        value: bytes,
        x: int,
        out: int,
    ) -> None: ...
    def normalise(
        self,
        dtype: int,
        sizes: tuple[int, int, int, int],
        eps: float,
        x: int,
        weight: int,
        bias: int,
        out: int,
    ) -> None: ...
    def reduce(self, dtype: int, sizes: tuple[int, int, int], how: int, x: int, out: int) -> None: ...
    def places(
        self, dtype: int, sizes: tuple[int, int, int], how: int, last: bool, x: int, out: int
    ) -> None: ...
    def softmax(self, dtype: int, sizes: tuple[int, int, int], logarithm: bool, x: int, out: int) -> None: ...
    def local_response_norm(
        self,
        dtype: int,
        sizes: tuple[int, int, int],
        size: int,
        alpha: float,
        beta: float,
        k: float,
        x: int,
        out: int,
    ) -> None: ...
    def resample(
        self,
        dtype: int,
        sizes: tuple[int, int, int, int],
        starts: Array,
        counts: Array,
        weights: Array,
        x: int,
        out: int,
    ) -> None: ...
    def run(self, places: Places, first: int, last: int, threads: int, nanoseconds: Array | None) -> None: ...
