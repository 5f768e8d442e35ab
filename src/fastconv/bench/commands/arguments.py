"""The arguments of ``fastconv bench``, and those for layers, which ``fastconv tune`` has as well.

Called by `fastconv.cli`; needs nothing but NumPy.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, get_args

import fastconv
from fastconv import backends
from fastconv.arguments import PRECISIONS
from fastconv.bench.layers.layer import LAYOUTS, Layer, Shape
from fastconv.bench.layers.networks import APART, NETWORKS, SINGLE_IMAGE, network
from fastconv.bench.layers.settings import Dtype, Mode, Settings
from fastconv.bench.runners import peers
from fastconv.bench.runners.backend import UNFOLD
from fastconv.bench.runners.filters import LIBRARIES
from fastconv.commands.error import CommandError
from fastconv.commands.model_arguments import add_shape, whole
from fastconv.settings.threads import MOST_THREADS

OPERATIONS = (
    "conv2d",
    "depthwise_conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
)

# The keys of `fastconv.bench.runners.training.NETWORKS`, which takes `fastconv.nn` to be imported; a test compares.
TRAINED = ("lenet", "resnet20", "mobilenet_v2", "unet", "all")

USUAL_STUDIES = ("choice", "scaling", "accuracy")
STUDIES = (*USUAL_STUDIES, "threading")

DESCRIPTION = """\
Times layers on fastconv's backends and on the other libraries that are
installed, side by side: in turns, round after round, in one process. Results
are compared with float64, and with each other, before they are timed.
"""

EPILOG = f"""\
examples:
  fastconv bench                               layers of every kind
  fastconv bench --network resnet50,vgg16 --batch 1,8
  fastconv bench conv2d --x 1,64,56,56 --w 64,64,3,3 --padding 1
  fastconv bench max_pool2d --x 1,64,112,112 --kernel-size 3 --stride 2 --padding 1
  fastconv bench --network filters-grey --peers opencv,scipy
  fastconv bench depthwise_conv2d --x 1,3,600,800 --w 3,1,9,9 --padding same --no-bias
  fastconv bench --network all --batch 1,8 --json run.json --html report.html
  fastconv bench --model resnet50.onnx --shape 8,3,224,224
  fastconv bench --training all
  fastconv bench --filters "1 MP" --threads 2

networks: {", ".join(NETWORKS)}
peers:    {", ".join(peers.PEERS)} (pip install ".[peers]")
          with --filters: {", ".join(LIBRARIES)}

Shapes are in the order of NCHW, whatever the layout: --x N,C,H,W and --w
filters,channels per group,kH,kW (for conv_transpose2d channels,filters,kH,kW).

columns:
  time     median over the rounds of one call, and how much slower the slowest
           round was than the fastest
  rate     the textbook sum's multiplications and additions in GFLOP/s; GB/s of
           arguments and result for what multiplies nothing
  bound    what the machine can do at most (`fastconv info --measure`), and by
           what: the arithmetic of the algorithm (Winograd's multiplications
           are fewer than the textbook's) at the peak, or moving the data at
           the bandwidth of the level of memory that holds them, whichever
           takes longer
  reached  the bound's time over the time. A peer's algorithm is not known, nor
           a gradient's: they are related to the textbook's sum, and may be
           above 100 %
  peer     time of the best peer over this time: above 1, this one is faster

exit status:
  0  measured
  1  a result of fastconv was wrong
  2  the benchmark could not run: the message says why
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.add_argument(
        "operation",
        metavar="OPERATION",
        nargs="?",
        choices=OPERATIONS,
        help=f"one of {', '.join(OPERATIONS)}",
    )
    layer = add_layers(parser)
    layer.add_argument("--kernel-size", metavar="N[,N]", type=_pair, help="of pooling")
    layer.add_argument("--no-bias", action="store_true", help="as image filters have none")
    model = parser.add_argument_group("a whole network")
    model.add_argument(
        "--model",
        metavar="FILE",
        type=Path,
        help="an ONNX file, beside ONNX Runtime and OpenVINO; takes --backends, "
        "--peers, --threads, --rounds and --json",
    )
    add_shape(model)
    model.add_argument(
        "--training",
        metavar="NAMES",
        type=_names("network", TRAINED),
        help=f"a training step of {', '.join(TRAINED)}, or all, beside PyTorch's; takes --batch (default: 32), "
        "--layout, --backends, --peers, --threads, --rounds and --json",
    )
    filters = parser.add_argument_group("filters of pictures")
    filters.add_argument(
        "--filters",
        nargs="?",
        const="all",
        choices=("1 MP", "20 MP", "all"),
        help="fastconv.ndimage and fastconv.signal beside SciPy, OpenCV, scikit-image and astropy, on pictures "
        "of this size; takes --peers, --threads and --json",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--backends", metavar="NAMES", type=_names("backend", (*backends.names(), "all")))
    how.add_argument(
        "--peers",
        metavar="NAMES",
        type=_names("peer", (*dict.fromkeys((*peers.PEERS, *LIBRARIES)), "all", "none")),
        help="other libraries (default: all that are installed)",
    )
    how.add_argument(
        "--algorithms",
        metavar="NAMES",
        type=_names("algorithm", (*fastconv.algorithms("cython"), UNFOLD, "all")),
        help="also by each of these, which only the cython backend has",
    )
    add_arrays(how)
    how.add_argument("--busy", metavar="N", type=whole(0, MOST_THREADS), default=0,
                     help="beside so many processes that compute without a pause")  # fmt: skip
    how.add_argument(
        "--mode", choices=get_args(Mode), default="plan", help="prepared weights, plain calls, or gradients"
    )
    how.add_argument("--rounds", metavar="N", type=whole(2, 1000), default=Settings.rounds)
    output = parser.add_argument_group("files")
    output.add_argument("--json", metavar="FILE", type=Path, help="all that was measured")
    output.add_argument("--html", metavar="FILE", type=Path, help="a report with pictures, in one file")
    output.add_argument("--pictures", metavar="FOLDER", type=Path, help="the report's pictures as PNG")
    output.add_argument("--markdown", metavar="FILE", type=Path, help="the tables as Markdown")
    output.add_argument(
        "--studies",
        metavar="NAMES",
        nargs="?",
        const=USUAL_STUDIES,
        default=(),
        type=_names("study", STUDIES),
        help=f"also measure some of {', '.join(STUDIES)}; the first three where none is named, as --html and "
        "--pictures do",
    )
    output.add_argument("--load", metavar="FILE", type=Path, help="measure nothing: show what --json wrote")
    output.add_argument("--compare", metavar="FILE", type=Path, help="an earlier --json to compare with")


def add_layers(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what says which layers, but for the operation; returns the group of what a single one is described by."""
    layer = parser.add_argument_group("one layer")
    layer.add_argument("--x", metavar="N,C,H,W", type=_shape, help="shape of the input")
    layer.add_argument("--w", metavar="K,C,H,W", type=_shape, help="shape of the weights")
    for name in ("stride", "dilation", "output-padding"):
        layer.add_argument(f"--{name}", metavar="N[,N]", type=_pair)
    layer.add_argument(
        "--padding", metavar="N[,N]", type=_padding, help="or top,bottom,left,right, same, valid, full"
    )
    layer.add_argument("--groups", metavar="N", type=whole(1, 1 << 20))
    what = parser.add_argument_group("networks")
    what.add_argument("--network", metavar="NAMES", type=_names("network", (*NETWORKS, "all")))
    what.add_argument(
        "--batch", metavar="N[,N]", type=_batches, help="images at once (default: 1); filters have one"
    )
    return layer


def add_arrays(how: argparse._ArgumentGroup) -> None:
    """Add what says how layers are computed."""
    how.add_argument("--threads", metavar="N", type=whole(1, MOST_THREADS), help="of all libraries")
    how.add_argument("--layout", choices=LAYOUTS, default="NCHW", help="of fastconv's arrays (default: NCHW)")
    how.add_argument("--dtype", choices=get_args(Dtype), default="float32")
    how.add_argument("--precision", choices=PRECISIONS, default="fast")


def chosen_layers(arguments: argparse.Namespace) -> list[tuple[str, Layer, int]]:
    """The layers that the arguments name, with their networks ("" for a single one), and how often they occur.

    Raises
    ------
    CommandError
        If they describe no layer.
    """
    layer = one_layer(arguments)
    batches = arguments.batch or (1,)
    if layer is not None:
        if arguments.network or arguments.batch:
            raise CommandError("one layer has its batch in --x: --network and --batch are not for it")
        return [("", layer, 1)]
    names = arguments.network or ("layers",)
    if "all" in names:
        names = tuple(name for name in NETWORKS if name not in APART)
    return [
        (name if batch == 1 else f"{name}, batch {batch}", layer, count)
        for name in names
        for batch in ((1,) if name in SINGLE_IMAGE else batches)
        for layer, count in network(name, batch)
    ]


def one_layer(arguments: argparse.Namespace) -> Layer | None:
    """The layer that the arguments describe.

    Raises
    ------
    CommandError
        If a shape is missing, or one was given that the operation does not take.
    """
    operation = arguments.operation
    given = {
        name: getattr(arguments, name)
        for name in ("stride", "padding", "dilation", "groups", "output_padding", "kernel_size")
        if getattr(arguments, name, None) is not None
    }
    if operation is None:
        wrong = [
            name for name in (*given, "x", "w") if name in given or getattr(arguments, name, None) is not None
        ]
        if wrong:
            raise CommandError(
                f"--{wrong[0].replace('_', '-')} needs an operation, such as `fastconv {arguments.command} conv2d`"
            )
        return None
    known = inspect.signature(getattr(fastconv, operation)).parameters
    for name in given:
        if name not in known:
            raise CommandError(f"{operation} has no {name}: --{name.replace('_', '-')} is not for it")
    if arguments.x is None:
        raise CommandError(f"{operation} needs --x, the shape of its input, such as --x 1,64,56,56")
    shapes: dict[str, Shape] = {"x": arguments.x}
    if "pool" in operation:
        if arguments.w is not None:
            raise CommandError(f"{operation} has no weights: --w is not for it")
        if operation != "global_avg_pool2d" and "kernel_size" not in given:
            raise CommandError(f"{operation} needs --kernel-size")
    else:
        if arguments.w is None:
            raise CommandError(f"{operation} needs --w, the shape of its weights, such as --w 64,64,3,3")
        filters = arguments.w[0]
        if operation == "conv_transpose2d":
            filters = arguments.w[1] * given.get("groups", 1)
        shapes["weight"] = arguments.w
        if not arguments.no_bias:
            shapes["bias"] = (filters,)
    return Layer(operation, operation, shapes, given)


def _integers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"needs whole numbers with commas between, got {text!r}") from None


def _shape(text: str) -> Shape:
    shape = _integers(text)
    if len(shape) != 4 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"needs 4 sizes of at least 1, such as 1,64,56,56, got {text!r}")
    return shape


def _pair(text: str) -> int | tuple[int, ...]:
    values = _integers(text)
    if len(values) > 2:
        raise argparse.ArgumentTypeError(f"needs 1 or 2 numbers, got {text!r}")
    return values[0] if len(values) == 1 else values


def _padding(text: str) -> Any:
    if text in ("same", "valid", "full"):
        return text
    values = _integers(text)
    if len(values) == 4:
        return values[:2], values[2:]
    if len(values) == 3 or len(values) > 4:
        raise argparse.ArgumentTypeError(f"needs 1, 2 or 4 numbers, or same, valid or full, got {text!r}")
    return _pair(text)


def _batches(text: str) -> tuple[int, ...]:
    values = _integers(text)
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"needs at least 1 image, got {text!r}")
    return tuple(dict.fromkeys(values))


def chosen_peers(arguments: argparse.Namespace, known: Collection[str]) -> Sequence[str] | None:
    """The names that ``--peers`` gives, of those that can be measured here; None for all of these."""
    names: Sequence[str] | None = arguments.peers
    if names is not None and len(names) > 1 and {"all", "none"} & set(names):
        raise CommandError(f"--peers is {','.join(names)}, but all and none stand alone")
    if names is None or names == ("all",):
        return None
    if names == ("none",):
        return ()
    for name in names:
        if name not in known:
            raise CommandError(f"--peers has {name}, which cannot do this: choose from {', '.join(known)}")
    return names


def _names(what: str, known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            wrong = unknown[0] if unknown else text
            raise argparse.ArgumentTypeError(f"unknown {what} {wrong!r}: choose from {', '.join(known)}")
        return names

    return parse
