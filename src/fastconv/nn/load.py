"""Networks from files: what `Module.save` wrote, made again. Used by users."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from fastconv.nn import files
from fastconv.nn.core import Core
from fastconv.nn.scope import setting
from fastconv.nn.structure import classes_by_name, made

# What a stranger's file may ask for. The largest network of `nn.models` has some 500 modules, in 9,000 letters.
_LONGEST = 5_000_000
_MOST_MODULES = 20_000


def load(path: str | os.PathLike[str], *, classes: Iterable[type] = ()) -> Any:
    """Make a network again that `Module.save` wrote.

    Parameters
    ----------
    path : path_like
        Nothing in the file is run: it names classes of `fastconv.nn`, and arguments.
    classes : list of type
        Classes of one's own that it may name, too.

    Returns
    -------
    Module

    Raises
    ------
    ValueError
        If the file is damaged or has no structure, or one with an unknown class, or that no file should have: more
        than 64 levels deep, 20,000 modules or 5,000,000 letters. Parameters have the sizes of the file's own arrays.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import os, tempfile, numpy as np, fastconv.nn as nn
    >>> net, x = nn.Sequential(nn.Dense(3)), np.ones((1, 2))
    >>> y, path = net(x), os.path.join(tempfile.mkdtemp(), "net.safetensors")
    >>> net.save(path)
    >>> bool((nn.load(path)(x) == y).all())
    True
    """
    arrays, metadata = files.read(path)
    if "structure" not in metadata:
        raise files.FileError(f"{path}: has no structure: make the network, and use its load_weights")
    if len(metadata["structure"]) > _LONGEST:
        raise files.FileError(
            f"{path}: the structure has {len(metadata['structure']):,} letters, more than {_LONGEST:,}"
        )
    try:
        told = json.loads(metadata["structure"])
        with setting(allowed=_MOST_MODULES):
            net = made(told["net"], classes_by_name(classes))
        dtype, layout = told["dtype"], told["layout"]
    except (KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
        raise files.FileError(f"{path}: the structure is not understood ({error!r})") from None
    if dtype not in ("float32", "float64") or layout not in (None, "NCHW", "NHWC"):
        raise files.FileError(f"{path}: dtype is {dtype!r} and layout {layout!r}")
    if not isinstance(net, Core):
        raise files.FileError(f"{path}: the structure is not a network's")
    net.__dict__["layout"] = layout
    net.astype(dtype)
    net.load_state_dict(arrays)
    return net
