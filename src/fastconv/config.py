"""What this installation is and what it runs on, as a dictionary or printed.

Called by users and by ``fastconv info``; nothing else in the package depends on it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import backends
from fastconv._version import __version__
from fastconv.backends.threading import get_threading
from fastconv.first_use import importing
from fastconv.machine.processor import processor_name
from fastconv.settings.threads import get_num_threads
from fastconv.shown import shows
from fastconv.typing import BackendName

__all__ = ["build_config", "show_config"]
__dir__ = shows(__name__)

# A backend that is not there, or an environment variable that holds nonsense: both are shown, not raised.
MISTAKES = (backends.BackendUnavailableError, ValueError)
VARIABLES = (
    "FASTCONV_BACKEND",
    "FASTCONV_NUM_THREADS",
    "FASTCONV_THREADING",
    "FASTCONV_PRECISION",
    "FASTCONV_ISA",
    "FASTCONV_CACHE_SIZE",
    "FASTCONV_CACHE_DIR",
    "FASTCONV_TUNING",
    "OMP_NUM_THREADS",
)


def build_config() -> dict[str, Any]:
    """Describe the installed package, how it was built, and the machine it runs on.

    Returns
    -------
    dict
        ``version``, ``python``, ``numpy``, ``blas`` : versions, and the library of NumPy's matrix product.
        ``processor``, ``machine`` : its name and architecture.
        ``threads``, ``backend`` : what a call uses here, or the reason why it cannot run.
        ``threading`` : where the ``cython`` backend has its threads from, or the reason why it cannot run.
        ``backends`` : each backend's name, with ``None`` where it works and otherwise why it does not.
        ``build`` : what the ``cython`` backend was built with (compiler, flags, instruction sets, OpenMP), and the
        family of processors for which it predicts costs; empty where that backend is missing.
        ``environment`` : those of the package's environment variables that are set.

    Examples
    --------
    >>> from fastconv.config import build_config
    >>> build_config()["backends"]["numpy"] is None
    True
    """
    reasons = {name: _why_missing(name) for name in backends.names()}
    return {
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": _blas(),
        "processor": processor_name(),
        "machine": platform.machine(),
        "threads": _or_reason(get_num_threads),
        "threading": _or_reason(get_threading),
        "backend": _or_reason(backends.get_backend),
        "backends": reasons,
        "build": _build_info() if reasons.get("cython", "") is None else {},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def show_config() -> None:
    """Print version, build, processor, instruction set, threads and backends.

    This is what ``fastconv info`` prints; please add it to bug reports. :func:`build_config` gives the same
    as a dictionary.

    Examples
    --------
    >>> import fastconv
    >>> fastconv.show_config()  # doctest: +ELLIPSIS
    fastconv ...
    """
    config = build_config()
    lines = {
        "python": f"{config['python']}, NumPy {config['numpy']} (BLAS: {config['blas']})",
        "processor": f"{config['processor']} ({config['machine']})",
        "threads": str(config["threads"]),
        "threading": str(config["threading"]),
        "backend": str(config["backend"]),
        **{key.replace("_", " "): _as_text(value) for key, value in config["build"].items()},
        **config["environment"],
    }
    width = max(map(len, lines))
    print(f"fastconv {config['version']}")
    for key, value in lines.items():
        print(f"  {key:<{width}}  {value}")
    print("backends")
    for name, reason in config["backends"].items():
        print(f"  {name:<{width}}  {'available' if reason is None else f'missing: {reason}'}")


def _why_missing(name: BackendName) -> str | None:
    try:
        backends.load(name)
    except MISTAKES as error:
        return str(error)
    return None


def _or_reason(setting: Callable[[], object]) -> object:
    try:
        return setting()
    except MISTAKES as error:
        return f"none ({error})"


def _build_info() -> dict[str, Any]:
    with importing:
        from fastconv.backends.cython import build_info
    return build_info()


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value))
    return str(value)


def _blas() -> str:
    settings = np.show_config(mode="dicts")
    blas = settings.get("Build Dependencies", {}).get("blas", {}) if settings else {}
    return " ".join(str(blas[key]) for key in ("name", "version") if blas.get(key)) or "unknown"
