"""The arguments that the commands on ONNX files share. Called by the modules of these commands; reads no file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fastconv import backends
from fastconv.settings.threads import MOST_THREADS

Shape = tuple[int, ...]


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the file, and how it is run."""
    parser.add_argument("model", metavar="MODEL.onnx", type=Path)
    add_shape(parser)
    parser.add_argument(
        "-b", "--backend", choices=backends.names(), help="what it runs on (default: the fastest available)"
    )
    parser.add_argument("-t", "--threads", metavar="N", type=whole(1, MOST_THREADS))


def add_shape(parser: argparse._ActionsContainer) -> None:
    """Add the option for the shapes of inputs."""
    parser.add_argument(
        "--shape",
        metavar="[NAME=]N,C,H,W",
        type=_named_shape,
        action="append",
        default=[],
        help="shape of an input, where the file leaves sizes open (default: 1 image); once for each",
    )


def whole(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"needs a whole number, {least} to {most}, got {text!r}")
        return value

    return parse


def _named_shape(text: str) -> tuple[str | None, Shape]:
    name, equals, sizes = text.rpartition("=")
    try:
        shape = tuple(int(size) for size in sizes.replace("x", ",").split(",") if size.strip())
    except ValueError:
        shape = (-1,)
    if min(shape, default=0) < 0:
        raise argparse.ArgumentTypeError(f"needs sizes such as x=1,3,224,224, got {text!r}")
    return name if equals else None, shape
