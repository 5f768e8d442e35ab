"""Measures all that the documentation shows, on this machine, into ``docs/measured/NAME/``, and writes the pages.

    python bench/record.py NAME                       # everything: on two cores about a quarter of an hour
    python bench/record.py NAME --only nchw,threads   # some of it
    python bench/record.py NAME --wrap "chrt -f 1"    # each measurement is the end of that command

NAME is a folder of one's own choice for the processor, such as ``amd-zen4``. Each measurement is a call of ``fastconv
bench --json`` in a process of its own; the machine should do nothing else.
"""

import argparse
import os
import shlex
import subprocess
import sys

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
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--only", metavar="PARTS", help=f"with commas, of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--wrap", default="", metavar="COMMAND", help="to start each measurement with")
    arguments = parser.parse_args()
    parts = arguments.only.split(",") if arguments.only else list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown part {min(unknown)!r}: choose from {', '.join(PARTS)}")
    folder = MEASURED / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        words = shlex.split(PARTS[part])
        first = next(place for place, word in enumerate(words) if word.startswith("--"))
        environment = os.environ | dict(word.split("=") for word in words[:first])
        bench = [sys.executable, "-m", "fastconv", "bench", *words[first:]]
        own = [
            "--backends",
            "cython",
            "--rounds",
            str(arguments.rounds),
            "--json",
            str(folder / f"{part}.json"),
        ]
        print(f"{part}: {PARTS[part]}", flush=True)
        command = [*shlex.split(arguments.wrap), *bench, *own]
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    write_pages()


if __name__ == "__main__":
    main()
