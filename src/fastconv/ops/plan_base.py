"""What all plans do: keep the weights of a convolution in the forms that its calls need. Called by `plan.py`."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import arguments, backends
from fastconv.backends.protocol import Backend, Work
from fastconv.execution.convolution import execute, native_weight, shortcut_of
from fastconv.execution.known_calls import plan_calls
from fastconv.first_use import importing
from fastconv.problem.convolution import ConvOptions, ConvProblem, padding_tables
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.settings.precision import get_precision
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName, ShapeLike

if TYPE_CHECKING:
    from fastconv.tuning.choice import Choice

_MOST_KNOWN = 256


class Plan:
    """A convolution with its weights; call it with any batch and image size.

    Prepared weights are kept for each form that the backend asked for (there are a few). Several threads may call one
    plan: there is no lock, which a fork could leave locked for ever, but two threads may prepare the same at first.
    """

    # So that `vars` holds what a subclass has added, and nothing else.
    __slots__ = (
        "_backend_name", "_bias", "_calls", "_choices", "_input_shape", "_options", "_prepared", "_weight",
    )  # fmt: skip

    def __init__(
        self,
        options: ConvOptions,
        weight: Array,
        bias: Array | None,
        backend: BackendName,
        input_shape: ShapeLike | None = None,
        tune: bool = False,
    ) -> None:
        self._options, self._weight, self._bias = options, weight, bias
        self._backend_name: BackendName = backend
        self._prepared: dict[Hashable, Any] = {}
        self._calls = plan_calls()
        # What measuring said, for the problems that came; None where the plan is not tuned.
        tune = arguments.flag(options.op, "tune", tune)
        if tune:
            with importing:
                from fastconv.tuning.choice import check_choice
            check_choice(options.op, self._backend)
        self._choices: dict[ConvProblem, Choice] | None = {} if tune else None
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
            raise TypeError(f"{op}: input_shape is {echo(shape)}, but needs a tuple of integers") from None
        if len(sizes) == 3:
            sizes = (1, *sizes)
        if len(sizes) != 4 or min(sizes[1:]) < 1:
            raise ValueError(
                f"{op}: input_shape is {echo(shape)}, but needs the 4 (or 3, unbatched) sizes of x"
            )
        return sizes

    def _problem(self, shape: tuple[int, ...]) -> ConvProblem:
        """The problem as the backend sees it, padding modes already applied."""
        dtype = compute_dtype(float_result(self._weight.dtype))
        problem = self._options.problem(shape, self._weight.shape, dtype, get_precision())
        padded = padding_tables(self._options, problem)
        return problem if padded is None else padded[0]

    def _choice(self, problem: ConvProblem) -> Choice | None:
        """What measuring said, now or before."""
        if self._choices is None:
            return None
        choice = self._choices.get(problem)
        if choice is None:
            with importing:
                from fastconv.tuning.choice import choose
            choice = choose(self._backend, problem, partial(native_weight, problem, self._weight))
            if len(self._choices) >= _MOST_KNOWN:
                self._choices.clear()
            choice = self._choices.setdefault(problem, choice)
        return choice

    def _planned(self, problem: ConvProblem) -> ConvProblem:
        """The problem as it is to be done: by the algorithm that was measured to be the fastest, in a tuned plan."""
        choice = self._choice(problem)
        return problem if choice is None else choice.problem

    def _prepare(self, backend: Backend, problem: ConvProblem) -> tuple[ConvProblem, Any]:
        self._calls.problem = problem
        problem = self._planned(problem)
        # A padding mode can change stride and dilation with the image's size.
        key = (problem.dtype, problem.stride, problem.dilation, backend.weight_form(problem))
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = backend.prepare(problem, native_weight(problem, self._weight))
            prepared = self._prepared.setdefault(key, prepared)
        return problem, prepared

    def __call__(self, x: ArrayLike, out: Array | None = None, *, residual: ArrayLike | None = None) -> Array:
        """The convolution of `x`; `out` and `residual` as for `conv2d`."""
        if residual is None:
            known: Array | None = self._calls.recall(x, self._bias, out)
            if known is not None:
                return known
        backend = self._backend
        result = execute(self._options, backend, x, self._weight, self._bias, residual, out, self._prepare)
        if residual is None and type(x) is np.ndarray and x.dtype == self._weight.dtype:
            shortcut = shortcut_of(backend, self._options, x, self._weight, once=False, planned=self._planned)
            if shortcut is not None:
                problem = self._problem(x.shape if x.ndim == 4 else (1, *x.shape))
                _, (_, packed) = self._prepare(backend, problem)
                self._calls.remember(x, get_precision(), shortcut, packed, problem)
        return result

    def _problem_of(self, input_shape: ShapeLike | None) -> ConvProblem | None:
        return self._calls.problem if input_shape is None else self._problem(self._full_shape(input_shape))

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
        problem = self._problem_of(input_shape)
        if problem is None:
            raise ValueError(
                f"{self._options.op}: input_shape is None, but needs a shape before the first call"
            )
        return self._backend.algorithm(self._planned(problem))

    def _work(self, shape: tuple[int, ...], once: bool = False) -> Work:
        """What the call takes at least, for the benchmarks; with `once`, what the function takes."""
        problem = self._problem(self._full_shape(shape))
        return self._backend.work(problem if once else self._planned(problem), once)

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
        problem = self._problem_of(input_shape)
        if problem is None:
            return f"{self!r}\nThe kernel is chosen when x's shape is known: explain(input_shape), or call the plan."
        text, choice = self._backend.explain(self._planned(problem)), self._choice(problem)
        return text if choice is None else f"{text}\ntune: {choice.told}"

    if not TYPE_CHECKING:  # to which every name would be an attribute then

        def __getattr__(self, name):
            """Only what is not there comes here: all of a plan, where `__new__` alone was called."""
            kind = type(self).__name__
            if name in Plan.__slots__:
                raise RuntimeError(
                    f"{kind}: this plan was never made; plans come from plan_... functions and pickles"
                )
            raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    def _made(self, arguments: dict[str, Any]) -> Plan:
        """What the public function for such plans makes of its arguments."""
        raise NotImplementedError

    def __getstate__(self) -> dict[str, dict[str, Any]]:
        """The arguments of that function, and, of a subclass, its own attributes."""
        made = {
            "weight": self._weight,
            "bias": self._bias,
            "backend": self._backend_name,
            "input_shape": self._input_shape,
            "tune": self._choices is not None,
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
            if hasattr(Plan, key):
                raise ValueError(
                    f"{name}: the pickle has an attribute {key!r}, which is not a subclass's own"
                )
        made = self._made(state["arguments"])
        for slot in Plan.__slots__:
            setattr(self, slot, getattr(made, slot))
        vars(self).update(state["added"])

    def __repr__(self) -> str:
        o = self._options
        options = f"{o.layout} stride={o.stride} padding={o.padding}"
        return f"<{type(self).__name__} {self._weight.shape} {options} on {self._backend_name}>"
