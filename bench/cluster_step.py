"""What a step of training on a cluster costs, in seconds, bytes and messages: the tables of docs/cluster.md.

    python bench/cluster_step.py [--workers 1,2,4] [--steps 10] [--network small|resnet18] [--pixels N]

Workers are processes of this machine, so that times say what the exchange costs, and nothing of a network. Bytes and
messages are those of arrays: counted where workers send them, beside the formulas of the page. The small network has
nearly no work, and shows the exchange; ResNet-18, on 160x160 pixels, is the usual case.
"""

import argparse
import time
from statistics import median

import distributed
import numpy as np

import fastconv.nn as nn
from fastconv.nn.cluster import on_dask


def install(dask_worker):
    """In a worker: count what it sends to others."""
    dask_worker.counted = {"State": [0, 0], "Sums": [0, 0]}  # messages and bytes
    given = dask_worker.handlers["get_data"]

    async def get_data(comm, keys=(), **options):
        for value in (dask_worker.data[key] for key in keys if key in dask_worker.data):
            if type(value).__name__ in dask_worker.counted:
                told = dask_worker.counted[type(value).__name__]
                told[0] += 1
                told[1] += sum(array.nbytes for array in value if isinstance(array, np.ndarray))
        return await given(comm, keys=keys, **options)

    dask_worker.handlers["get_data"] = get_data
    dask_worker.counted["norm"] = [0, 0]
    meet = on_dask.Hub.meet

    async def counted_meet(self, step, number, place, count, own, merge):
        merged = await meet(self, step, number, place, count, own, merge)
        told = dask_worker.counted["norm"]
        told[0] += 2
        told[1] += own.nbytes + merged.nbytes
        return merged

    on_dask.Hub.meet = counted_meet


def counted(dask_worker):
    return dask_worker.counted


class Steps(nn.Callback):
    def begin(self, run):
        self.seconds, self.last = [], time.perf_counter()

    def batch_end(self, run):
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def network(norm):
    layers = [nn.Conv2D(32, 3, padding=1), nn.Activation("relu"), nn.MaxPool2D(2)]
    if norm:
        layers.insert(1, nn.BatchNorm2D())
    return nn.Sequential(*layers, nn.Flatten(), nn.Dense(512, activation="relu"), nn.Dense(10))


def resnet(norm):
    return nn.models.resnet18(num_classes=10)


NETWORKS = {"small": (network, 16, (False, True)), "resnet18": (resnet, 160, (True,))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--pixels", type=int)
    arguments = parser.parse_args()
    made, pixels, norms = NETWORKS[arguments.network]
    pixels = arguments.pixels or pixels
    rng = np.random.default_rng(0)
    samples = 64 * arguments.steps
    x, y = rng.standard_normal((samples, 3, pixels, pixels), np.float32), rng.integers(10, size=samples)
    print("| workers | step | parameters | sums | formula, each | batch norm | formula |")
    print("|---|---|---|---|---|---|---|")
    for norm in norms:
        steps, net = Steps(), made(norm)
        net.fit(x, y, 1, 64, callbacks=[steps], rng=0)
        size = sum(array.nbytes for array in net.parameters())
        layers = [module for _, module in net.named_modules() if isinstance(module, nn.BatchNorm2D)]
        channels = sum(len(layer.running_mean) for layer in layers)
        print(f"| this process | {1e3 * median(steps.seconds[2:]):.0f} ms | | | | | |")
        for workers in map(int, arguments.workers.split(",")):
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
            with cluster, distributed.Client(cluster) as client:
                client.run(install)
                steps, net = Steps(), made(norm)
                net.fit(x, y, 1, 64, callbacks=[steps], rng=0, cluster=client)
                found = client.run(counted).values()
            sent = []
            for name in ("State", "Sums", "norm"):
                count, size_sent = (
                    sum(one[name][place] for one in found) / arguments.steps for place in (0, 1)
                )
                each = size_sent / max(count, 1e-9)
                sent.append(
                    f"{count:.1f} x {each / 1e6:.2f} MB"
                    if name != "norm"
                    else f"{count:.0f}, {size_sent:.0f} B"
                )
            # Parameters to all but the one that has them from the client; sums to where they are added up, and to it.
            expected = f"{workers - 1} and {workers} x {size / 1e6:.2f} MB"
            exchanged = f"{4 * len(layers) * workers}, {80 * channels * workers} B"
            told = (
                f"{1e3 * median(steps.seconds[2:]):.0f} ms | {sent[0]} | {sent[1]} | {expected} | {sent[2]}"
            )
            print(f"| {workers} | {told} | {exchanged} |", flush=True)


if __name__ == "__main__":
    main()
