"""Whole networks from ONNX files: fastconv, and the libraries that read such files, each in a process of its own.

Called by `commands/model.py`. A module has `RUNNERS`, of which the first is started by `apart.py`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Sequence

from fastconv.bench.runners.apart import ApartRunner

OWN = f"{__name__}.fastconv_program"
# The module here, by the library's name.
LIBRARIES = {"onnxruntime": f"{__name__}.onnxruntime_session", "openvino": f"{__name__}.openvino_request"}
# Why others of the benchmark's peers do not run networks.
UNABLE = {
    "ncnn": "needs the file converted",
    "mnn": "needs the file converted",
    "pytorch": "cannot read ONNX files",
}


def own_runner(backend: str) -> ApartRunner:
    """fastconv on one of its backends."""
    return ApartRunner(backend, OWN)


def libraries(names: Sequence[str] | None) -> tuple[list[ApartRunner], dict[str, str], dict[str, str]]:
    """Libraries that run networks.

    Parameters
    ----------
    names : sequence of str, optional
        By default all.

    Returns
    -------
    runners : list of ApartRunner
    versions : dict of str to str
    missing : dict of str to str
        Why others do not run, by their names.
    """
    runners: list[ApartRunner] = []
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name in [*LIBRARIES, *UNABLE] if names is None else names:
        if name not in LIBRARIES:
            missing[name] = UNABLE.get(name, "runs no networks")
        elif importlib.util.find_spec(name) is None:
            missing[name] = f"is not installed (pip install {name})"
        else:
            runners.append(ApartRunner(name, LIBRARIES[name]))
            versions[name] = importlib.metadata.version(name).split("-")[0]
    return runners, versions, missing
