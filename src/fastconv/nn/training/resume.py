"""A training in a file: what `Module.fit` goes on from after an interruption, to the same bits. Used by `loop.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv.nn import files
from fastconv.nn.core import Core
from fastconv.nn.optimisers import Optimiser
from fastconv.nn.state import load_state, state_of
from fastconv.nn.training.feed import Feed

_NET, _OPTIMISER = "net/", "optimizer/"


def keep(
    path: str | os.PathLike[str],
    net: Core,
    optimizer: Optimiser,
    history: Mapping[str, list[float]],
    generators: Mapping[str, np.random.Generator],
    feed: Feed,
) -> None:
    """Write the state after an epoch, in place of that after the last."""
    arrays = {f"{_NET}{name}": array for name, array in state_of(net).items()}
    arrays |= {f"{_OPTIMISER}{name}": array for name, array in optimizer.state_dict().items()}
    told = {
        "format": "fastconv.nn training",
        "history": json.dumps(history),
        "factor": repr(optimizer.schedule.factor),
        "feed": json.dumps(feed.state_dict()),
        "generators": json.dumps({name: one.bit_generator.state for name, one in generators.items()}),
    }
    files.write(path, arrays, told)


def go_on(
    path: str | os.PathLike[str],
    net: Core,
    optimizer: Optimiser,
    history: dict[str, list[float]],
    generators: Mapping[str, np.random.Generator],
    feed: Feed,
) -> int:
    """Take over what `keep` wrote; how many epochs were done."""
    arrays, told = files.read(path)
    if told.get("format") != "fastconv.nn training":
        raise files.FileError(f"{path}: is no checkpoint of a training")
    try:
        known: dict[str, Any] = json.loads(told["history"])
        states, factor = json.loads(told["generators"]), float(told["factor"])
        epochs = len(known["loss"])
        for name, one in generators.items():
            one.bit_generator.state = states[name]
        feed.load_state_dict(json.loads(told["feed"]))
    except (KeyError, TypeError, ValueError) as error:
        raise files.FileError(f"{path}: the checkpoint is not understood ({error!r})") from None
    state = {name.removeprefix(_NET): a for name, a in arrays.items() if name.startswith(_NET)}
    load_state(net, state, strict=True)
    slots = {name.removeprefix(_OPTIMISER): a for name, a in arrays.items() if name.startswith(_OPTIMISER)}
    optimizer.load_state_dict(slots)
    optimizer.schedule.factor = factor
    history.update(known)
    return epochs
