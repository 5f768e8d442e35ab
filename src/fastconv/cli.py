"""The command line: ``fastconv`` with one of `COMMANDS` or ``--version``.

Called by the ``fastconv`` entry point and by ``python -m fastconv``. Of the modules of a command nothing is imported
before it is named: so ``fastconv --version`` is quick, and the other commands miss their extras only when they run.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import fastconv
from fastconv import backends
from fastconv.commands.error import CommandError
from fastconv.commands.printable import printable

DESCRIPTION = "Fast 2-D convolution, pooling and their relatives on the CPU, on NumPy arrays."

LARGEST_SIZE = 50_000

EXAMPLES = """\
examples:
  fastconv demo                          a bundled photograph, every backend
  fastconv demo photo.jpg                your own picture (PNG, JPEG, ...)
  fastconv demo photo.jpg --size 800 --output sheet.png
  fastconv demo --backends numpy,cython  only some of the backends
  fastconv run MODEL.onnx photo.jpg      what a network sees
  fastconv inspect MODEL.onnx            what it is made of, and what it costs
  fastconv bench                         times, beside other libraries
  fastconv bench --model MODEL.onnx      a whole network's
  fastconv bench --network resnet50 --html report.html
  fastconv tune MODEL.onnx               measure which of its kernels are fastest
  fastconv info                          version, build, processor, backends
  fastconv info --measure                peaks of arithmetic and bandwidths of this machine

environment:
  FASTCONV_BACKEND      numpy, numba or cython (default: the fastest available)
  FASTCONV_NUM_THREADS  threads (default: the cores this process may use)
  FASTCONV_THREADING    pool or openmp: where the cython backend has its threads from (default: pool)
  FASTCONV_PRECISION    fast or strict
  FASTCONV_ISA          baseline, avx2 or avx512: no higher instruction set
  FASTCONV_CACHE_SIZE   bytes of freed results kept for coming ones (default: 256 MiB)
  FASTCONV_CACHE_DIR    folder of what is measured (default: fastconv in XDG_CACHE_HOME or ~/.cache)
  FASTCONV_TUNING       file of the kernels that were tuned (default: tuning.json there)
"""

DEMO_DESCRIPTION = """\
Sends a photograph through a bank of filters, pooling and upsampling on every
backend; prints what each operation took and how far the backends are apart,
and writes a contact sheet of the pictures.
"""

DEMO_EPILOG = """\
exit status:
  0  the backends agree
  1  they do not: the operation is named
  2  the demo could not run: the message says why
"""

INFO_DESCRIPTION = """\
Prints version, build, processor, threads, the backends with what is missing,
and the limits of this machine where they have been measured.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit status: 0 for success, 1 where ``demo`` finds backends that disagree, 2 for anything that
        kept the command from running.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # the terminal may not know every letter of a file's name
    given = sys.argv[1:] if argv is None else argv
    # The program's own options take no values, so the first word without a dash is the command.
    parser = _parser(next((word for word in given if not word.startswith("-")), None))
    arguments = parser.parse_args(given)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        status = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has enough of it, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _with_extra(arguments: argparse.Namespace) -> int:
    """Run a command that needs an extra; what its user can mend becomes one line and exit status 2."""
    command, extra = arguments.command, EXTRAS[arguments.command]
    try:
        _check_settings()
        if command == "demo":
            from fastconv.demo import run_demo

            return run_demo(arguments.image, arguments.output, arguments.backends, arguments.size)
        if command == "run":
            from fastconv.commands.run_model import run_model

            return run_model(arguments)
        if command == "inspect":
            from fastconv.commands.inspect_model import inspect_model

            return inspect_model(arguments)
        if command == "tune":
            from fastconv.bench.commands.tune import run_tune

            return run_tune(arguments)
        if arguments.model is not None:
            from fastconv.bench.commands.model import run_model_bench

            return run_model_bench(arguments)
        if arguments.training is not None:
            from fastconv.bench.commands.training import run_training_bench

            return run_training_bench(arguments)
        if arguments.filters is not None:
            from fastconv.bench.commands.filters import run_filter_bench

            return run_filter_bench(arguments)
        if arguments.shape:
            raise CommandError("--shape is that of an input of --model; that of a layer's is --x")
        from fastconv.bench.commands.run import run_bench

        return run_bench(arguments)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "fastconv":
            raise
        missing = {"PIL": "pillow"}.get(missing, missing)
        message = (
            f'the package {missing} is missing: install what {command} needs with pip install ".[{extra}]" '
            "in the folder of fastconv's source"
        )
    except (CommandError, fastconv.BackendUnavailableError) as error:
        message = str(error)
    except MemoryError:
        smaller = {"demo": "photograph with --size 2000", "run": "--shape", "inspect": "--shape"}.get(
            command, "layer, or fewer images at once"
        )
        message = f"not enough memory: try a smaller {smaller}"
    print(f"fastconv {command}: {printable(message)}", file=sys.stderr)
    return 2


def _check_settings() -> None:
    try:
        for setting in (fastconv.get_num_threads, fastconv.get_backend):
            setting()  # a mistake in the environment shows here
    except ValueError as error:
        raise CommandError(str(error)) from None


def _info(arguments: argparse.Namespace) -> int:
    from fastconv.commands.info import show_info

    return show_info(arguments.measure)


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser of the command line, in which only the chosen command has arguments."""
    parser = argparse.ArgumentParser(
        prog="fastconv",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastconv {fastconv.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    for name, command in COMMANDS.items():
        added = commands.add_parser(
            name, help=command.help, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            command.add_arguments(added)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = DEMO_DESCRIPTION, DEMO_EPILOG
    parser.add_argument(
        "image",
        metavar="IMAGE",
        nargs="?",
        type=Path,
        help="a picture file, such as PNG or JPEG (default: the astronaut of scikit-image)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PNG",
        type=Path,
        default=Path("fastconv-demo.png"),
        help="where the contact sheet goes (default: %(default)s)",
    )
    parser.add_argument(
        "-b",
        "--backends",
        metavar="NAMES",
        type=_backend_names,
        help=f"backends to run, with commas between: {','.join(backends.names())} (default: all available)",
    )
    parser.add_argument(
        "-s",
        "--size",
        metavar="PIXELS",
        type=_size,
        help="scale the picture so that its longer side has this many pixels (default: as it is)",
    )


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from fastconv.bench.commands.arguments import add_arguments

    add_arguments(parser)


def _add_tune(parser: argparse.ArgumentParser) -> None:
    from fastconv.bench.commands.tune_arguments import add_arguments

    add_arguments(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    from fastconv.commands.run_model import add_arguments

    add_arguments(parser)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    from fastconv.commands.inspect_model import add_arguments

    add_arguments(parser)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.description = INFO_DESCRIPTION
    parser.add_argument(
        "--measure",
        action="store_true",
        help="measure peaks of arithmetic and bandwidths, which takes some 6 seconds, and keep them",
    )


def _backend_names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in backends.names()]
    if unknown or not names:
        wrong = unknown[0] if unknown else text
        raise argparse.ArgumentTypeError(
            f"unknown backend {wrong!r}: choose from {', '.join(backends.names())}"
        )
    return names


def _size(text: str) -> int:
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 1 <= size <= LARGEST_SIZE:
        raise argparse.ArgumentTypeError(f"needs a whole number of pixels, 1 to {LARGEST_SIZE}, got {text!r}")
    return size


class Command(NamedTuple):
    """A command of ``fastconv``: its line in the list of commands, its arguments, and what it does."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# Of the commands that need one, be it for some of what they do.
EXTRAS = {"demo": "demo", "run": "demo", "inspect": "bench", "bench": "bench", "tune": "bench"}
COMMANDS = {
    "demo": Command(
        "filter, pool and upsample a photograph on every backend, and compare them", _add_demo, _with_extra
    ),
    "run": Command("run an ONNX model on pictures, or time it", _add_run, _with_extra),
    "inspect": Command(
        "show and draw what an ONNX model is made of, and what it costs", _add_inspect, _with_extra
    ),
    "bench": Command("time layers or a model, beside other libraries", _add_bench, _with_extra),
    "tune": Command(
        "measure which kernels are fastest for layers or a model, and remember it", _add_tune, _with_extra
    ),
    "info": Command(
        "print version, build, processor, threads, backends and the machine's measured limits",
        _add_info,
        _info,
    ),
}
