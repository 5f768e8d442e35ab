"""ONNX files, read with NumPy alone and run on any backend.

A file may come from anybody: whatever it holds, it is read without running anything of it, and what is wrong with it
ends in a `ModelError` that says where.
"""

from __future__ import annotations

import os
from io import TextIOBase
from typing import Any, Protocol

from fastconv.arguments import flag
from fastconv.backends import resolve
from fastconv.first_use import importing
from fastconv.graph.graph import Graph
from fastconv.graph.network import Tensor
from fastconv.graph.verifier import GraphError, verify
from fastconv.onnx.error import ModelError, model_error
from fastconv.onnx.messages import MODEL
from fastconv.onnx.model import Model
from fastconv.onnx.reader import Reader
from fastconv.onnx.source import Source, opened
from fastconv.onnx.wire import Parser
from fastconv.shown import shows
from fastconv.typing import BackendName

__all__ = ["Model", "ModelError", "Tensor", "load", "save"]
__dir__ = shows(__name__)


def load(source: Source, *, backend: BackendName | None = None, optimize: bool = True) -> Model:
    r"""Read a model from an ONNX file.

    Parameters
    ----------
    source : path, bytes, or an open file in binary mode
        A file that is given by its path is mapped into memory, so that weights are not copied, and must not change
        while the model is in use; only such a one can have its data in files beside it.
    backend : {"cython", "numba", "numpy"}, optional
        What the model runs on; by default the backend that is current when it is called.
    optimize : bool
        Whether nodes are fused and simplified before they run; without, they run one by one as the file has them.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If the file is damaged, or holds an operator that is not supported: the message says which, of which version,
        and where.
    OSError
        If the file cannot be read.

    References
    ----------
    Open Neural Network Exchange, https://onnx.ai/onnx/intro/.

    Examples
    --------
    A file of the operator Relu alone:

    >>> import fastconv, numpy as np
    >>> node = b"\x0a\x01x\x12\x01y\x22\x04Relu"
    >>> graph = b"\x0a" + bytes([len(node)]) + node + b"\x5a\x03\x0a\x01x\x62\x03\x0a\x01y"
    >>> model = fastconv.onnx.load(b"\x3a" + bytes([len(graph)]) + graph + b"\x42\x02\x10\x12")
    >>> model(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> fastconv.onnx.load(b"\x3a\x05")
    Traceback (most recent call last):
        ...
    fastconv.graph.error.ModelError: onnx: byte 0: field 7 of ModelProto ends at byte 7, beyond its message's end at 2
    """
    if backend is not None:
        resolve("load", backend)
    data, folder = opened(source)
    reader = Reader(Parser(data).parse(MODEL), folder)
    try:
        verify(reader.graph, reader.allowed)
    except GraphError as error:  # what the reader should have said, with a place
        raise model_error(str(error)) from error
    return Model(reader.graph, backend, flag("load", "optimize", optimize))


_LARGEST = 2**31


class Writable(Protocol):
    """An open file, in binary mode."""

    def write(self, data: bytes, /) -> Any: ...


class Drawable(Protocol):
    """What can be drawn as a graph: a network of `fastconv.nn`."""

    def graph(self, input_shape: Any) -> Graph: ...


def save(
    model: Model | Graph | Drawable, path: str | os.PathLike[str] | Writable, *, input_shape: Any = None
) -> None:
    """Write a network into an ONNX file.

    Parameters
    ----------
    model : Model, Graph or fastconv.nn.Module
        As `load` gives it, a graph of one's own, or a network. Operators are written in their newest form, as operator
        set 22 or the lowest after it that has them all.
    path : path_like, or an open file in binary mode
        A path's file is written in place of what is there, as a whole or not at all.
    input_shape : tuple of int, optional
        That of a network's input, in its layout; None as the first size means a batch of any size.

    Raises
    ------
    TypeError
        If there is no `input_shape` for a network, or one for something else, or `path` is none, nor an open file.
    ValueError
        If the network holds what is not written: constants of types that NumPy lacks, inputs and outputs of unknown
        dtype (sequences), or more than 2 GiB.
    OSError
        If it cannot be written.

    Examples
    --------
    >>> import os, tempfile, fastconv, numpy as np
    >>> from fastconv.graph import Graph, Node, Value
    >>> x, y = (Value(name, np.dtype(np.float32), ("N", 3)) for name in "xy")
    >>> path = os.path.join(tempfile.mkdtemp(), "relu.onnx")
    >>> fastconv.onnx.save(Graph([x], [y], [Node("Relu", [x], [y])]), path)
    >>> fastconv.onnx.load(path)
    <Model 'graph' (x: float32 ('N', 3)) -> (y: float32 ('N', 3))>
    """
    with importing:
        from pathlib import Path

        from fastconv.onnx.encode import encode
        from fastconv.onnx.export import Exporter
        from fastconv.settings.folder import write_whole
    graph = _graph_of(model, input_shape)
    if not isinstance(path, (str, os.PathLike)) and (
        isinstance(path, TextIOBase) or not hasattr(path, "write")
    ):
        raise TypeError(
            f"save: path is {type(path).__name__}, but needs to be a path or an open file in binary mode"
        )
    verify(graph)
    data = encode(MODEL, Exporter(graph).model)
    if len(data) >= _LARGEST:
        raise ValueError(
            f"save: the file would have {len(data)} bytes, but protobuf's files have less than 2 GiB"
        )
    if isinstance(path, (str, os.PathLike)):
        write_whole(Path(path), data)
    else:
        path.write(data)


def _graph_of(model: Any, input_shape: Any) -> Graph:
    if isinstance(model, (Model, Graph)):
        if input_shape is not None:
            raise TypeError("save: input_shape is for networks; a graph has the shapes of its inputs")
        return model.graph if isinstance(model, Model) else model
    draw = getattr(model, "graph", None)
    if not callable(draw):
        raise TypeError(
            f"save: model is {type(model).__name__}, but needs to be a Model, a Graph or a network"
        )
    if input_shape is None:
        raise TypeError(f"save: model is {type(model).__name__}, which needs input_shape")
    graph: Graph = draw(input_shape)  # pyright: ignore  (as checked above)
    return graph
