"""A network as a graph: values, and nodes that make them of others. Nothing here runs or knows a single operation.

Every graph is closed: what a branch or a loop's body reads of the graph around it comes in as inputs of its own, and
the node lists what is given for these (`Node.captures`). Nodes stand in an order in which they can run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastconv.graph.remade import Remade
from fastconv.typing import Array

# A size: a number, a symbol that may be any, or nothing known.
Size = int | str | None
# The types of a shape's sizes where all of them are known; so often asked that a loop would take long.
NUMBERS = frozenset({int})


@dataclass(eq=False, slots=True)
class Value:
    """What a node makes or a graph is given: an array, or a constant that is known here.

    Attributes
    ----------
    dtype, shape
        None where they are not known; sizes as `Size`.
    held : ndarray, Remade or None
        The constant, as it lies in memory or is made.
    element : int
        Of a type that NumPy lacks, and holds in a wider one: its number in `fastconv.graph.elements`; else 0.
    """

    name: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[Size, ...] | None = None
    held: Any = None
    element: int = 0

    @classmethod
    def of(cls, name: str, constant: Array | Remade, element: int = 0) -> Value:
        """A constant.

        Parameters
        ----------
        name : str
        constant : ndarray or Remade
        element : int
        """
        return cls(name, constant.dtype, constant.shape, constant, element)

    @property
    def constant(self) -> Any:
        """An array; None where it is none."""
        held = self.held
        return held.array() if type(held) is Remade else held

    @constant.setter
    def constant(self, array: Array) -> None:
        self.held = array

    @property
    def is_constant(self) -> bool:
        return self.held is not None


@dataclass(eq=False, slots=True)
class Node:
    """One application of an operation.

    Attributes
    ----------
    operation : str
        Its name in the table of operations.
    inputs : list of Value or None
        None where an optional one is not given.
    attributes : dict
        Numbers, strings, tuples of these, arrays, and graphs.
    captures : dict
        For each attribute that is a graph, what is given to its last inputs.
    place : str
        Where the file has it, or what it was made of; for errors.
    """

    operation: str
    inputs: list[Value | None]
    outputs: list[Value | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    captures: dict[str, list[Value]] = field(default_factory=dict)
    name: str = ""
    place: str = ""

    def reads(self) -> list[Value]:
        """All values that it reads, those for its graphs too."""
        reads = [value for value in self.inputs if value is not None]
        if self.captures:
            for values in self.captures.values():
                reads += values
        return reads

    def graphs(self) -> dict[str, Graph]:
        return {name: value for name, value in self.attributes.items() if isinstance(value, Graph)}

    def __str__(self) -> str:
        return f"{self.operation} node {self.name!r}" if self.name else f"{self.operation} node"


@dataclass(eq=False, slots=True)
class Graph:
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    name: str = ""
