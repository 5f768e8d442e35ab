"""ONNX files, read with NumPy alone and run on any backend.

A file may come from anybody: whatever it holds, it is read without running anything of it, and what is wrong with it
ends in a `ModelError` that says where.
"""

from __future__ import annotations

from fastconv.backends import resolve
from fastconv.graph.verify import GraphError, verify
from fastconv.onnx.error import ModelError, model_error
from fastconv.onnx.messages import MODEL
from fastconv.onnx.model import Model, Tensor
from fastconv.onnx.reader import Reader
from fastconv.onnx.source import Source, opened
from fastconv.onnx.wire import Parser
from fastconv.shown import shows
from fastconv.typing import BackendName

__all__ = ["Model", "ModelError", "Tensor", "load"]
__dir__ = shows(__name__)


def load(source: Source, *, backend: BackendName | None = None) -> Model:
    r"""Read a model from an ONNX file.

    Parameters
    ----------
    source : path, bytes, or an open file in binary mode
        A file that is given by its path is mapped into memory, so that weights are not copied, and must not change
        while the model is in use; only such a one can have its data in files beside it.
    backend : {"cython", "numba", "numpy"}, optional
        What the model runs on; by default the backend that is current when it is called.

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
    fastconv.onnx.error.ModelError: onnx: byte 0: field 7 of ModelProto ends at byte 7, beyond its message's end at 2
    """
    if backend is not None:
        resolve("load", backend)
    data, folder = opened(source)
    graph = Reader(Parser(data).parse(MODEL), folder).graph
    try:
        verify(graph)
    except GraphError as error:  # what the reader should have said, with a place
        raise model_error(str(error)) from error
    return Model(graph, backend)
