"""What a backend must do: the primitives that every operation is composed from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from fastconv.problem.convolution import ConvProblem
from fastconv.problem.options import Activation
from fastconv.problem.pooling import PoolProblem
from fastconv.typing import Array, BackendName, Layout

if TYPE_CHECKING:
    from fastconv.problem.filtering import Weights, Window

Segments = tuple[int, int, int, int]  # an array as (outer, steps, groups, run), of any of these sizes

Bounds = tuple[float, float]  # what results are kept between; infinite where there are none


class Update(NamedTuple):
    """A step of an optimiser: `nn/optimisers.py` has the rules as formulas.

    A gradient is multiplied with `scale`, kept from -limit to limit, and the parameter times `decay` is added; the
    parameter is multiplied with `kept`, and moves by -rate times what `rule` makes of that. `first` is what stays of
    the velocity or the mean, `second` what stays of the mean of squares, whose root is multiplied with `root_scale`.
    """

    rule: int  # of `RULES`
    nesterov: bool
    scale: float
    limit: float
    decay: float
    kept: float
    rate: float
    first: float = 0.0
    second: float = 0.0
    eps: float = 0.0
    root_scale: float = 1.0


DESCENT, SQUARES, MOMENTS = RULES = (0, 1, 2)  # as csrc/fastconv.h numbers them


class Work(NamedTuple):
    """How a backend does a convolution, and what that takes at least."""

    algorithm: str
    flops: int  # multiplications and additions of its sums of products
    weight_bytes: int  # of the weights in the form that `prepare` gives them
    cycles: float = 0.0  # predicted, where two threads share the work; 0 where nothing predicts them


class Filters(Protocol):
    """Filters of pictures (images, rows, pixels, channels), whose rows lie in one piece: see `Window`.

    Types are those of `picture_types`, or for sums and means `summed_types`; `dtype`, float32 or float64, is what sums
    are computed in.
    """

    def sums(
        self, window: Window, first: Weights, second: Weights | None, dtype: Any, x: Array, out: Array
    ) -> bool:
        """Weighted sums, by one kernel, or by a column and then a row; False where a kernel is too large."""
        ...

    def means(self, window: Window, dtype: Any, x: Array, out: Array) -> None:
        """Means of boxes, along the columns first."""

    def scores(self, products: Array, mean: Array, square: Array, length: float, flat: float) -> None:
        """Products of windows and a template become correlation coefficients, 0 where a window's variance is up to
        `flat` times the mean of its squares.

        All are planes of float64 with whole rows; those of `mean` and `square`, of the windows' numbers and of their
        squares, are as far apart from each other. `length` is that of the template.
        """

    def extrema(self, window: Window, largest: bool, x: Array, out: Array) -> None:
        """The largest or the smallest number of boxes."""

    def network(
        self, window: Window, offsets: Array, exchanges: Array, place: int, x: Array, out: Array
    ) -> None:
        """What a sorting network leaves at `place` of the pixels at `offsets` (row, pixel) of a window.

        `exchanges` are (low, high, keeps): 1 keeps the smaller one, 2 the larger, 3 both.
        """


class Backend(Protocol):
    """The primitives that every operation is composed from.

    All arrays are C-contiguous, native, of the problem's dtype and layout, and not empty; `out` is written in
    full. Shapes have been checked.
    """

    name: BackendName
    checks_positions: bool  # does `scatter_add` raise IndexError where one lies outside of its plane?
    lists_windows: bool  # do `pool` and `pool_gradient` list all windows along an axis (`Windows.tables`)?

    @property
    def filters(self) -> Filters | None:
        """Its own filters of pictures; None where convolutions and NumPy do them, block by block."""
        ...

    @property
    def instruction_set(self) -> str | None:
        """That of the kernels; None where `candidates` are never more than one."""
        ...

    def algorithms(self) -> tuple[str, ...]:
        """Names that `algorithm=` may have."""
        ...

    def algorithm(self, problem: ConvProblem) -> str:
        """Which of them `conv` would take."""
        ...

    def candidates(self, problem: ConvProblem) -> tuple[str, ...]:
        """Those that could do it, as the problem's `algorithm` allows; the one that `conv` would take comes first."""
        ...

    def work(self, problem: ConvProblem, once: bool = False) -> Work:
        """What `conv` does; with `once`, on weights that were prepared for one call alone."""
        ...

    def transforms(self, problem: ConvProblem, once: bool = False) -> bool:
        """Whether `conv` takes an algorithm that mixes the pixels of a tile, as Winograd's and Fourier's do."""
        ...

    def is_even(self, problem: ConvProblem, x: Array, far: float) -> bool:
        """Whether transforms of `x`, the images, would keep every number where it matters: all are finite, and none is
        more than `far` times as large as all numbers of a window of its image and group.

        It asks more: windows are cut into blocks, all channels of a group in half a window's rows and columns, or in
        what padding leaves of one. But blocks of zeros count only where they are more than half of the blocks.
        """
        ...

    def explain(self, problem: ConvProblem) -> str:
        """How `conv` would do this problem, for a person."""
        ...

    def weight_form(self, problem: ConvProblem) -> Hashable:
        """Names the form of weights that `prepare` makes: problems of equal form can share them."""

    def prepare(self, problem: ConvProblem, weight: Array, once: bool = False) -> Any:
        """The weights in the form that `conv` takes; with `once`, that form is for one call alone."""

    def conv(
        self,
        problem: ConvProblem,
        x: Array,
        prepared: Any,
        bias: Array | None,
        residual: Array | None,
        activation: Activation | None,
        out: Array,
    ) -> None:
        """Convolution, or transposed convolution, then bias, residual and activation."""

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
        """Deformable convolution (NCHW); `offset` is (N, 2 * G * kH * kW, oH, oW), `mask` half of that."""

    def unfold(self, problem: ConvProblem, x: Array, out: Array) -> None:
        """Every window of `x` (NCHW) as a column: `out` is (N, C * kH * kW, oH * oW)."""

    def fold(self, problem: ConvProblem, columns: Array, out: Array) -> None:
        """The transpose of `unfold`: overlapping windows are added."""

    def pool(
        self, problem: PoolProblem, x: Array, out: Array, indices: Array | None, uniforms: Array | None
    ) -> None:
        """Reduce every window; `indices` (int64) and `uniforms` (float64) have the shape of `out`."""

    def scatter(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        """Put `values` at the flat plane positions `indices` of `out`, which is 0 elsewhere; the last one wins."""

    def pad(self, x: Array, rows: Array, columns: Array, value: Any, layout: Layout, out: Array) -> None:
        """`out[.., i, j] = x[.., rows[i], columns[j]]`, or `value` where a table says -1; any dtype."""

    def local_response_norm(
        self, x: Array, size: int, alpha: float, beta: float, k: float, layout: Layout, out: Array
    ) -> None:
        """x / (k + alpha / size * sum of squares over `size` neighbouring channels)**beta."""

    def softmax(self, x: Array, log: bool, out: Array) -> None:
        """Softmax along the second axis of (outer, count, inner), or its logarithm."""

    def segment_sums(
        self, x: Array, other: Array | None, centre: Array, segments: Segments, out: Array
    ) -> None:
        """Sums over `steps` and `run` of (outer, steps, groups, run).

        `out` (2, outer, groups), float64: of `other` (or of ``x - centre`` where it is None), and of that times
        ``x - centre``. `centre` is (outer, groups).
        """

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
        """``(x - centre) * scale + shift + other * factor``, without the last where `other` is None.

        `centre`, `scale`, `shift` and `factor` are (outer, groups).
        """

    def normalise_rows(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        sizes: tuple[int, int, int, int],
        out: Array,
    ) -> bool:
        """Normalise rows of memory by their own mean and variance, all at once; False where that takes sums and a map.

        Of `sizes`, which is (outer, groups, channels, run), the last two are a row; weight and bias are (groups,
        channels).
        """
        ...

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
        """Normalise each group by its own mean and variance, add the residual, keep within the bounds, all at once.

        False where that takes sums, maps and what else there is. `statistics` (2, groups), float64, takes mean and
        variance; weight and bias are (groups,).
        """
        ...

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
        """The gradients of `train_batch`; False as there. `output` is needed where there are bounds.

        `totals` (2, groups), float64, takes those of weight and bias.
        """
        ...

    def optimiser_step(
        self,
        weights: list[Array],
        gradients: list[Array],
        first: list[Array | None],
        second: list[Array | None],
        update: Update,
    ) -> bool:
        """A step on parameters of one dtype, all at once; False where that takes arithmetic on arrays.

        The arrays of a parameter lie alike in memory, without gaps. The state: velocity or None; mean of squares, and
        velocity or None; mean and that of squares.
        """
        ...

    def resample(self, x: Array, starts: Array, counts: Array, weights: Array, out: Array) -> None:
        """An axis resampled: `x` is (outer, size, inner), `out` (outer, count, inner).

        Output o is the sum of ``counts[o]`` inputs from ``starts[o]`` on, times the first of ``weights[o]``.
        """

    # The gradients. That of a convolution's input is `conv` of the transposed problem, and back.

    def conv_weight_gradient(
        self, problem: ConvProblem, x: Array, grad_output: Array, out: Array, bias: Array | None
    ) -> None:
        """The gradient of a plain problem's weights, in their own shape.

        `bias` (filters,) takes the sums of `grad_output`.
        """

    def channel_sums(self, x: Array, layout: Layout, out: Array) -> None:
        """`out` (C,): the sum of every channel over the batch and its planes."""

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
        """All of `deform_conv`, but that of the bias; `grad_mask` is None where `mask` is."""

    def pool_gradient(self, problem: PoolProblem, grad_output: Array, out: Array) -> None:
        """The gradient of the reducer ``sum``.

        Every pixel is the sum of `grad_output / divisor` over the windows that hold it.
        """

    def scatter_add(self, values: Array, indices: Array, layout: Layout, out: Array) -> None:
        """Add up the `values` of each place where `scatter` would keep the last one."""

    def gather(self, x: Array, indices: Array, layout: Layout, out: Array) -> None:
        """`out[i]` is the pixel at the flat plane position `indices[i]` of `x`."""

    def pad_gradient(
        self, grad_output: Array, rows: Array, columns: Array, layout: Layout, out: Array
    ) -> None:
        """`out[.., rows[i], columns[j]]`: the sum of all such `grad_output[.., i, j]`, but where a table says -1."""

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
        """The gradient of `local_response_norm`."""

    def activation_gradient(
        self, activation: Activation, grad_output: Array, value: Array, from_output: bool, out: Array
    ) -> None:
        """`grad_output` times the slope at `value`, which is the activation's output, or else its input."""

    def softmax_gradient(self, grad_output: Array, output: Array, log: bool, out: Array) -> None:
        """The gradient of `softmax`, from its output."""

    def conv_shortcut(
        self,
        problem: ConvProblem,
        activation: Activation | None,
        shape: tuple[int, ...],
        once: bool,
        far: float = 0,
    ) -> Any:
        """What does this very convolution on plain arrays with less ado (`execution/known_calls.py`), or None.

        Where `far` is not 0, it leaves images that are not `is_even` to the long way.
        """

    def pool_shortcut(self, problem: PoolProblem, shape: tuple[int, ...]) -> Any:
        """What does this very pooling, without indices and random numbers, with less ado, or None."""

    def rows_shortcut(
        self, sizes: tuple[int, ...], log: bool, eps: float | None, shape: tuple[int, ...], dtype: Any
    ) -> Any:
        """What does this very `softmax` or, with an eps, `normalise_rows` with less ado, or None."""

    def gradient_shortcut(
        self,
        of_input: ConvProblem,
        of_weight: ConvProblem,
        transposed: bool,
        shapes: tuple[tuple[int, ...] | None, ...],
        far: float = 0,
    ) -> Any:
        """What gives these very gradients with less ado, or None; `shapes` are the results', None where not needed.

        `far` is as in `conv_shortcut`, for the gradient of the output.
        """


class NoShortcuts:
    """For backends whose calls all go the long way, and whose loops do the textbook sum and trust their arguments."""

    checks_positions = False
    instruction_set = None
    lists_windows = True
    filters = None

    def work(self, problem: ConvProblem, once: bool = False) -> Work:
        weights = (
            problem.filters * (problem.channels // problem.groups) * problem.kernel[0] * problem.kernel[1]
        )
        return Work("direct", problem.flops, weights * problem.dtype.itemsize)

    def transforms(self, problem: ConvProblem, once: bool = False) -> bool:
        return False

    def normalise_rows(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        eps: float,
        sizes: tuple[int, int, int, int],
        out: Array,
    ) -> bool:
        return False

    def optimiser_step(self, *arguments: Any) -> bool:
        return False

    def train_batch(self, *arguments: Any) -> bool:
        return False

    def train_batch_gradient(self, *arguments: Any) -> bool:
        return False

    def is_even(self, problem: ConvProblem, x: Array, far: float) -> bool:
        """Nothing here would mind."""
        return True

    def conv_shortcut(self, *arguments: Any, **options: Any) -> None:
        return None

    def pool_shortcut(self, problem: PoolProblem, shape: tuple[int, ...]) -> None:
        return None

    def rows_shortcut(
        self, sizes: tuple[int, ...], log: bool, eps: float | None, shape: tuple[int, ...], dtype: Any
    ) -> None:
        return None

    def gradient_shortcut(self, *arguments: Any, **options: Any) -> None:
        return None
