"""Other libraries to measure beside fastconv, one module each; none is imported before `available` asks for it.

Called by ``fastconv bench`` and by the suite in ``bench/``. A module has `RUNNERS`, `VERSION` and `set_threads(n)`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from fastconv.bench.runners.apart import ApartRunner
from fastconv.bench.runners.runner import Runner

__all__ = ["PEERS", "Peer", "available", "end_processes", "set_threads"]


@dataclass(frozen=True)
class Peer:
    """The module here, and what to install for it."""

    module: str
    packages: str

    @property
    def path(self) -> str:
        return f"{__name__}.{self.module}"


PEERS = {
    "pytorch": Peer("pytorch", "torch"),
    "onnxruntime": Peer("onnxruntime", "onnx onnxruntime"),
    "openvino": Peer("openvino", "onnx openvino"),
    "ncnn": Peer("ncnn_net", "ncnn"),
    "mnn": Peer("mnn", "onnx mnn"),
    "jax": Peer("jax_xla", "jax"),
    "scipy": Peer("scipy_filters", "scipy"),
    "opencv": Peer("opencv", "opencv-python-headless"),
}


def available(names: Sequence[str] | None = None) -> tuple[list[Runner], dict[str, str], dict[str, str]]:
    """Import peers.

    Parameters
    ----------
    names : sequence of str, optional
        Of `PEERS`; by default all.

    Returns
    -------
    runners : list of Runner
        Several for a peer that has several ways to do a convolution.
    versions : dict of str to str
        By the names of the peers that could be imported.
    missing : dict of str to str
        Why the others could not, and what to install, by their names.

    Raises
    ------
    ValueError
        If a name is unknown; nothing has been imported then.
    """
    wanted = list(PEERS) if names is None else list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise ValueError(f"peers: name is {unknown[0]!r}, but needs to be one of {', '.join(PEERS)}")
    runners: list[Runner] = []
    versions, missing = {}, {}
    for name in wanted:
        try:
            module = _load(PEERS[name])
        except Exception as error:  # a library that does not fit the others' versions may raise anything
            missing[name] = f"{type(error).__name__}: {error} (pip install {PEERS[name].packages})"
        else:
            runners += module.RUNNERS
            versions[name] = module.VERSION
    return runners, versions, missing


def set_threads(n: int) -> None:
    """Let every peer that has been imported compute on `n` threads; before its runners prepare layers."""
    for peer in PEERS.values():
        if peer.path in sys.modules:
            sys.modules[peer.path].set_threads(n)


def end_processes() -> None:
    """End the processes of those peers that have one of their own; they begin again with the next layer."""
    for peer in PEERS.values():
        for runner in getattr(sys.modules.get(peer.path), "RUNNERS", ()):
            if isinstance(runner, ApartRunner):
                runner.end()


def _load(peer: Peer) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(peer.path)
