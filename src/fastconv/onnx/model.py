"""A model that was loaded: its inputs and outputs by name, and the call. Made by `load`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np

from fastconv.backends import use_backend
from fastconv.graph.graph import Graph, Size, Value
from fastconv.graph.interpreter import Interpreter
from fastconv.graph.summaries import summary
from fastconv.typing import Array, ArrayLike, BackendName


class Tensor(NamedTuple):
    """An input or output: a size of its shape is a number, a symbol that may be any number, or None; the shape and the
    dtype are None where the file does not say them."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[Size, ...] | None


class Model:
    """A network that was read from an ONNX file. Made by `load`.

    It runs node by node, on the current backend or the one that it was loaded for. Several threads may call it, and it
    can be pickled.

    Attributes
    ----------
    inputs, outputs : tuple of Tensor
        Their names, dtypes and shapes.
    graph : fastconv.graph.Graph
        What runs; not to be changed.
    """

    def __init__(self, graph: Graph, backend: BackendName | None) -> None:
        self.graph = graph
        self._backend: BackendName | None = backend
        self._run = Interpreter(graph)
        self.inputs = _tensors(graph.inputs)
        self.outputs = _tensors(graph.outputs)

    def __call__(self, x: ArrayLike | Sequence[ArrayLike] | Mapping[str, Any] | None = None) -> Any:
        """Run the network.

        Parameters
        ----------
        x : array_like, or dict of str to array_like
            The input, or all of them by name. An array of another dtype is converted where nothing is lost.

        Returns
        -------
        ndarray, or dict of str to ndarray
            The output, or, where there are several, all by name; they share no memory with an input
            or with each other.

        Raises
        ------
        ValueError, TypeError
            If an input is missing, or its shape or dtype does not fit.
        """
        arrays = [_read(tensor, value) for tensor, value in zip(self.inputs, self._given(x), strict=True)]
        with nullcontext() if self._backend is None else use_backend(self._backend):
            results = self._run(*arrays)
        own: list[Any] = []
        for result in results:
            own.append(_own(result, [*arrays, *own]))
        if len(own) == 1:
            return own[0]
        return {tensor.name: result for tensor, result in zip(self.outputs, own, strict=True)}

    def summary(self) -> str:
        """List the nodes, with what is known of their outputs, and their constants.

        Returns
        -------
        str
            As `fastconv.graph.summary` says.
        """
        return summary(self.graph)

    def _given(self, x: Any) -> list[Any]:
        names = [tensor.name for tensor in self.inputs]
        if isinstance(x, Mapping):
            missing = [name for name in names if name not in x]
            unknown = [name for name in x if name not in names]
            if missing or unknown:
                raise ValueError(f"model: needs inputs {names}, but got {[*x]}")
            return [x[name] for name in names]
        if x is None and not names:
            return []
        if len(names) != 1 or x is None:
            raise ValueError(f"model: needs a dict of its {len(names)} inputs {names}")
        return [x]

    def __reduce__(self) -> tuple[Any, ...]:
        return Model, (self.graph, self._backend)

    def __repr__(self) -> str:
        shown = [f"{t.name}: {t.dtype} {t.shape}" for t in (*self.inputs, *self.outputs)]
        ins, outs = shown[: len(self.inputs)], shown[len(self.inputs) :]
        return f"<Model {self.graph.name!r} ({', '.join(ins)}) -> ({', '.join(outs)})>"


def _tensors(values: list[Value]) -> tuple[Tensor, ...]:
    return tuple(Tensor(value.name, value.dtype, value.shape) for value in values)


def _read(tensor: Tensor, given: Any) -> Any:
    """An input as the graph takes it."""
    if isinstance(given, list) and tensor.dtype is None:
        return [np.asarray(value) for value in given]  # a sequence
    array = np.asarray(given)
    if tensor.dtype is not None and array.dtype != tensor.dtype:
        if tensor.dtype == object and array.dtype.kind in "US":
            return array.astype(object)
        if not np.can_cast(array.dtype, tensor.dtype, "safe"):
            raise TypeError(f"model: input {tensor.name!r} is {array.dtype}, but needs {tensor.dtype}")
        array = array.astype(tensor.dtype)
    if tensor.shape is not None and not _fits(array.shape, tensor.shape):
        raise ValueError(f"model: input {tensor.name!r} has shape {array.shape}, but needs {tensor.shape}")
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
