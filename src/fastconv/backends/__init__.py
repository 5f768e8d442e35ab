"""Which backends exist, and which one a call uses; `protocol.py` says what a backend must do."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from fastconv.arguments import choice
from fastconv.backends.protocol import Backend
from fastconv.first_use import importing
from fastconv.settings.setting import Setting, Using, Variable
from fastconv.settings.warning import warn_once
from fastconv.typing import BackendName


class BackendUnavailableError(ImportError):
    """A backend exists, but cannot be loaded here; the message says why and what to install."""


class BackendFallbackWarning(RuntimeWarning):
    """The fastest backend cannot be loaded, and nobody chose another: a slower one is used."""


# Fastest first: the default is the first one that can be loaded.
_BACKENDS: dict[BackendName, str] = {
    "cython": "its compiled extension is part of every wheel: reinstall fastconv where a C compiler is found",
    "numba": 'install it with: pip install ".[numba]" in the folder of fastconv\'s source',
    "numpy": "NumPy is required",
}
_loaded: dict[str, Backend] = {}


def names() -> tuple[BackendName, ...]:
    """The names of all backends, fastest first."""
    return tuple(_BACKENDS)


def load(name: BackendName) -> Backend:
    """The backend of that name; `BackendUnavailableError` where it cannot be loaded."""
    if name not in _loaded:
        try:
            with importing:
                module = importlib.import_module(f"fastconv.backends.{name}")
        except ImportError as error:
            raise BackendUnavailableError(
                f"the {name} backend cannot be loaded: {error}; {_BACKENDS[name]}"
            ) from error
        _loaded[name] = module.BACKEND
    return _loaded[name]


def _check(value: object, source: str) -> BackendName:
    name: BackendName = choice(source, "backend", value, names())
    load(name)
    return name


def _loadable() -> Iterator[BackendName]:
    for name in _BACKENDS:
        try:
            load(name)
        except BackendUnavailableError:
            continue
        yield name


def _fastest() -> BackendName:
    """The default; that it is not the first one is nothing to keep from the user."""
    name = next(_loadable())
    wanted = names()[0]
    if name != wanted:
        try:
            load(wanted)
        except BackendUnavailableError as error:
            warn_once(
                f"{error}. Until then the slower {name} backend is used; FASTCONV_BACKEND={name} in the environment, "
                f"or fastconv.set_backend({name!r}), takes it without this warning",
                BackendFallbackWarning,
            )
    return name


CHOSEN: Setting[BackendName] = Setting((Variable("FASTCONV_BACKEND", _check),), _check, _fastest)


def resolve(op: str, name: BackendName | None) -> Backend:
    """The backend that a call with ``backend=name`` uses."""
    if name is None:
        return load(CHOSEN.get())
    return load(_check(name, op))


def available_backends() -> tuple[BackendName, ...]:
    """Names of the backends that can be loaded here, fastest first.

    Examples
    --------
    >>> import fastconv
    >>> "numpy" in fastconv.available_backends()
    True
    """
    return tuple(_loadable())


def get_backend() -> BackendName:
    """Name of the backend that the next call in this context uses.

    Examples
    --------
    >>> import fastconv
    >>> with fastconv.use_backend("numpy"):
    ...     fastconv.get_backend()
    'numpy'
    """
    return CHOSEN.get()


def set_backend(name: BackendName) -> None:
    """Choose the backend for the whole process.

    Parameters
    ----------
    name : {"cython", "numba", "numpy"}

    Raises
    ------
    ValueError
        If there is no backend of that name.
    BackendUnavailableError
        If it cannot be loaded; the message says why and what to install.

    Examples
    --------
    >>> import fastconv
    >>> before = fastconv.get_backend()
    >>> fastconv.set_backend("numpy")
    >>> fastconv.set_backend(before)
    """
    CHOSEN.set(name, "set_backend")


def use_backend(name: BackendName) -> Using[BackendName]:
    """Use a backend within a ``with`` block, in this thread or task only.

    Parameters
    ----------
    name : {"cython", "numba", "numpy"}

    Examples
    --------
    >>> import numpy as np, fastconv
    >>> with fastconv.use_backend("numpy"):
    ...     fastconv.max_pool2d(np.arange(16.0).reshape(1, 4, 4), 2)
    array([[[ 5.,  7.],
            [13., 15.]]])
    """
    return CHOSEN.using(name, "use_backend")


def algorithms(backend: BackendName | None = None) -> tuple[str, ...]:
    """Names of the convolution algorithms that a backend has.

    Parameters
    ----------
    backend : {"cython", "numba", "numpy"}, optional
        By default the one that the next call uses.

    Returns
    -------
    tuple of str
        ``"direct"`` stands for the best of those that compute the textbook sum, and exists in every backend.

    Examples
    --------
    >>> import fastconv
    >>> "direct" in fastconv.algorithms()
    True
    """
    return resolve("algorithms", backend).algorithms()
