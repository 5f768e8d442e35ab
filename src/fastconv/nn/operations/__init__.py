"""The operations of networks: each with its value, its gradients and its nodes."""

from __future__ import annotations

from fastconv.nn.operations import activate, arithmetic, conv, images, norm, pool, shapes, weights

__all__ = ["activate", "arithmetic", "conv", "images", "norm", "pool", "shapes", "weights"]
