"""The arguments of ``fastconv tune``. Called by `fastconv.cli`; needs nothing but NumPy."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from fastconv.bench.commands.arguments import add_arrays, add_layers
from fastconv.commands.model_arguments import add_shape
from fastconv.tuning.choice import SECONDS

# Those that have plans.
OPERATIONS = ("conv2d", "depthwise_conv2d", "conv_transpose2d")
MOST_SECONDS = 3600.0

DESCRIPTION = """\
Measures which kernel is the fastest for a layer, or for the layers of a model, and
remembers it for plans and compiled networks that are made with tune=True. What is
known is not measured again.
"""

EPILOG = """\
examples:
  fastconv tune conv2d --x 1,64,56,56 --w 64,64,3,3 --padding 1
  fastconv tune MODEL.onnx --shape 8,3,224,224
  fastconv tune resnet50 --shape 1,3,224,224     a network of fastconv.nn.models
  fastconv tune --network resnet50 --batch 1,8 --layout NHWC     layers for plans
  fastconv tune --list
  fastconv tune --export kernels.json    and, on machines like this one:
  fastconv tune --merge kernels.json

Shapes are in the order of NCHW, whatever the layout: --x N,C,H,W and --w
filters,channels per group,kH,kW (for conv_transpose2d channels,filters,kH,kW).

The file is the one that FASTCONV_TUNING names, or else tuning.json in the folder
of FASTCONV_CACHE_DIR. What was measured on another processor, with another
instruction set or another version of fastconv is kept, but does not count.

exit status:
  0  done
  2  it could not be done: the message says why
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "operation",
        metavar="OPERATION|MODEL",
        nargs="?",
        type=_operation,
        help=f"one of {', '.join(OPERATIONS)}; or an ONNX file, or a network of fastconv.nn.models",
    )
    add_layers(parser)
    add_shape(parser.add_argument_group("a model"))
    parser.set_defaults(no_bias=True)  # it changes nothing
    how = parser.add_argument_group("how")
    add_arrays(how)
    how.add_argument(
        "--seconds",
        metavar="S",
        type=_seconds,
        default=SECONDS,
        help="for a layer, and one call more (default: %(default)s)",
    )
    how.add_argument("--again", action="store_true", help="measure also what is known")
    file = parser.add_argument_group("the file, in this order")
    file.add_argument("--clear", action="store_true", help="forget all, before anything else")
    file.add_argument(
        "--merge",
        metavar="FILE",
        type=Path,
        help="add what --export wrote, before measuring; it counts first",
    )
    file.add_argument("--list", action="store_true", help="show what is known of this machine, at the end")
    file.add_argument("--export", metavar="FILE", type=Path, help="write all that is known, at the end")


def _operation(text: str) -> str:
    if text in OPERATIONS or is_file(text) or text in _models():
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is none of {', '.join(OPERATIONS)}, no file that ends in .onnx, and no network of "
        "fastconv.nn.models"
    )


def is_file(text: str) -> bool:
    """Is it an ONNX file that is meant?"""
    return text.endswith(".onnx")


def _models() -> list[str]:
    """The functions that make a network."""
    from fastconv.nn import models  # which takes a while

    return [name for name in models.__all__ if not inspect.isclass(getattr(models, name))]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"needs seconds, above 0 and up to {MOST_SECONDS:g}, got {text!r}")
    return seconds
