"""What a step of training on a cluster costs, in seconds, bytes and messages: the tables of docs/cluster.md.

    python bench/cluster_step.py [--workers 1,2,4] [--steps 10]

Workers are processes of this machine, so that times say what the exchange costs, and nothing of a network. Bytes and
messages are those of arrays: counted where workers and the client send them, beside the formulas of the page.
"""

import argparse
import time
from statistics import median

import distributed
import numpy as np

import fastconv.nn as nn


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2,4")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    samples = 64 * arguments.steps
    x, y = rng.standard_normal((samples, 3, 16, 16), np.float32), rng.integers(10, size=samples)
    print(
        "| workers | batch norm | step | parameters, workers send | sums, workers send | by the formula, each |"
    )
    print("|---|---|---|---|---|---|")
    for norm in (False, True):
        steps = Steps()
        net = network(norm)
        net.fit(x, y, 1, 64, callbacks=[steps], rng=0)
        size = sum(array.nbytes for array in net.parameters())
        print(f"| here | {'yes' if norm else 'no'} | {1e3 * median(steps.seconds[2:]):.0f} ms | | | |")
        for workers in map(int, arguments.workers.split(",")):
            cluster = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
            with cluster, distributed.Client(cluster) as client:
                client.run(install)
                steps, net = Steps(), network(norm)
                net.fit(x, y, 1, 64, callbacks=[steps], rng=0, cluster=client)
                found = client.run(counted).values()
            sent = []
            for name in ("State", "Sums"):
                count, size_sent = (
                    sum(one[name][place] for one in found) / arguments.steps for place in (0, 1)
                )
                sent.append(f"{count:.1f} x {size_sent / max(count, 1e-9) / 1e6:.2f} MB")
            # Parameters to all but the one that has them from the client; sums to where they are added up, and to it.
            told = f"{1e3 * median(steps.seconds[2:]):.0f} ms | {' | '.join(sent)}"
            expected = f"{workers - 1} and {workers} x {size / 1e6:.2f} MB"
            print(f"| {workers} | {'yes' if norm else 'no'} | {told} | {expected} |", flush=True)


if __name__ == "__main__":
    main()
