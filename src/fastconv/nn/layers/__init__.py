"""The layers of networks."""

from __future__ import annotations

from fastconv.nn.layers import conv, dense, norm, pool

__all__ = ["conv", "dense", "norm", "pool"]
