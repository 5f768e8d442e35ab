"""The table of operations, and how an entry gets into it. The files beside this one fill it, each with a family.

An operation is a function on arrays: its positional parameters are the inputs (None where an optional one is missing),
its keyword-only parameters the attributes. It is called and named as ONNX has it in its newest form; a node of an older
operator set is brought to that form step by step when it is read (`upgrade`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from types import FunctionType
from typing import Any, NamedTuple, TypeVar, get_args

import numpy as np

from fastconv.execution.memory import check_memory
from fastconv.graph.graph import Graph, Size, Value
from fastconv.text import echo, shape_text

F = TypeVar("F", bound=Callable[..., Any])

NEWEST = 28  # the operator set of ONNX whose operators are known here
OLDEST = 6
ALWAYS = 1_000_000  # `to` of an upgrade that nodes of every set need
_NEEDED: Any = object()  # in place of a default


class Type(NamedTuple):
    """What is known of a value before it is there."""

    dtype: np.dtype[Any] | None = None
    shape: tuple[Size, ...] | None = None


# The types of the outputs, from the inputs and the attributes.
Rule = Callable[[Sequence[Value | None], dict[str, Any]], Sequence[Type]]
# A node's function with what its constants allow to prepare, from the inputs and the attributes; None where that is
# nothing.
Prepare = Callable[[Sequence[Value | None], dict[str, Any]], Callable[..., Any] | None]


@dataclass
class Reading:
    """A node that is being read, in the form of some operator set; an upgrade changes it in place."""

    operation: str
    inputs: list[Value | None]
    attributes: dict[str, Any]
    outputs: int

    def input(self, place: int) -> Value | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def give(self, place: int, array: Any) -> None:
        """Let an input be a constant."""
        self.inputs += [None] * (place + 1 - len(self.inputs))
        constant = np.asarray(array)
        self.inputs[place] = Value.of(f"{self.operation} constant", constant)

    def to_input(self, attribute: str, place: int, dtype: Any = np.int64) -> None:
        """What was an attribute is an input."""
        value = self.attributes.pop(attribute, None)
        if value is not None:
            self.give(place, np.array(value, dtype))

    def refuse(self, why: str) -> None:
        raise ValueError(why)


@dataclass
class Operation:
    """One entry.

    Attributes
    ----------
    run : callable
        Arrays and attributes to an array, or to a tuple of as many as there may be.
    rule : callable or None
        The types of what it makes, where they follow from the types of what it is given.
    prepare : callable or None
        For inputs that are constants: the function to call in place of `run`.
    grows : bool
        Whether what it makes may be much larger than what it is given: `rule` says how large before it runs.
    upgrades : list of (int, callable)
        How a node of a lower operator set than the number becomes one of that set.
    """

    name: str
    run: Callable[..., Any]
    rule: Rule | None = None
    prepare: Prepare | None = None
    grows: bool = False
    upgrades: list[tuple[int, Callable[[Reading], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Read from the code itself: `inspect.signature` of all operations would take a tenth of the import.
        assert isinstance(self.run, FunctionType)
        code, forms = self.run.__code__, self.run.__annotations__
        count, only = code.co_argcount, code.co_kwonlyargcount
        several = bool(code.co_flags & inspect.CO_VARARGS)
        inputs, keywords = code.co_varnames[:count], code.co_varnames[count : count + only]
        self.least = count - len(self.run.__defaults__ or ())
        # Loop's first input has no default and may be missing all the same.
        self.may_miss = any(forms[name].endswith("| None") for name in inputs[: self.least])
        self.most = None if several else count
        self.counts_outputs = "outputs" in keywords
        defaults = self.run.__kwdefaults__ or {}
        self.attributes = {name: defaults.get(name, _NEEDED) for name in keywords if name != "outputs"}
        self._needed = [name for name, default in self.attributes.items() if default is _NEEDED]
        self.kinds = {name: AttributeKind.of(forms[name], self.run) for name in keywords}
        self._forms = [forms[name] for name in inputs]
        self._more = forms[code.co_varnames[count + only]] if several else ""
        self._axes_input = next((k for k, name in enumerate(inputs) if name in ("axis", "axes")), None)
        self._axes_attribute = next((name for name in ("axis", "axes") if name in self.attributes), None)
        of_first = self.name not in _AXES_OF_OTHERS
        self._has_axes = of_first and (self._axes_input, self._axes_attribute) != (None, None)

    def check(self, inputs: Sequence[Any], attributes: dict[str, Any]) -> None:
        """Raise what arrays show to be wrong before any work is done: sequences or axes that there are not, more than
        memory can hold."""
        self._check_forms(inputs)
        if self._has_axes:
            self._check_axes(inputs, attributes, lambda array: array)
        if self.grows:
            given = [None if array is None else Value.of("", array) for array in inputs]
            held = sum(getattr(array, "nbytes", 0) for array in {id(one): one for one in inputs}.values())
            for known in self.types(given, attributes):
                if known.dtype is not None and known.shape is not None and None not in known.shape:
                    check_memory(self.name, known.shape, known.dtype.itemsize, held=held)  # type: ignore[arg-type]

    def _check_forms(self, inputs: Sequence[Any]) -> None:
        """Sequences where it takes these, and arrays where it takes those."""
        for place, value in enumerate(inputs):
            form = self._forms[place] if place < len(self._forms) else self._more
            if value is None or form.startswith("Any"):
                continue
            if isinstance(value, list) is not form.startswith("list"):
                found, wanted = (
                    ("a sequence", "an array") if isinstance(value, list) else ("an array", "a sequence")
                )
                raise TypeError(f"{self.name}: input {place} is {found}, but needs {wanted}")

    def _check_axes(
        self, inputs: Sequence[Any], attributes: dict[str, Any], constant: Callable[[Any], Any]
    ) -> None:
        """The axes that an attribute or an input says are there, each once; `constant` gives an input's numbers, None
        where they are not known."""
        place = self._axes_input
        if place is None:
            assert self._axes_attribute is not None
            axes = attributes.get(self._axes_attribute, self.attributes[self._axes_attribute])
            axes = (axes,) if isinstance(axes, int) else axes
        else:
            value = inputs[place] if place < len(inputs) else None
            array = None if value is None else constant(value)
            if array is not None and array.dtype.kind not in "iu":
                raise TypeError(f"input {place} is {array.dtype}, but needs integers")
            axes = None if array is None else array.ravel().tolist()
        first = inputs[0] if inputs else None
        shape = getattr(first, "shape", None)
        if not axes or shape is None:
            return
        rank = len(shape) + {"OneHot": 1, "Unsqueeze": len(axes)}.get(self.name, 0)
        most = rank if self.name == "Flatten" else rank - 1
        for axis in axes:
            if not -rank <= axis <= most:
                raise ValueError(f"axis {axis}, but there are {rank} axes")
        if len({axis % max(rank, 1) for axis in axes}) < len(axes):
            raise ValueError(f"axes {', '.join(map(str, axes))}, but each may be there once")

    def types(self, inputs: Sequence[Value | None], attributes: dict[str, Any]) -> Sequence[Type]:
        """Those of the outputs, by the rule; none where there is no rule."""
        if self._has_axes:
            self._check_axes(inputs, attributes, lambda value: value.constant)
        found = () if self.rule is None else self.rule(inputs, attributes)
        for known in found:
            for size in known.shape or ():
                if isinstance(size, int) and not 0 <= size <= _LARGEST:
                    raise ValueError(f"the result would have the shape {shape_text(known.shape)}")
        return found

    def refusal(self, inputs: int, attributes: dict[str, Any]) -> str | None:
        """Why it cannot be what a node says; None where it can."""
        if inputs < self.least or (self.most is not None and inputs > self.most):
            most = "any number" if self.most is None else self.most
            return f"{inputs} inputs, but it takes {self.least} to {most}"
        for name, value in attributes.items():
            if name not in self.attributes:
                return f"the attribute {name!r} is not known"
            kind = self.kinds[name]
            if not kind.fits(value):
                return f"the attribute {name!r} is {echo(value)}, but needs {kind.wanted}"
        for name in self._needed:
            if name not in attributes:
                return f"the attribute {name!r} is missing"
        return None


_LARGEST = 2**63 - 1  # what tensors of sizes hold
# Operations whose axis is that of another input than the first, or of none where a scale is one number.
_AXES_OF_OTHERS = {"DequantizeLinear", "QuantizeLinear", "com.microsoft.QLinearConcat"}


TYPES: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "Array": np.ndarray, "Body": Graph}


class AttributeKind(NamedTuple):
    """What an attribute may be: of a type, a tuple of these, or one of some words."""

    types: Any
    several: bool
    words: tuple[str, ...]
    wanted: str

    @classmethod
    def of(cls, annotation: str, function: Callable[..., Any]) -> AttributeKind:
        whole = annotation.removesuffix(" | None")
        word = whole.removeprefix("tuple[").removesuffix(", ...]")
        if word in TYPES:
            several = word != whole
            return cls(TYPES[word], several, (), f"{'a tuple of ' if several else ''}{word}")
        words = get_args(eval(word, function.__globals__))
        return cls(str, False, words, f"one of {', '.join(map(repr, words))}")

    def fits(self, value: Any) -> bool:
        if self.several:
            return isinstance(value, tuple) and all(map(isinstance, value, repeat(self.types)))
        return isinstance(value, self.types) and (not self.words or value in self.words)


TABLE: dict[str, Operation] = {}
# Operators that exist in old sets only, by how they become others.
RETIRED: dict[str, list[tuple[int, Callable[[Reading], None]]]] = {}


def operation(
    *names: str, rule: Rule | None = None, prepare: Prepare | None = None, grows: bool = False
) -> Callable[[F], F]:
    """Put a function into the table, under these names (with the domain in front where it is not ONNX's own)."""

    def add(run: F) -> F:
        for name in names:
            TABLE[name] = Operation(name, run, rule, prepare, grows)
        return run

    return add


def upgrade(*names: str, to: int) -> Callable[[F], F]:
    """Say how nodes of operator sets below `to` become nodes of that set; several steps in ascending order."""

    def add(step: F) -> F:
        for name in names:
            steps = TABLE[name].upgrades if name in TABLE else RETIRED.setdefault(name, [])
            steps.append((to, step))
            steps.sort(key=lambda pair: pair[0])
        return step

    return add


def read(reading: Reading, version: int) -> None:
    """Bring a node to the newest form; `ValueError` says what is not supported."""
    done = version
    while True:
        entry = TABLE.get(reading.operation)
        steps = entry.upgrades if entry is not None else RETIRED.get(reading.operation)
        if steps is None:
            raise ValueError("this operator is not supported")
        for number, step in steps:
            if number > done:
                done = number
                step(reading)
                break
        else:
            break
    if entry is None:
        raise ValueError(f"this operator has no meaning in operator set {version}")
    while reading.inputs and reading.inputs[-1] is None:
        reading.inputs.pop()  # optional ones that are not given
    needed = reading.inputs if entry.most is None else reading.inputs[: entry.least]
    if None in needed and not entry.may_miss:
        raise ValueError("an input that it needs is missing")
    refusal = entry.refusal(len(reading.inputs), reading.attributes)
    if refusal:
        raise ValueError(refusal)
