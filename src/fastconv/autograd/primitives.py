"""The three primitives of autograd that all operations are made of, whatever their number of derivatives.

`apply` stands for one call of the library. Its gradient is a primitive too (`gradients`), made by the library's own
function; what autograd differentiates beyond that is the same function composed of NumPy's and of `contract`, whose
derivatives are all `contract` again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from autograd import make_jvp, make_vjp
from autograd.extend import def_linear, defjvp_argnums, defvjp_argnum, defvjp_argnums, primitive

from fastconv.typing import Array

Maps = tuple[Callable[..., Array], ...]


def _missing(operands: Sequence[Any]) -> int:
    return next(i for i, operand in enumerate(operands) if operand is None)


def _contract(maps: Maps, *operands: Any) -> Array:
    """The one operand that is None, from the others.

    ``maps[i]`` takes all operands but number `i`, and gives the gradient with respect to that operand of one number
    that is linear in each of them: for a convolution, of ``sum(conv2d(x, weight) * y)`` with the operands x, weight, y.
    """
    return maps[_missing(operands)](*(operand for operand in operands if operand is not None))


contract = primitive(_contract)


def _contract_vjp(argnum: int, ans: Any, args: Any, kwargs: Any) -> Any:
    maps, *operands = args
    missing, dtype = _missing(operands), ans.dtype
    operands[argnum - 1] = None

    def vjp(g: Any) -> Any:
        return contract(maps, *operands[:missing], cast(g, dtype), *operands[missing + 1 :])

    return vjp


defvjp_argnum(contract, _contract_vjp)
def_linear(contract)


def cast(value: Any, dtype: Any) -> Any:
    """`value` in `dtype`: a loss in float64 does not make the gradients of a float32 network float64."""
    if value.dtype == dtype:
        return value
    before = value.dtype
    return contract((lambda g: g.astype(before), lambda v: v.astype(dtype)), value, None)


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One call, with all arguments that are not differentiated by.

    Attributes
    ----------
    value : ndarray
        Its result.
    gradient : function
        ``gradient(wanted, grad_output, *arrays)``: the gradients of the arrays whose numbers are `wanted`.
    composed : function
        ``composed(*arrays)``: the result again, from what autograd can differentiate.
    """

    value: Array
    gradient: Callable[..., tuple[Any, ...]]
    composed: Callable[..., Any]


def _apply(operation: Primitive, *arrays: Any) -> Array:
    return operation.value


def _apply_composed(operation: Primitive, *arrays: Any) -> Any:
    return operation.composed(*arrays)


def _gradients(operation: Primitive, wanted: tuple[int, ...], g: Array, *arrays: Any) -> tuple[Array, ...]:
    found = operation.gradient(wanted, g, *arrays)
    pairs = zip(found, (arrays[i] for i in wanted), strict=True)
    return tuple(f.astype(a.dtype, copy=False) if a.dtype.kind == "f" else f for f, a in pairs)


def _gradients_composed(operation: Primitive, wanted: tuple[int, ...], g: Any, *arrays: Any) -> Any:
    return make_vjp(operation.composed, wanted)(*arrays)[0](g)  # pyright: ignore[reportArgumentType]


apply = primitive(_apply)
gradients = primitive(_gradients)


def _apply_vjp(argnums: tuple[int, ...], ans: Any, args: Any, kwargs: Any) -> Any:
    operation, *arrays = args
    wanted, dtype = tuple(i - 1 for i in argnums), ans.dtype
    return lambda g: gradients(operation, wanted, cast(g, dtype), *arrays)


@contextmanager
def _independence_allowed() -> Iterator[None]:
    """Without autograd's warning of a derivative that is zero, such as the second one of a ReLU."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Output seems independent of input")
        yield


def _gradients_vjp(argnums: tuple[int, ...], ans: Any, args: Any, kwargs: Any) -> Any:
    with _independence_allowed():
        return make_vjp(_gradients_composed, argnums)(*args)[0]  # pyright: ignore[reportArgumentType]


def _jvp(composed: Callable[..., Any]) -> Callable[..., Any]:
    def jvp(argnums: tuple[int, ...], gs: Any, ans: Any, args: Any, kwargs: Any) -> Any:
        with _independence_allowed():
            return make_jvp(composed, argnums)(*args)(tuple(gs))[1]  # pyright: ignore[reportArgumentType]

    return jvp


defvjp_argnums(apply, _apply_vjp)
defjvp_argnums(apply, _jvp(_apply_composed))
defvjp_argnums(gradients, _gradients_vjp)
defjvp_argnums(gradients, _jvp(_gradients_composed))
