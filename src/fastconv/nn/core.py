"""A part of a network: what it holds, by paths, and what happens when it is called.

A module's attributes are arrays and other modules. Arrays of floating-point numbers are its parameters, unless they
were made by `Module.buffer`; while a network is differentiated or drawn, reading one gives the tape's variable or the
graph's symbol in its place.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from fastconv.nn.initialisers import initialiser
from fastconv.nn.operations.weights import stored
from fastconv.nn.scope import SCOPE, SINGLE, setting
from fastconv.nn.traced import Traced
from fastconv.problem.layout import channels_last, check_layout
from fastconv.typing import Layout

# What holds no modules: most attributes of layers, which every step of a training walks over.
_PLAIN = frozenset({bool, int, float, str, type(None)})
# The classes of this package by their names: what a file's structure may be made of.
CLASSES: dict[str, type] = {}


def class_name(cls: type) -> str:
    """How files call a class: blocks and parts of networks with their module in front, as names come twice."""
    parts = cls.__module__.split(".")[2:]
    inner = parts[0] in ("blocks", "models") if parts else False
    return (
        f"{parts[0]}.{cls.__name__}" if inner and cls.__module__.startswith("fastconv.nn.") else cls.__name__
    )


class Core:
    """What `Module` is without what it does: attributes, paths, calls."""

    layout: Layout | None
    dtype: np.dtype[Any]
    # What a subclass shows of itself, by the names of attributes.
    shown: ClassVar[tuple[str, ...]] = ()
    # Attributes that are no parts.
    inner: ClassVar[frozenset[str]] = frozenset(
        {"_parameters", "_buffers", "_frozen", "_made_with", "_record"}
    )

    def __init__(self, *, layout: Layout | None = None) -> None:
        state = self.__dict__
        state["_parameters"] = {}
        state["_buffers"] = {}
        state["_frozen"] = set()
        state["layout"] = None if layout is None else check_layout(type(self).__name__, layout)
        state["dtype"] = SINGLE

    def __new__(cls, *args: Any, **named: Any) -> Any:
        if SCOPE.allowed is not None:
            SCOPE.allowed -= 1
            if SCOPE.allowed < 0:
                raise ValueError("load: the structure makes too many layers")
        made = super().__new__(cls)
        made.__dict__["_made_with"] = args, named
        return made

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.startswith("fastconv.nn.") and not cls.__name__.startswith("_"):
            CLASSES[class_name(cls)] = cls
        for name in ("forward", "__call__"):
            if name in cls.__dict__:
                setattr(cls, name, _scoped(cls.__dict__[name], name))

    def __setattr__(self, name: str, value: Any) -> None:
        state = self.__dict__
        if "_parameters" not in state:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() before setting {name!r}")
        if name in state["_buffers"]:
            state["_buffers"][name] = np.asarray(value)
        elif name in state["_parameters"] or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            state.pop(name, None)
            state["_parameters"][name] = value
        else:
            state[name] = value

    def __getattr__(self, name: str) -> Any:
        """Only where there is no ordinary attribute: a parameter or a buffer."""
        state = self.__dict__
        for held in ("_parameters", "_buffers"):
            if name in state.get(held, ()):
                array = state[held][name]
                tracer = SCOPE.tracer
                return array if tracer is None or array is None else tracer.lift(array)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for held in ("_parameters", "_buffers"):
            if name in self.__dict__[held]:
                del self.__dict__[held][name]
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers]

    def buffer(self, name: str, array: Any) -> None:
        """Hold an array that belongs to the state, but is not trained.

        Parameters
        ----------
        name : str
            The attribute that it is.
        array : array_like
        """
        self.__dict__.pop(name, None)
        self._parameters.pop(name, None)
        self._buffers[name] = np.asarray(array)

    def children(self) -> Iterator[tuple[str, Core]]:
        """The modules among the attributes, also those in lists, tuples and dicts, by their paths."""
        inner = self.inner
        for name, value in self.__dict__.items():
            if type(value) not in _PLAIN and name not in inner:
                yield from _modules(name, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Core]]:
        """This module, and all within it, by their paths."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def forward(self, *inputs: Any) -> Any:
        """Compute the result and keep what `backward` needs.

        Within the call of another module it is the call itself. A subclass writes this method, or ``__call__``.

        Parameters
        ----------
        inputs : array_like

        Returns
        -------
        ndarray
        """
        return self._forwarded(inputs)

    def __call__(self, *inputs: Any) -> Any:
        """Compute the result: in inference mode, unless `nn.training` says otherwise.

        Parameters
        ----------
        inputs : array_like
            Of the network's layout; they are read as its dtype.

        Returns
        -------
        ndarray
        """
        written = getattr(type(self).forward, "__wrapped__", None)
        if written is None:
            raise NotImplementedError(f"{type(self).__name__} needs a method forward, or __call__")
        if SCOPE.modules and SCOPE.modules[-1] is self:
            return written(self, *inputs)
        return entered(self, written, inputs, {})

    def _forwarded(self, inputs: tuple[Any, ...]) -> Any:
        """`forward`, called by a user or by another module."""
        if SCOPE.modules or SCOPE.tracer is not None:
            return self(*inputs)
        return self._kept(inputs)

    def _kept(self, inputs: tuple[Any, ...]) -> Any:
        """A call whose tape is kept."""
        raise NotImplementedError

    # What layers are made of.

    def declare(self, name: str, wanted: bool = True) -> None:
        """Say that there will be a parameter, or None in its place."""
        if wanted:
            self._parameters[name] = None
        else:
            self.__dict__[name] = None

    def check(self, name: str, shape: tuple[int, ...], why: str) -> None:
        """Refuse an input that a parameter does not fit, where there is one."""
        array = self._parameters.get(name)
        if array is not None and array.shape != shape:
            raise ValueError(f"{why}, which needs {name} of shape {shape}, but it has {array.shape}")

    def make(self, name: str, shape: tuple[int, ...], init: Any) -> None:
        """Make a parameter that is not there yet."""
        if self._parameters.get(name, self) is not None:
            return  # it is there, or not wanted
        begin = initialiser(SCOPE.initialiser or init)
        array = begin(shape, SCOPE.generator(), SCOPE.dtype)
        made = self._parameters[name] = stored(np.asarray(array, SCOPE.dtype), SCOPE.layout)
        if SCOPE.tracer is not None and name not in self._frozen:
            SCOPE.tracer.made(made)
        if SCOPE.built is not None:
            SCOPE.built.append((self, name))

    def expected(self, name: str) -> tuple[int | None, ...]:
        """The shape of a parameter that is not there yet, as far as it is known."""
        raise ValueError(f"{type(self).__name__}: {name} is not made yet")

    def channels(self, x: Any, spatial: int = 2) -> int:
        """The channels of a batch of images, or of signals; refuses anything else."""
        places = ("H", "W") if spatial == 2 else ("L",)
        letters = ("N", *places, "C") if channels_last(SCOPE.layout) else ("N", "C", *places)
        if x.ndim != spatial + 2:
            raise ValueError(f"x has shape {x.shape}, but needs ({', '.join(letters)})")
        return int(x.shape[-1 if channels_last(SCOPE.layout) else 1])

    def current_parts(self) -> dict[str, Any] | None:
        """A container's parts, which may be others than those that it was made with."""
        return None

    def _shown(self) -> Iterator[str]:
        """What it was made with, without what is the default."""
        defaults = inspect.signature(type(self).__init__).parameters
        for name in self.shown:
            if name not in defaults:  # of a subclass that decides it
                continue
            value, default = getattr(self, name), defaults[name].default
            if default is inspect.Parameter.empty:
                yield repr(value[0] if isinstance(value, tuple) and len({*value}) == 1 else value)
            elif value not in (default, (default, default)) and not (default is None and name == "stride"):
                yield f"{name}={value[0] if isinstance(value, tuple) and len({*value}) == 1 else value!r}"

    def __repr__(self) -> str:
        own = ", ".join(self._shown())
        parts = [(name, repr(child).replace("\n", "\n  ")) for name, child in self.children()]
        if not parts:
            return f"{type(self).__name__}({own})"
        lines = "".join(f"\n  ({name}): {text}" for name, text in parts)
        return f"{type(self).__name__}({own}{lines}\n)"


def _modules(name: str, value: Any) -> Iterator[tuple[str, Core]]:
    if isinstance(value, Core):
        yield name, value
    elif isinstance(value, (list, tuple)):
        if not _PLAIN.issuperset(map(type, value)):
            for place, part in enumerate(value):
                yield from _modules(f"{name}.{place}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _modules(f"{name}.{key}", part)


def _scoped(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A method that knows whose call it is in: one that calls that of its superclass stays in the same."""

    @functools.wraps(function)
    def call(self: Core, *inputs: Any, **named: Any) -> Any:
        if SCOPE.modules and SCOPE.modules[-1] is self:
            return function(self, *inputs, **named)
        if name == "forward":
            return self._forwarded(inputs)
        return entered(self, function, inputs, named)

    return call


def entered(
    module: Core, function: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Call a method of a module, as the outermost one or within another."""
    stack = SCOPE.modules
    if not stack:
        with setting(layout=module.layout or "NCHW", dtype=module.dtype):
            return _located(module, function, tuple(_read(x, module.dtype) for x in inputs), named)
    if module.layout not in (None, SCOPE.layout):
        raise ValueError(
            f"{path_of(module)}: layout is {module.layout!r} in a network of layout {SCOPE.layout!r}: "
            "it is given once, to the outermost part"
        )
    return _located(module, function, inputs, named)


def _read(x: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(x, (Traced, dict)) or x is None:
        return x
    if isinstance(x, (list, tuple)) and any(isinstance(part, (np.ndarray, Traced)) for part in x):
        return type(x)(_read(part, dtype) for part in x)
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x is of dtype {array.dtype}, but needs real numbers")
    return array.astype(dtype, copy=False)


def _located(
    module: Core, function: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """Errors say in which layer they arose, and what it got."""
    stack = SCOPE.modules
    stack.append(module)
    try:
        result = function(module, *inputs, **named)
        caught = SCOPE.caught
        return result if caught is None or caught[0] is not module else caught[1](result)
    except (ValueError, TypeError) as error:
        if type(error) in (ValueError, TypeError) and not hasattr(error, "layer"):
            setattr(error, "layer", path_of(module))  # noqa: B010
            got = ", ".join(str(tuple(x.shape)) for x in inputs if hasattr(x, "shape"))
            error.args = (f"{_place(module)} got {got or 'no array'}: {error}",)
        raise
    finally:
        stack.pop()


def path_of(module: Core) -> str:
    """Where a module is in the network that is being called; nothing for that itself."""
    if SCOPE.modules:
        for name, one in SCOPE.modules[0].named_modules():
            if one is module:
                return str(name)
    return ""


def place() -> str:
    """The layer that is being called, for people."""
    return _place(SCOPE.modules[-1]) if SCOPE.modules else "the loss"


def _place(module: Core) -> str:
    path, kind = path_of(module), type(module).__name__
    return f"layer {path} ({kind})" if path else f"the network ({kind})"
