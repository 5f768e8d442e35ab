"""The table of operations, and how an entry gets into it. The files beside this one fill it, each with a family.

An operation is a function on arrays: its positional parameters are the inputs (None where an optional one is missing),
its keyword-only parameters the attributes. It is called and named as ONNX has it in its newest form; a node of an older
operator set is brought to that form step by step when it is read (`upgrade`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from fastconv.graph.graph import Graph, Size, Value

F = TypeVar("F", bound=Callable[..., Any])

NEWEST = 28  # the operator set of ONNX whose operators are known here
OLDEST = 6
ALWAYS = 1_000_000  # `to` of an upgrade that nodes of every set need


@dataclass(frozen=True, slots=True)
class Type:
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
    upgrades : list of (int, callable)
        How a node of a lower operator set than the number becomes one of that set.
    """

    name: str
    run: Callable[..., Any]
    rule: Rule | None = None
    prepare: Prepare | None = None
    upgrades: list[tuple[int, Callable[[Reading], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kinds = inspect.Parameter
        parameters = inspect.signature(self.run).parameters.values()
        inputs = [p for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        self.least = sum(p.default is kinds.empty for p in inputs)
        # Loop's first input has no default and may be missing all the same.
        self.may_miss = any(p.annotation.endswith("| None") for p in inputs if p.default is kinds.empty)
        self.most = None if any(p.kind is kinds.VAR_POSITIONAL for p in parameters) else len(inputs)
        self.attributes = {
            p.name: p.default for p in parameters if p.kind is kinds.KEYWORD_ONLY and p.name != "outputs"
        }
        self.kinds = {p.name: _kind(str(p.annotation)) for p in parameters if p.kind is kinds.KEYWORD_ONLY}
        self.counts_outputs = any(p.name == "outputs" for p in parameters)

    def refusal(self, inputs: int, attributes: dict[str, Any]) -> str | None:
        """Why it cannot be what a node says; None where it can."""
        if inputs < self.least or (self.most is not None and inputs > self.most):
            most = "any number" if self.most is None else self.most
            return f"{inputs} inputs, but it takes {self.least} to {most}"
        for name, value in attributes.items():
            if name not in self.attributes:
                return f"the attribute {name!r} is not known"
            if not _is(value, *self.kinds[name]):
                return f"the attribute {name!r} is {type(value).__name__}, but needs {self.kinds[name][0]}"
        for name, default in self.attributes.items():
            if name not in attributes and default is inspect.Parameter.empty:
                return f"the attribute {name!r} is missing"
        return None


def _kind(annotation: str) -> tuple[str, bool]:
    """What an attribute's annotation asks for, and whether of several."""
    word = annotation.removesuffix(" | None")
    return word.removeprefix("tuple[").removesuffix(", ...]"), word.startswith("tuple")


_KINDS: dict[str, Any] = {"int": int, "float": (int, float), "str": str, "Array": np.ndarray, "Body": Graph}


def _is(value: Any, kind: str, several: bool) -> bool:
    if several:
        return isinstance(value, tuple) and all(isinstance(part, _KINDS[kind]) for part in value)
    return isinstance(value, _KINDS[kind])


TABLE: dict[str, Operation] = {}
# Operators that exist in old sets only, by how they become others.
RETIRED: dict[str, list[tuple[int, Callable[[Reading], None]]]] = {}


def operation(*names: str, rule: Rule | None = None, prepare: Prepare | None = None) -> Callable[[F], F]:
    """Put a function into the table, under these names (with the domain in front where it is not ONNX's own)."""

    def add(run: F) -> F:
        for name in names:
            TABLE[name] = Operation(name, run, rule, prepare)
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
        step = next((s for s in steps if s[0] > done), None)
        if step is None:
            break
        done = step[0]
        step[1](reading)
    if entry is None:
        raise ValueError(f"this operator has no meaning in operator set {version}")
    while reading.inputs and reading.inputs[-1] is None:
        reading.inputs.pop()  # optional ones that are not given
    needed = reading.inputs if entry.most is None else reading.inputs[: entry.least]
    if any(value is None for value in needed) and not entry.may_miss:
        raise ValueError("an input that it needs is missing")
    refusal = entry.refusal(len(reading.inputs), reading.attributes)
    if refusal:
        raise ValueError(refusal)
