"""Modules that hold others: one after the other, side by side, and around a shortcut."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from fastconv.nn import functional as F
from fastconv.nn.core import Core
from fastconv.nn.layers.dense import Activation
from fastconv.nn.layers.norm import BatchNorm2D
from fastconv.nn.module import Module
from fastconv.nn.scope import SCOPE
from fastconv.nn.symbols import Symbol
from fastconv.typing import ActivationLike, Layout


class _Container(Module):
    """Parts under their names, which are numbers unless they were given."""

    inner = Core.inner | {"_parts"}  # `children` gives them under their own names

    def __init__(self, parts: tuple[Any, ...], layout: Layout | None) -> None:
        super().__init__(layout=layout)
        if len(parts) == 1 and isinstance(parts[0], Mapping):
            self._parts = dict(parts[0])
        else:
            self._parts = {str(place): part for place, part in enumerate(parts)}
        for name, part in self._parts.items():
            if not callable(part):
                raise TypeError(
                    f"{type(self).__name__}: part {name} is {type(part).__name__}, but needs a module or a function"
                )

    def children(self) -> Iterator[tuple[str, Core]]:
        for name, part in self._parts.items():
            if isinstance(part, Core):
                yield name, part
        yield from super().children()

    def current_parts(self) -> dict[str, Any] | None:
        """The parts by their names, where they are what it is made with: files hold these, which may have changed."""
        taken = inspect.signature(type(self).__init__).parameters.values()
        return self._parts if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in taken) else None

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts.values())

    def __getitem__(self, place: int | str) -> Any:
        return self._parts[place] if isinstance(place, str) else [*self._parts.values()][place]

    def __setitem__(self, place: int | str, part: Callable[..., Any]) -> None:
        self._parts[place if isinstance(place, str) else [*self._parts][place]] = part


def in_turn(
    parts: Iterable[Any],
    x: Any,
    residual: Any = None,
    activation: Any = None,
    why: str = "they need to be equal",
) -> Any:
    """Parts called one after the other, then a residual and an activation; `why` is said where shapes differ.

    What follows batch normalisation is handed to it, which may do it in the same pass. In a graph each part is by
    itself, and passes decide; and where the result of one of them is looked at.
    """
    joins = SCOPE.caught is None
    waiting: BatchNorm2D | None = None
    for part in parts:
        if waiting is not None:
            if type(part) is Activation:
                x, waiting = waiting(x, None, part.name), None
                continue
            x, waiting = waiting(x), None
        if joins and type(part) is BatchNorm2D and not isinstance(x, Symbol):
            waiting = part
        else:
            x = part(x)
    if residual is not None and tuple(x.shape) != tuple(residual.shape):
        raise ValueError(f"the body gave {tuple(x.shape)}, the shortcut {tuple(residual.shape)}: {why}")
    if waiting is not None:
        return waiting(x, residual, activation)
    return F.activation(x if residual is None else x + residual, activation)


class Sequential(_Container):
    """Parts that are called one after the other.

    Parameters
    ----------
    parts : Module or callable
        Their paths are numbers; or one dict, whose keys are the paths. Functions take and give what
        `nn.functional` does.
    layout : {"NCHW", "NHWC"}, optional

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> net = nn.Sequential(nn.Conv2D(4, 3, activation="relu"), nn.Flatten(), nn.Dense(10))
    >>> net(np.ones((2, 1, 8, 8))).shape
    (2, 10)
    >>> net[0].weight.shape, len(net), [name for name, _ in net.named_parameters()]
    ((4, 1, 3, 3), 3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, *parts: Any, layout: Layout | None = None) -> None:
        super().__init__(parts, layout)

    def forward(self, x: Any) -> Any:
        return in_turn(self._parts.values(), x)


class Parallel(_Container):
    """Parts that are called with the same input, and whose results are joined.

    Parameters
    ----------
    parts : Module or callable
        Or one dict, as for `Sequential`.
    mode : {"concatenate", "add"}
        Along the channels, or number by number.
    layout : {"NCHW", "NHWC"}, optional

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Parallel(nn.Conv2D(4, 1), nn.Conv2D(2, 3, padding=1))(np.ones((1, 1, 8, 8))).shape
    (1, 6, 8, 8)
    """

    shown = ("mode",)

    def __init__(self, *parts: Any, mode: str = "concatenate", layout: Layout | None = None) -> None:
        super().__init__(parts, layout)
        if mode not in ("concatenate", "add"):
            raise ValueError(f"Parallel: mode is {mode!r}, but needs to be 'concatenate' or 'add'")
        if not self._parts:
            raise ValueError("Parallel: needs at least one part")
        self.mode = mode

    def forward(self, x: Any) -> Any:
        results = [part(x) for part in self._parts.values()]
        if self.mode == "concatenate":
            return F.concatenate(results)
        total = results[0]
        for result in results[1:]:
            total = total + result
        return total


class Residual(_Container):
    """``activation(body(x) + shortcut(x))``: He et al., "Deep Residual Learning", 2016.

    Parameters
    ----------
    parts : Module or callable
        The body, as for `Sequential`.
    shortcut : Module, optional
        By default `x` itself.
    activation : str or tuple, optional
    layout : {"NCHW", "NHWC"}, optional

    Examples
    --------
    >>> import numpy as np, fastconv.nn as nn
    >>> nn.Residual(nn.Conv2D(3, 3, padding=1), activation="relu")(np.ones((1, 3, 8, 8))).shape
    (1, 3, 8, 8)
    """

    shown = ("activation",)

    def __init__(
        self,
        *parts: Any,
        shortcut: Any = None,
        activation: ActivationLike | None = None,
        layout: Layout | None = None,
    ) -> None:
        super().__init__(parts, layout)
        self.shortcut, self.activation = shortcut, activation

    def forward(self, x: Any) -> Any:
        short = x if self.shortcut is None else self.shortcut(x)
        return in_turn(self._parts.values(), x, short, self.activation)
