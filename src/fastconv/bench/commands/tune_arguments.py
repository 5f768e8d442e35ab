"""The arguments of ``fastconv tune``. Called by `fastconv.cli`; needs nothing but NumPy."""

from __future__ import annotations

import argparse
from pathlib import Path

from fastconv.bench.commands.arguments import add_arrays, add_layers
from fastconv.tuning.choice import SECONDS

# Those that have plans.
OPERATIONS = ("conv2d", "depthwise_conv2d", "conv_transpose2d")
MOST_SECONDS = 3600.0

DESCRIPTION = """\
Measures which kernel is the fastest for a layer, and remembers it for plans that
are made with tune=True. What is known is not measured again.
"""

EPILOG = """\
examples:
  fastconv tune conv2d --x 1,64,56,56 --w 64,64,3,3 --padding 1
  fastconv tune --network resnet50 --batch 1,8 --layout NHWC
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
    add_layers(parser, OPERATIONS)
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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"needs seconds, above 0 and up to {MOST_SECONDS:g}, got {text!r}")
    return seconds
