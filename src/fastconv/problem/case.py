"""All that shapes, dtypes and options say about a call of a convolution, worked out once and cached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv.caches import kept
from fastconv.problem.convolution import ConvOptions, ConvProblem, padding_tables
from fastconv.problem.dtypes import compute_dtype, float_result
from fastconv.problem.layout import check_image
from fastconv.problem.padding import Borders
from fastconv.typing import Precision


@dataclass(frozen=True, slots=True, eq=False)
class ConvCase:
    """What shapes, dtypes and options say about a call.

    Attributes
    ----------
    problem : ConvProblem
        What the backend is given, padding modes other than zeros already applied.
    borders : tuple of Border or None
        What to pad first, for such a mode.
    x_shape, shape : tuple of int
        Of the batch and of the result in the user's layout, always 4-D.
    batched : bool
    dtype, result_dtype : dtype
        What is computed in, and what is returned.
    """

    problem: ConvProblem
    borders: Borders | None
    x_shape: tuple[int, ...]
    shape: tuple[int, ...]
    batched: bool
    dtype: np.dtype[Any]
    result_dtype: np.dtype[Any]


@kept()
def find_case(
    o: ConvOptions,
    precision: Precision,
    x_shape: tuple[int, ...],
    x_dtype: np.dtype[Any],
    weight_shape: tuple[int, ...],
    weight_dtype: np.dtype[Any],
) -> ConvCase:
    """The case of a call; all errors about shapes are raised here."""
    batched = check_image(o.op, o.x_name, x_shape, o.layout)
    full = x_shape if batched else (1, *x_shape)
    result_dtype = float_result(x_dtype, weight_dtype)
    dtype = compute_dtype(result_dtype)
    problem = o.problem(full, weight_shape, dtype, precision)
    shape, borders = problem.result_in(o.layout), None
    padded = padding_tables(o, problem)
    if padded is not None:
        problem, borders = padded
    return ConvCase(problem, borders, full, shape, batched, dtype, result_dtype)
