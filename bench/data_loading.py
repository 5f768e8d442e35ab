"""How long training waits for its batches: pictures from files, decoded, cropped and changed by threads.

python bench/data_loading.py [--pictures 384] [--threads 1,2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import fastconv.nn as nn
from fastconv.nn import augment, data


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=384)
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label in ("a", "b"):
            (folder / label).mkdir()
        for number in range(arguments.pictures):
            small = rng.integers(0, 255, (30, 40, 3), np.uint8)
            picture = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
            picture.save(folder / "ab"[number % 2] / f"{number}.jpg", quality=90)
        source = data.Pictures(folder, 224, mean=0.45, std=0.25)
        begun = time.perf_counter()
        source.take(np.arange(32))
        print(f"one batch of 32, read in one thread: {1e3 * (time.perf_counter() - begun):.0f} ms")
        for threads in map(int, arguments.threads.split(",")):
            change = augment.chain(augment.flip(), augment.colour_jitter())
            batches = data.Batches(source, 32, threads=threads, augment=change)
            net = nn.models.resnet18(num_classes=2)
            net.fit(batches, epochs=1, rng=0, optimizer=nn.SGD(0.01))
            print(
                f"ResNet-18 at 224x224, batches of 32, {threads} thread(s) for these: {batches.passed:.1f} s, of which "
                f"it waited {batches.waited:.2f} s ({100 * batches.waited / batches.passed:.1f} %)",
                flush=True,
            )


if __name__ == "__main__":
    main()
