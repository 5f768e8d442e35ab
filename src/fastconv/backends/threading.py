"""Where the threads of the cython backend come from: its own pool, or OpenMP."""

from __future__ import annotations

from fastconv.arguments import choice
from fastconv.backends import load
from fastconv.first_use import importing
from fastconv.typing import ThreadingName

__all__ = ["get_threading", "set_threading"]

_NAMES: tuple[ThreadingName, ...] = ("pool", "openmp")


def get_threading() -> ThreadingName:
    """Where the threads of the next call of the ``cython`` backend come from.

    Returns
    -------
    str
        ``"pool"``: threads of fastconv's own. ``"openmp"``: the team of the process's OpenMP library, which other
        packages use, too. What `set_threading` said, else the environment variable ``FASTCONV_THREADING``, else
        ``"pool"``; in a child of ``fork()`` always ``"pool"``, until it is set there.

    Raises
    ------
    BackendUnavailableError
        If the ``cython`` backend cannot be loaded.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.get_threading() in ("pool", "openmp")
    True
    """
    load("cython")
    with importing:
        from fastconv.backends.cython import threading
    return threading()


def set_threading(name: ThreadingName) -> None:
    """Choose for the whole process where the threads of the ``cython`` backend come from.

    Results are the same, bit by bit. How many threads a call uses is what `get_num_threads` says; of OpenMP's at most
    as many as its own limit allows (``omp_set_num_threads``, ``OMP_NUM_THREADS``, ``OMP_THREAD_LIMIT``), and a single
    one within another parallel region.

    Parameters
    ----------
    name : {"pool", "openmp"}

    Raises
    ------
    TypeError, ValueError
        If there is no source of threads of that name; for ``"openmp"`` also if fastconv was built without OpenMP, if
        no OpenMP library can be loaded, and in a child of ``fork()``, which has none of its threads.
    BackendUnavailableError
        If the ``cython`` backend cannot be loaded.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.set_threading("pool")
    >>> fastconv.get_threading()
    'pool'
    """
    name = choice("set_threading", "name", name, _NAMES)
    load("cython")
    with importing:
        from fastconv.backends.cython import use_threading
    use_threading(name, "set_threading: name")
