"""Blocks: what networks are built of, above layers."""

from __future__ import annotations

from fastconv.nn.blocks.attention import CBAM, ECA, SE, NonLocal, SpatialAttention
from fastconv.nn.blocks.branches import ASPP, Dense, Fire, Inception, Transition
from fastconv.nn.blocks.parts import StochasticDepth
from fastconv.nn.blocks.residual import Bottleneck, InvertedResidual, Residual
from fastconv.shown import shows

__all__ = [
    "ASPP",
    "CBAM",
    "ECA",
    "SE",
    "Bottleneck",
    "Dense",
    "Fire",
    "Inception",
    "InvertedResidual",
    "NonLocal",
    "Residual",
    "SpatialAttention",
    "StochasticDepth",
    "Transition",
]
__dir__ = shows(__name__)
