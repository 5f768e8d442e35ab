"""Networks as graphs: values, nodes, one table of operations, a verifier, and an interpreter.

Files (`fastconv.onnx`) are read into these; whatever optimises or runs a network works on them.
"""

from __future__ import annotations

from fastconv.graph.graph import Graph, Node, Value
from fastconv.graph.inference import infer
from fastconv.graph.interpreter import Interpreter
from fastconv.graph.summaries import summary
from fastconv.graph.verifier import GraphError, verify
from fastconv.shown import shows

__all__ = ["Graph", "GraphError", "Interpreter", "Node", "Value", "infer", "summary", "verify"]
__dir__ = shows(__name__)
