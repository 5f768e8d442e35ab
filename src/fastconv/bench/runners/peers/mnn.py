"""MNN, in a process of its own (`mnn_session.py`), as its threads spin for as long as they live. Called by `peers`."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from fastconv.bench.runners.apart import ApartRunner

if importlib.util.find_spec("MNN") is None:
    raise ModuleNotFoundError("No module named 'MNN'")
VERSION: str = importlib.metadata.version("MNN")


def set_threads(n: int) -> None:
    """Nothing to set for the process: each session has as many threads as `Settings.threads` says."""


RUNNERS = (ApartRunner("mnn", "fastconv.bench.runners.peers.mnn_session"),)
