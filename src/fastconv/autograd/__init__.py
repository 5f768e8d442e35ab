"""The operations of `fastconv` for HIPS autograd: ``autograd.grad`` and its relatives go through them.

Names, arguments and results are those of `fastconv`; arrays may be given by position or by name, and results that
are not real numbers (indices) are constants. Where there is nothing to differentiate by, these functions are those of
`fastconv`. Needs the ``autograd`` extra.

First derivatives in reverse mode are computed by `fastconv.grad`. Forward mode and higher derivatives are composed of
convolutions, windows' sums and NumPy's functions, in which `deform_conv2d` is an im2col of its own, and slow.

Examples
--------
>>> import numpy as np
>>> import autograd
>>> import autograd.numpy as anp
>>> import fastconv.autograd as fa
>>> def loss(weight, x):
...     return anp.sum(fa.max_pool2d(fa.conv2d(x, weight=weight, activation="relu"), 2) ** 2)
>>> autograd.grad(loss)(np.ones((1, 1, 1, 2)), np.array([[[1.0, 0.0, 2.0], [0.0, 3.0, -1.0]]]))
array([[[[ 0., 18.]]]])
"""

try:
    import autograd as _autograd  # noqa: F401
except ImportError as error:
    raise ImportError(
        f'fastconv.autograd cannot be loaded: {error}; install it with: pip install "fastconv[autograd]"'
    ) from error

from collections.abc import Callable
from typing import Any

from fastconv.autograd.operations import RECORDED

__all__ = sorted(RECORDED)

globals().update(RECORDED)


def __getattr__(name: str) -> Callable[..., Any]:
    """Tells type checkers what the names of `__all__` are; at run time none of them comes here."""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
