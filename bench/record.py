"""Measures all that the documentation shows, on this machine, into ``docs/measured/NAME/``, and writes the pages.

    python bench/record.py NAME                       # everything: on two cores about a quarter of an hour
    python bench/record.py NAME --only nchw,threads   # some of it
    python bench/record.py NAME --wrap "chrt -f 1"    # each measurement is the end of that command
    python bench/record.py NAME --only models --models LIST    # whole networks: each line of LIST is a file and words
                                                      # that go with it, as `resnet50.onnx --shape x=8,3,224,224`

NAME is a folder of one's own choice for the processor, such as ``amd-zen4``. Each measurement is a call of ``fastconv
bench --json`` in a process of its own; the machine should do nothing else. Of a part of several calls each is a line of
the file.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from pages import MEASURED, ROOT, write_pages

SHOWN = "layers"
WITH_PREPARED = "pytorch,onnxruntime,openvino,ncnn,mnn,jax"
FILTERS = "filters-grey,few-channels,signals"
PARTS = {
    "nchw": f"--network {SHOWN} --peers {WITH_PREPARED}",
    "nhwc": f"--network {SHOWN} --layout NHWC --peers {WITH_PREPARED}",
    "strict": f"--network {SHOWN} --precision strict --peers {WITH_PREPARED}",
    "call": f"--network {SHOWN} --mode call --peers pytorch",
    "gradient": f"--network {SHOWN} --batch 8 --mode gradient --peers pytorch",
    "one-thread": f"--network {SHOWN} --threads 1 --peers none",
    "busy": f"--network {SHOWN} --busy 1 --peers pytorch,onnxruntime",
    "shapes": f"--network {FILTERS},small --peers pytorch,scipy,opencv",
    "shapes-nhwc": "--network few-channels,small --layout NHWC --peers pytorch,opencv",
    "avx2": f"FASTCONV_ISA=avx2 --network {SHOWN} --peers none",
    "tiny": f"--network tiny --peers {WITH_PREPARED}",
    "tiny-call": "--network tiny --mode call --peers pytorch",
    "ideas": "--network ideas --threads 1 --algorithms all --peers none",
    "ideas-nhwc": "--network ideas --threads 1 --layout NHWC --algorithms all --peers none",
    "threads": "--network threads --peers none --studies threading",
    # Each of these takes a few minutes at most on two cores.
    "training": (
        "--training lenet,resnet20,mobilenet_v2 --peers pytorch",
        "--training unet --rounds 2 --peers pytorch",
        "--training lenet,resnet20,mobilenet_v2 --layout NHWC --peers pytorch",
    ),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--only", metavar="PARTS", help=f"with commas, of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wrap", default="", metavar="COMMAND", help="to start each measurement with")
    parser.add_argument("--models", type=Path, metavar="LIST", help="the networks of the part models")
    arguments = parser.parse_args()
    known = PARTS | ({"models": networks(arguments.models)} if arguments.models else {})
    parts = arguments.only.split(",") if arguments.only else list(known)
    if unknown := set(parts) - set(known):
        parser.error(f"unknown part {min(unknown)!r}: choose from {', '.join(known)}")
    folder = MEASURED / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        if isinstance(known[part], str):
            measure(part, known[part], folder / f"{part}.json", arguments)
            continue
        with tempfile.TemporaryDirectory() as scratch:
            files = [Path(scratch) / f"{place}.json" for place, _ in enumerate(known[part])]
            for words, file in zip(known[part], files, strict=True):
                measure(part, words, file, arguments)
            lines = [
                json.dumps(without_folder(json.loads(file.read_text(encoding="utf-8")))) for file in files
            ]
        (folder / f"{part}.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
    write_pages()


def networks(path):
    """The words of each measurement that a list asks for."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(f"--model {line} --peers onnxruntime,openvino" for line in lines if line.strip())


def without_folder(told):
    """Where the files lie concerns nobody."""
    return told | {"model": Path(told["model"]).name} if "model" in told else told


def measure(part, words, file, arguments):
    """One call of ``fastconv bench``, whose own words, of `PARTS`, come last."""
    print(f"{part}: {words}", flush=True)
    words = shlex.split(words)
    first = next(place for place, word in enumerate(words) if word.startswith("--"))
    environment = os.environ | dict(word.split("=") for word in words[:first])
    bench = [sys.executable, "-m", "fastconv", "bench", "--backends", "cython"]
    own = ["--rounds", str(arguments.rounds), "--json", str(file), *words[first:]]
    command = [*shlex.split(arguments.wrap), *bench, *own]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
