"""The pass `patterns`: operations that exporters write out in smaller ones."""

from __future__ import annotations

from fastconv.graph.passes.editor import Editor
from fastconv.graph.passes.gates import product, softplus
from fastconv.graph.passes.norms import layer_norm
from fastconv.graph.passes.rearrangements import pool, shuffle

_RULES = {
    "Add": layer_norm,
    "Div": product,
    "Log": softplus,
    "Mul": product,
    "ReduceMean": pool,
    "Reshape": shuffle,
}


def patterns(editor: Editor) -> None:
    """Activations that are products (HardSwish, Swish, Gelu, Mish), HardSigmoid, Softplus, LayerNormalization, the
    mean of whole images, and shuffles of channels and pixels, from their parts."""
    for node in editor.nodes():
        rule = _RULES.get(node.operation)
        if rule is not None:
            rule(node, editor)
