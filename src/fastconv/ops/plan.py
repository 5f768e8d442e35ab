"""Convolutions whose weights are prepared once: the plans and the functions that make them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, SupportsIndex

import numpy as np

from fastconv import arguments, backends
from fastconv.backends.protocol import Backend
from fastconv.execution.arrays import native
from fastconv.execution.convolution import execute, read_planned, shortcut_of
from fastconv.problem.convolution import ConvOptions, ConvProblem, padding_tables
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.settings.precision import get_precision
from fastconv.settings.threads import get_num_threads
from fastconv.typing import (
    ActivationLike,
    Array,
    ArrayLike,
    BackendName,
    Layout,
    PaddingLike,
    PaddingMode,
    PairLike,
    Precision,
    ShapeLike,
)

__all__ = [
    "Conv2dPlan",
    "ConvTranspose2dPlan",
    "DepthwiseConv2dPlan",
    "plan_conv2d",
    "plan_conv_transpose2d",
    "plan_depthwise_conv2d",
]

_MOST_KNOWN = 256


class _Plan:
    """A convolution with its weights; call it with any batch and image size.

    Prepared weights are kept for each form that the backend asked for (there are a few). Several threads may call one
    plan: there is no lock, which a fork could leave locked for ever, but two threads may prepare the same at first.
    """

    # So that `vars` holds what a subclass has added, and nothing else.
    __slots__ = (
        "_backend_name", "_bias", "_input_shape", "_known", "_last", "_options", "_prepared", "_weight",
    )  # fmt: skip

    def __init__(
        self,
        options: ConvOptions,
        weight: Array,
        bias: Array | None,
        backend: BackendName,
        input_shape: ShapeLike | None = None,
    ) -> None:
        self._options, self._weight, self._bias = options, weight, bias
        self._backend_name: BackendName = backend
        self._prepared: dict[Hashable, Any] = {}
        # By shape, dtype and precision of `x`: a shortcut, its weights, and the problem.
        self._known: dict[Hashable, Any] = {}
        self._last: ConvProblem | None = None  # for `explain`
        self._input_shape = None if input_shape is None else self._full_shape(input_shape)
        if self._input_shape is not None:
            self._prepare(self._backend, self._problem(self._input_shape))

    @property
    def _backend(self) -> Backend:
        return backends.load(self._backend_name)

    def _full_shape(self, shape: ShapeLike) -> tuple[int, ...]:
        op = self._options.op
        try:
            sizes = tuple(arguments.integer(op, "input_shape", s, 0) for s in shape)
        except TypeError:
            raise TypeError(f"{op}: input_shape is {shape!r}, but needs a tuple of integers") from None
        if len(sizes) == 3:
            sizes = (1, *sizes)
        if len(sizes) != 4 or min(sizes[1:]) < 1:
            raise ValueError(f"{op}: input_shape is {shape!r}, but needs the 4 (or 3, unbatched) sizes of x")
        return sizes

    def _problem(self, shape: tuple[int, ...]) -> ConvProblem:
        """The problem as the backend sees it, padding modes already applied."""
        dtype = compute_dtype(float_result(self._weight.dtype))
        problem = self._options.problem(shape, self._weight.shape, dtype, get_precision())
        padded = padding_tables(self._options, problem)
        return problem if padded is None else padded[0]

    def _prepare(self, backend: Backend, problem: ConvProblem) -> Any:
        self._last = problem
        # A padding mode can change stride and dilation with the image's size.
        key = (problem.dtype, problem.stride, problem.dilation, backend.weight_form(problem))
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = backend.prepare(problem, native(self._weight, problem.dtype))
            prepared = self._prepared.setdefault(key, prepared)
        return prepared

    def __call__(self, x: ArrayLike, out: Array | None = None, *, residual: ArrayLike | None = None) -> Array:
        """The convolution of `x`; `out` and `residual` as for `conv2d`."""
        plain: Array | None = x if residual is None and type(x) is np.ndarray else None
        if plain is not None:
            known = self._known.get((plain.shape, plain.dtype, get_precision()))
            if known is not None:
                shortcut, packed, self._last = known
                result: Array | None = shortcut.prepared(plain, packed, self._bias, out, get_num_threads())
                if result is not None:
                    return result
        backend = self._backend
        result = execute(self._options, backend, x, self._weight, self._bias, residual, out, self._prepare)
        if plain is not None and plain.dtype == self._weight.dtype:
            shortcut = shortcut_of(backend, self._options, plain, self._weight, once=False)
            if shortcut is not None:
                problem = self._problem(plain.shape if plain.ndim == 4 else (1, *plain.shape))
                _, packed = self._prepare(backend, problem)
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[plain.shape, plain.dtype, get_precision()] = shortcut, packed, problem
        return result

    def algorithm(self, input_shape: ShapeLike | None = None) -> str:
        """Name the algorithm that is taken.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of `x`; by default that of the last call, or else the one that the plan was made with.

        Returns
        -------
        str
            One of `fastconv.algorithms()`.

        Raises
        ------
        ValueError
            If no shape is known yet.

        Examples
        --------
        >>> import numpy as np, fastconv
        >>> plan = fastconv.plan_conv2d(np.ones((8, 3, 3, 3), np.float32), algorithm="direct")
        >>> plan.algorithm((1, 3, 32, 32)) in fastconv.algorithms()
        True
        """
        problem = self._last if input_shape is None else self._problem(self._full_shape(input_shape))
        if problem is None:
            raise ValueError(
                f"{self._options.op}: input_shape is None, but needs a shape before the first call"
            )
        return self._backend.algorithm(problem)

    def explain(self, input_shape: ShapeLike | None = None) -> str:
        """How this convolution is done: kernel, instruction set, work and memory, for a person to read.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Shape of `x`; by default that of the last call, or else the one that the plan was made with.

        Returns
        -------
        str
        """
        if input_shape is not None:
            return self._backend.explain(self._problem(self._full_shape(input_shape)))
        if self._last is None:
            return f"{self!r}\nThe kernel is chosen when x's shape is known: explain(input_shape), or call the plan."
        return self._backend.explain(self._last)

    def _made(self, arguments: dict[str, Any]) -> _Plan:
        """What the public function for such plans makes of its arguments."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, dict[str, Any]]:
        """The arguments of that function, and, of a subclass, its own attributes."""
        made = {
            "weight": self._weight,
            "bias": self._bias,
            "backend": self._backend_name,
            "input_shape": self._input_shape,
        }
        return {"arguments": made | self._options.as_arguments(), "added": vars(self)}

    def __setstate__(self, state: Any) -> None:
        """Make the plan anew: a forged pickle meets every check that a user's arguments do."""
        name, parts = type(self).__name__, ("arguments", "added")
        if not isinstance(state, dict) or not all(isinstance(state.get(part), dict) for part in parts):
            raise ValueError(f"{name}: the pickle holds no plan")
        if not all(isinstance(key, str) for part in parts for key in state[part]):
            raise ValueError(f"{name}: the pickle holds names that are not strings")
        for key in state["added"]:
            if hasattr(_Plan, key):
                raise ValueError(
                    f"{name}: the pickle has an attribute {key!r}, which is not a subclass's own"
                )
        made = self._made(state["arguments"])
        for slot in _Plan.__slots__:
            setattr(self, slot, getattr(made, slot))
        vars(self).update(state["added"])

    def __repr__(self) -> str:
        o = self._options
        options = f"{o.layout} stride={o.stride} padding={o.padding}"
        return f"<{type(self).__name__} {self._weight.shape} {options} on {self._backend_name}>"


# Their pickles name them as users do, not by this file.
class Conv2dPlan(_Plan):
    """What `plan_conv2d` makes: ``plan(x, out=None, *, residual=None)`` is `conv2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> _Plan:
        return plan_conv2d(**arguments)


class DepthwiseConv2dPlan(_Plan):
    """What `plan_depthwise_conv2d` makes: `depthwise_conv2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> _Plan:
        return plan_depthwise_conv2d(**arguments)


class ConvTranspose2dPlan(_Plan):
    """What `plan_conv_transpose2d` makes: `conv_transpose2d` with prepared weights."""

    __module__ = "fastconv"

    def _made(self, arguments: dict[str, Any]) -> _Plan:
        return plan_conv_transpose2d(**arguments)


def plan_conv2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: SupportsIndex = 1,
    *,
    input_shape: ShapeLike | None = None,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> Conv2dPlan:
    """Prepare the weights of a convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, padding_mode, layout, activation, precision, algorithm, backend
        As for `conv2d`. The plan keeps copies of `weight` and `bias`, and the backend chosen now.
    input_shape : tuple of int, optional
        Shape of the `x` to come: weights are prepared for it at once, and `explain` describes it.

    Returns
    -------
    Conv2dPlan
        ``plan(x, out=None, *, residual=None)`` gives what `conv2d` gives, for any batch and image size.

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_conv2d(np.ones((8, 3, 3, 3), np.float32), padding="same", activation="relu")
    >>> plan(np.ones((1, 3, 5, 5), np.float32)).shape
    (1, 8, 5, 5)
    """
    options = ConvOptions.read(
        "plan_conv2d", stride, padding, dilation, groups,
        padding_mode=padding_mode, layout=layout, activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    return Conv2dPlan(options, *read_planned(options, weight, bias, backend), input_shape)


def plan_depthwise_conv2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    *,
    input_shape: ShapeLike | None = None,
    padding_mode: PaddingMode = "zeros",
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> DepthwiseConv2dPlan:
    """Prepare the weights of a depthwise convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, padding_mode, layout, activation, precision, algorithm, backend
        As for `depthwise_conv2d`.
    input_shape : tuple of int, optional
        As for `plan_conv2d`.

    Returns
    -------
    DepthwiseConv2dPlan

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_depthwise_conv2d(np.ones((3, 1, 3, 3), np.float32))
    >>> plan(np.ones((3, 5, 5), np.float32)).shape
    (3, 3, 3)
    """
    options = ConvOptions.read(
        "plan_depthwise_conv2d", stride, padding, dilation, None,
        padding_mode=padding_mode, layout=layout, activation=activation, precision=precision, algorithm=algorithm,
        depthwise=True,
    )  # fmt: skip
    return DepthwiseConv2dPlan(options, *read_planned(options, weight, bias, backend), input_shape)


def plan_conv_transpose2d(
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    groups: SupportsIndex = 1,
    dilation: PairLike = 1,
    *,
    input_shape: ShapeLike | None = None,
    layout: Layout = "NCHW",
    activation: ActivationLike | None = None,
    precision: Precision | None = None,
    algorithm: str | None = None,
    backend: BackendName | None = None,
) -> ConvTranspose2dPlan:
    """Prepare the weights of a transposed convolution that is used more than once.

    Parameters
    ----------
    weight, bias, stride, padding, output_padding, groups, dilation, layout, activation, precision, algorithm, backend
        As for `conv_transpose2d`.
    input_shape : tuple of int, optional
        As for `plan_conv2d`.

    Returns
    -------
    ConvTranspose2dPlan

    Raises
    ------
    ValueError, TypeError
        As for `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> plan = fastconv.plan_conv_transpose2d(np.ones((3, 2, 2, 2), np.float32), stride=2)
    >>> plan(np.ones((3, 5, 5), np.float32)).shape
    (2, 10, 10)
    """
    options = ConvOptions.read(
        "plan_conv_transpose2d", stride, padding, dilation, groups, output_padding=output_padding,
        layout=layout, activation=activation, precision=precision, algorithm=algorithm,
    )  # fmt: skip
    return ConvTranspose2dPlan(options, *read_planned(options, weight, bias, backend), input_shape)
