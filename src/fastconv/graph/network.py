"""What can be called with arrays and gives arrays, by name: a model, or a program that it was compiled to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastconv.graph.graph import Graph, Size, Value
from fastconv.typing import Array, ArrayLike


class Tensor(NamedTuple):
    """An input or output: a size of its shape is a number, a symbol that may be any number, or None; the shape and the
    dtype are None where the file does not say them."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[Size, ...] | None


class Network:
    """A graph with a call."""

    _word = "model"  # what errors call it

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs = _tensors(graph.inputs)
        self.outputs = _tensors(graph.outputs)

    def _run(self, arrays: list[Any]) -> list[Any]:
        """The outputs, for the inputs in their order."""
        raise NotImplementedError

    def __call__(
        self,
        x: ArrayLike | Sequence[ArrayLike] | Mapping[str, Any] | None = None,
        out: Array | Mapping[str, Array] | None = None,
    ) -> Any:
        """Run the network.

        Parameters
        ----------
        x : array_like, or dict of str to array_like, or sequence of array_like
            The input, or all of them by name or, where there are several, in their order. An array of another dtype is
            converted where nothing is lost.
        out : ndarray, or dict of str to ndarray, optional
            Where to put the output, or those that it names; of their shapes and dtypes, not overlapping an input.

        Returns
        -------
        ndarray, or dict of str to ndarray
            The output, or, where there are several, all by name; they share no memory with an input
            or with each other.

        Raises
        ------
        ValueError, TypeError
            If an input is missing, or its shape or dtype does not fit, or `out` does not.
        """
        arrays = self._arrays(x)
        targets = self._targets(out, arrays)
        results = self._run(arrays)
        own: list[Any] = []
        for tensor, result in zip(self.outputs, results, strict=True):
            target = targets.get(tensor.name)
            own.append(_own(result, [*arrays, *own]) if target is None else self._put(tensor, result, target))
        if len(own) == 1:
            return own[0]
        return {tensor.name: result for tensor, result in zip(self.outputs, own, strict=True)}

    def _arrays(self, x: Any) -> list[Any]:
        """The inputs in their order, checked."""
        given = zip(self.inputs, self._given(x), strict=True)
        return [_read(self._word, tensor, value) for tensor, value in given]

    def _given(self, x: Any) -> list[Any]:
        names = [tensor.name for tensor in self.inputs]
        if isinstance(x, Mapping):
            if len(x) == len(names) and all(name in x for name in names):
                return [x[name] for name in names]
            missing = [name for name in names if name not in x]
            unknown = [name for name in x if name not in names]
            constants = [name for name in unknown if name in self._constants()]
            if constants:
                raise ValueError(
                    f"{self._word}: {constants} are constants (initializers of the file) and cannot be given; "
                    f"it needs inputs {names}"
                )
            if missing or unknown:
                raise ValueError(f"{self._word}: needs inputs {names}, but got {[*x]}")
        if x is None and not names:
            return []
        if len(names) > 1 and isinstance(x, (list, tuple)) and len(x) == len(names):
            return [*x]
        if len(names) != 1 or x is None:
            count = len(x) if isinstance(x, (list, tuple)) else 0 if x is None else 1
            raise ValueError(
                f"{self._word}: got {count} of its inputs {names}, but needs each, by name or in that order"
            )
        return [x]

    def _constants(self) -> set[str]:
        read = (value for node in self.graph.nodes for value in node.reads())
        return {value.name for value in read if value is not None and value.is_constant}

    def _targets(self, out: Any, arrays: list[Any]) -> Mapping[str, Array]:
        if out is None:
            return {}
        names = [tensor.name for tensor in self.outputs]
        if not isinstance(out, Mapping) and len(names) != 1:
            raise ValueError(f"{self._word}: out needs to be a dict of some of its outputs {names}")
        targets: Mapping[str, Any] = out if isinstance(out, Mapping) else {names[0]: out}
        for name, target in targets.items():
            if name not in names:
                raise ValueError(f"{self._word}: out has {name!r}, but the outputs are {names}")
            if not isinstance(target, np.ndarray):
                raise TypeError(
                    f"{self._word}: out[{name!r}] is {type(target).__name__}, but needs an ndarray"
                )
            if not target.flags.writeable:
                raise ValueError(f"{self._word}: out[{name!r}] cannot be written to")
            others = [*arrays, *(other for key, other in targets.items() if key != name)]
            if any(isinstance(other, np.ndarray) and np.shares_memory(target, other) for other in others):
                raise ValueError(f"{self._word}: out[{name!r}] overlaps an input or another output")
        return targets

    def _put(self, tensor: Tensor, result: Any, target: Array) -> Array:
        if not isinstance(result, np.ndarray) or target.shape != result.shape or target.dtype != result.dtype:
            raise ValueError(
                f"{self._word}: out for {tensor.name!r} has shape {target.shape} and dtype {target.dtype}, but the "
                f"output has {getattr(result, 'shape', None)} and {getattr(result, 'dtype', None)}"
            )
        target[...] = result
        return target


def _tensors(values: list[Value]) -> tuple[Tensor, ...]:
    return tuple(Tensor(value.name, value.dtype, value.shape) for value in values)


def _read(word: str, tensor: Tensor, given: Any) -> Any:
    """An input as the graph takes it."""
    if isinstance(given, list) and tensor.dtype is None:
        return [np.asarray(value) for value in given]  # a sequence
    array = np.asarray(given)
    if tensor.dtype is not None and array.dtype != tensor.dtype:
        if tensor.dtype == object and array.dtype.kind in "US":
            return array.astype(object)
        if not np.can_cast(array.dtype, tensor.dtype, "safe"):
            raise TypeError(
                f"{word}: input {tensor.name!r} is {array.dtype}, but needs {tensor.dtype}, as by astype"
            )
        array = array.astype(tensor.dtype)
    if array.shape != tensor.shape and tensor.shape is not None and not _fits(array.shape, tensor.shape):
        raise ValueError(f"{word}: input {tensor.name!r} has shape {array.shape}, but needs {tensor.shape}")
    return array


def _fits(shape: tuple[int, ...], wanted: tuple[Size, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        not isinstance(size, int) or size == got for got, size in zip(shape, wanted, strict=True)
    )


def _own(result: Any, others: list[Any]) -> Any:
    """A result that the caller may write to."""
    if isinstance(result, list):
        return [_own(value, others) for value in result]
    array: Array = result
    shared = not array.flags.writeable or any(
        np.may_share_memory(array, x) for x in others if isinstance(x, np.ndarray)
    )
    return array.copy() if shared else array
