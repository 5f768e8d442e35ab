"""Sizes, receptive fields and costs of convolutions and pooling, from shapes alone (no arrays).

Users call these functions as ``fastconv.geometry``.
"""

from fastconv.geometry.costs import ConvMemory, conv_flops, conv_memory, conv_params
from fastconv.geometry.receptive import ReceptiveField, receptive_field
from fastconv.geometry.sizes import (
    conv_output_size,
    conv_transpose_output_size,
    pool_output_size,
    same_padding,
)
from fastconv.shown import shows

__all__ = [
    "ConvMemory", "ReceptiveField", "conv_flops", "conv_memory", "conv_output_size", "conv_params",
    "conv_transpose_output_size", "pool_output_size", "receptive_field", "same_padding",
]  # fmt: skip
__dir__ = shows(__name__)
