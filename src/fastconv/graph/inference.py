"""What is known of a node's outputs before it runs: their dtypes and shapes, by the rules of the table."""

from __future__ import annotations

from fastconv.graph.graph import Node
from fastconv.graph.operations import TABLE


def infer(node: Node) -> None:
    """Write what follows from the types of a node's inputs into its outputs, where nothing is known of these yet.

    Parameters
    ----------
    node : Node

    Raises
    ------
    ValueError
        If the inputs do not fit each other.
    """
    types = TABLE[node.operation].types(node.inputs, node.attributes)
    for output, known in zip(node.outputs, types, strict=False):
        if output is not None:
            output.dtype = known.dtype if output.dtype is None else output.dtype
            output.shape = known.shape if output.shape is None else output.shape
