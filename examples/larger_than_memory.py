"""A 4 GB picture through a 31x31 filter and through a U-Net, tile by tile, from a file to a file.

    pip install fastconv
    python examples/larger_than_memory.py [--pixels 32768] [--folder DIR] [--workers 2] [--only filter|network]

The picture is a sparse memory-mapped file: its pixels are 0 but for a region of random numbers across the borders of
tiles, so that the 4 GB need not be on the disk; the computation is that of any picture. Printed are the time, the
memory that is taken besides the mapped files, and how far the tiles are from the region computed as a whole.
"""

import argparse
import functools
import os
import tempfile
import threading
import time

import numpy as np

import fastconv
import fastconv.nn as nn

REGION = 700  # pixels of a side
MARGIN = (
    100  # more than anything below sees of its neighbours, and a multiple of what the network goes down by
)


def own_memory():
    """Bytes of this process that no file backs."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))


class Watched:
    """The most memory that is taken within a ``with`` block, above what there was."""

    def __enter__(self):
        self.before = self.most = own_memory()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, own_memory())

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.taken = self.most - self.before


def shown(name, op, whole, source, folder, workers, corner):
    """Run it from `source` into a file, and compare with `whole`, a function of the region."""
    tiling = fastconv.tiles.tiling(op, source.shape)
    target = np.memmap(os.path.join(folder, name), np.float32, "w+", shape=tiling.output_shape)
    with Watched() as memory:
        begun = time.perf_counter()
        fastconv.tiles.run(op, source, target, workers=workers, progress=True)
        seconds = time.perf_counter() - begun
    region = tuple(slice(start, start + REGION) for start in corner)
    expected = whole(np.array(source[(..., *region)]))
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    found = target[(..., *region)]
    error = np.abs(found[inner] - expected[inner]).max() / np.abs(expected[inner]).max()
    print(
        f"{name}: {source.nbytes / 2**30:.1f} GiB in {len(tiling)} tiles of {tiling.tile}, halo {tiling.halo[0]}: "
        f"{seconds:.1f} s, {source.size / seconds / 1e6:.1f} Mpixel/s, {memory.taken / 1e6:.0f} MB of memory "
        f"({workers} x {tiling.memory / 1e6:.0f} MB of arrays stated), relative difference {error:.1e}",
        flush=True,
    )
    os.remove(os.path.join(folder, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--pixels", type=int, default=32768, help="of a side (default: 32768, which are 4 GiB)"
    )
    parser.add_argument("--folder", help="where the files go, 8 GiB at most (default: a temporary one)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=("filter", "network"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        shape = (1, 1, arguments.pixels, arguments.pixels)
        source = np.memmap(os.path.join(folder, "picture"), np.float32, "w+", shape=shape)
        corner = (max(0, arguments.pixels // 2 - 400) // 4 * 4, max(0, arguments.pixels // 2 - 300) // 4 * 4)
        region = tuple(slice(start, start + REGION) for start in corner)
        source[(..., *region)] = rng.random((REGION, REGION), np.float32)
        todo = {}
        weight = rng.random((1, 1, 31, 31), np.float32)
        blur = functools.partial(
            fastconv.conv2d, weight=weight / weight.sum(), padding=15, padding_mode="reflect"
        )
        todo["filter"] = blur, blur
        net = nn.models.UNet(1, (4, 8, 16))
        net.build((1, 1, 64, 64), rng=0)
        todo["network"] = net, net.predict
        for name, (op, whole) in todo.items():
            if arguments.only in (None, name):
                shown(name, op, whole, source, folder, arguments.workers, corner)


if __name__ == "__main__":
    main()
