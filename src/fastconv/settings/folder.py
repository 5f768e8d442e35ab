"""Where measurements are kept from one process to the next, and how such a file is written.

Used by `limits.py`, `tuning/`, `nn/` and `onnx/`.
"""

from __future__ import annotations

import os
from pathlib import Path


def kept_file(name: str) -> Path:
    """A file in the folder of kept measurements: that of ``FASTCONV_CACHE_DIR``, or else a user's folder of caches."""
    own, shared = (os.environ.get(variable, "") for variable in ("FASTCONV_CACHE_DIR", "XDG_CACHE_HOME"))
    if own:
        return Path(own) / name
    # The XDG specification says to ignore a path that is not absolute.
    base = Path(shared) if os.path.isabs(shared) else Path(os.path.expanduser("~"), ".cache")
    return base / "fastconv" / name


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, in its folder, which is made if need be; whoever reads meanwhile finds the old one or the new one.

    Raises
    ------
    OSError
        If it cannot be written. Then nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(
        f"{path.name}.{os.urandom(8).hex()}"
    )  # processes of two containers may have one number
    try:
        with part.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
