"""Pooling into a given number of windows, and over whole planes, as users call it."""

from __future__ import annotations

from typing import Literal, cast, overload

import numpy as np

from fastconv import arguments
from fastconv.arguments import Pair
from fastconv.execution.arrays import as_array, read_out
from fastconv.execution.known_calls import recall_pool
from fastconv.execution.pooling import pool, read
from fastconv.problem.layout import check_layout, spatial_axes
from fastconv.problem.pooling import Reducer, Windows, adaptive
from fastconv.text import echo
from fastconv.typing import Array, ArrayLike, BackendName, Indices, Layout, OutputSizeLike, PairLike

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d", "global_avg_pool2d", "global_max_pool2d"]


def adaptive_avg_pool2d(
    x: ArrayLike,
    output_size: OutputSizeLike,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The means of windows that divide the image into `output_size` overlapping parts.

    Parameters
    ----------
    x : array_like
        As for `avg_pool2d`.
    output_size : int or pair
        Rows and columns of the output; None keeps the size of `x` along that axis.
    layout, out, backend
        As for `max_pool2d`.

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Notes
    -----
    Output `o` of `O` covers the pixels from ``floor(o * size / O)`` up to ``ceil((o + 1) * size / O)``, as in
    PyTorch.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_avg_pool2d(np.array([[[1.0, 2.0, 6.0]]]), (1, 2))
    array([[[1.5, 4. ]]])
    """
    return _pool("adaptive_avg_pool2d", x, output_size, "sum", layout, out, backend)


@overload
def adaptive_max_pool2d(
    x: ArrayLike, output_size: OutputSizeLike, return_indices: Literal[False] = False, *,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array: ...  # fmt: skip
@overload
def adaptive_max_pool2d(
    x: ArrayLike, output_size: OutputSizeLike, return_indices: Literal[True], *,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def adaptive_max_pool2d(
    x: ArrayLike, output_size: OutputSizeLike, return_indices: bool = False, *,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def adaptive_max_pool2d(
    x: ArrayLike,
    output_size: OutputSizeLike,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]:
    """The maxima of windows that divide the image into `output_size` overlapping parts.

    Parameters
    ----------
    x, return_indices, layout, out, backend
        As for `max_pool2d`.
    output_size : int or pair
        As for `adaptive_avg_pool2d`.

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.adaptive_max_pool2d(np.array([[[1.0, 2.0, 6.0]]]), (1, 2))
    array([[[2., 6.]]])
    """
    return _pool("adaptive_max_pool2d", x, output_size, "max", layout, out, backend, return_indices)


@overload
def _pool(
    op: str, x: ArrayLike, output_size: OutputSizeLike, reducer: Reducer, layout: Layout,
    out: Array | None, backend: BackendName | None, return_indices: Literal[False] = False,
) -> Array: ...  # fmt: skip
@overload
def _pool(
    op: str, x: ArrayLike, output_size: OutputSizeLike, reducer: Reducer, layout: Layout,
    out: Array | None, backend: BackendName | None, return_indices: bool,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def _pool(
    op: str,
    x: ArrayLike,
    output_size: OutputSizeLike,
    reducer: Reducer,
    layout: Layout,
    out: Array | None,
    backend: BackendName | None,
    return_indices: bool = False,
) -> Array | tuple[Array, Indices]:
    given = (output_size, layout)
    if not return_indices:
        known = recall_pool(op, x, out, given, backend)
        if known is not None:
            return known
    array, batched, size = read(op, x, layout)
    windows = adaptive_windows(op, size, output_size)
    return pool(
        op, array, batched, layout, windows, reducer,
        out=out, backend=backend, return_indices=return_indices, given=given,
    )  # fmt: skip


def adaptive_windows(op: str, size: Pair, output_size: OutputSizeLike) -> tuple[Windows, Windows]:
    wanted = (None, None) if output_size is None else output_size
    if isinstance(wanted, (tuple, list)) and None in wanted:
        if len(wanted) != 2:
            raise ValueError(f"{op}: output_size is {echo(output_size)}, but needs an integer or a pair")
        vertical, horizontal = (s if w is None else w for w, s in zip(wanted, size, strict=True))
        wanted = vertical, horizontal
    rows, columns = arguments.pair(op, "output_size", cast(PairLike, wanted), 1)
    return adaptive(size[0], rows), adaptive(size[1], columns)


def global_avg_pool2d(
    x: ArrayLike,
    *,
    keepdims: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array:
    """The mean of every channel's plane.

    Parameters
    ----------
    x, layout, out, backend
        As for `avg_pool2d`.
    keepdims : bool
        Keep the two spatial axes with size 1; otherwise the result is ``(N, C)`` (or ``(C,)``).

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.global_avg_pool2d(np.array([[[1.0, 2.0], [3.0, 6.0]]]), keepdims=False)
    array([3.])
    """
    inner = _expand_out("global_avg_pool2d", x, out, keepdims, layout)
    result = _pool("global_avg_pool2d", x, 1, "sum", layout, inner, backend)
    return _squeeze(result, keepdims, layout, out)


@overload
def global_max_pool2d(
    x: ArrayLike, return_indices: Literal[False] = False, *, keepdims: bool = True,
    layout: Layout = "NCHW", out: Array | None = None, backend: BackendName | None = None,
) -> Array: ...  # fmt: skip
@overload
def global_max_pool2d(
    x: ArrayLike, return_indices: Literal[True], *, keepdims: bool = True, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> tuple[Array, Indices]: ...  # fmt: skip
@overload
def global_max_pool2d(
    x: ArrayLike, return_indices: bool = False, *, keepdims: bool = True, layout: Layout = "NCHW",
    out: Array | None = None, backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]: ...  # fmt: skip
def global_max_pool2d(
    x: ArrayLike,
    return_indices: bool = False,
    *,
    keepdims: bool = True,
    layout: Layout = "NCHW",
    out: Array | None = None,
    backend: BackendName | None = None,
) -> Array | tuple[Array, Indices]:
    """The maximum of every channel's plane.

    Parameters
    ----------
    x, return_indices, layout, out, backend
        As for `max_pool2d`.
    keepdims : bool
        As for `global_avg_pool2d`; the indices have the same shape.

    Returns
    -------
    ndarray, or (ndarray, ndarray) with `return_indices`

    Raises
    ------
    ValueError, TypeError
        As for `max_pool2d`.

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> fastconv.global_max_pool2d(np.array([[[1.0, 2.0], [3.0, 6.0]]]), keepdims=False, return_indices=True)
    (array([6.]), array([3]))
    """
    inner = _expand_out("global_max_pool2d", x, out, keepdims, layout)
    result = _pool("global_max_pool2d", x, 1, "max", layout, inner, backend, return_indices)
    if isinstance(result, tuple):
        return _squeeze(result[0], keepdims, layout, out), _squeeze(result[1], keepdims, layout, None)
    return _squeeze(result, keepdims, layout, out)


def _expand_out(op: str, x: ArrayLike, out: Array | None, keepdims: bool, layout: Layout) -> Array | None:
    if arguments.flag(op, "keepdims", keepdims) or out is None:
        return out
    check_layout(op, layout)
    target = read_out(op, out)
    if target.ndim != as_array(op, "x", x).ndim - 2:
        raise ValueError(
            f"{op}: out has shape {target.shape}, but needs (N, C), or (C,) where x is one image, with keepdims=False"
        )
    return np.expand_dims(target, spatial_axes(layout))


def _squeeze(result: Array, keepdims: bool, layout: Layout, out: Array | None) -> Array:
    if out is not None:
        return out
    return result if keepdims else result.squeeze(spatial_axes(layout))
