"""What a network holds, as users see it: parameters, buffers, state, dtype. The base of `Module`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import DTypeLike

from fastconv.nn import export, state
from fastconv.nn.core import Core
from fastconv.typing import Array


class Mismatch(NamedTuple):
    """What `Module.load_state_dict` did not load: paths without an array, and arrays without a place."""

    missing: list[str]
    unexpected: list[str]


class Stateful(Core):
    """A module's arrays by their paths: read, loaded, frozen, cast, made."""

    def parameters(self) -> list[Array]:
        """The arrays that are trained; those of layers that were not called yet are missing.

        Returns
        -------
        list of ndarray
            Not copies.
        """
        return list(state.parameters(self).values())

    def named_parameters(self) -> Iterator[tuple[str, Array]]:
        """`parameters` with their paths, such as ``features.0.weight``."""
        yield from state.parameters(self).items()

    def buffers(self) -> list[Array]:
        """The arrays that belong to the state but are not trained, as running means."""
        held = (module.__dict__["_buffers"][name] for _, module, name in state.named(self, ("_buffers",)))
        return [array for array in held if array is not None]

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by their paths, which are PyTorch's.

        Returns
        -------
        dict of str to ndarray
        """
        return {path: np.array(array) for path, array in state.state_of(self).items()}

    def load_state_dict(self, d: Mapping[str, Any], strict: bool = True) -> Mismatch:
        """Take over arrays, or PyTorch's tensors, into this network, which need not have been called yet.

        Parameters
        ----------
        d : dict of str to array_like
            By paths, as `state_dict` gives them, and as PyTorch's does; of either layout the same.
        strict : bool
            Whether paths that are missing or unknown are an error.

        Returns
        -------
        Mismatch
            What was missing or unknown.

        Raises
        ------
        ValueError, TypeError
            If a path or a shape does not fit; then nothing is loaded.
        """
        return Mismatch(*state.load_state(self, d, strict))

    def freeze(self, pattern: str = "*") -> int:
        """Have parameters stay as they are in training.

        Parameters
        ----------
        pattern : str
            Which: those whose path, or its beginning, fits it: ``"features"``, ``"layer?.0"``, ``"*.bias"``.

        Returns
        -------
        int
            How many parameters these are.
        """
        return state.set_frozen(self, pattern, True)

    def unfreeze(self, pattern: str = "*") -> int:
        """The reverse of `freeze`.

        Parameters
        ----------
        pattern : str

        Returns
        -------
        int
        """
        return state.set_frozen(self, pattern, False)

    def astype(self, dtype: DTypeLike) -> Self:
        """Have the network compute in another dtype.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        Module
            This one, changed.
        """
        kind = np.dtype(dtype)
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"astype: dtype is {kind}, but needs float32 or float64")
        state.set_dtype(self, kind)
        return self

    def build(self, input_shape: Any, rng: Any = None, *, init: Any = None) -> Self:
        """Make the parameters that are not there yet, as the first call would.

        Parameters
        ----------
        input_shape : tuple of int
            That of an input, in the network's layout; or several of them.
        rng : int or Generator, optional
            What the initialisers draw from.
        init : str or callable, optional
            In place of the initialisers of all layers, norms' too.

        Returns
        -------
        Module
            This one.
        """
        export.build(self, input_shape, rng, init)
        return self
