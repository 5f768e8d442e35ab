"""The threads of the pool beside those of OpenMP, in one process and in turns.

    python bench/thread_layers.py
    python bench/thread_layers.py --threads 2 --rounds 41

Plans of several sizes, with `out=`, in five situations: quiet; while another process keeps a core busy; in turns with a
matrix product of NumPy, and with one of PyTorch where that is installed, in the same process; and a single call after a
pause of 20 ms, when all threads sleep, beside the same call on one thread. Medians of each situation, in microseconds;
in those with another library the time is that of both calls.

The machine should do nothing else: beside a neighbour that nobody asked for, "quiet" says nothing. How many cores other
processes had meanwhile (on Linux) stands beside each title; `--only` repeats a situation.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from statistics import median

import numpy as np

import fastconv
from fastconv.bench.measure.timer import Pace, Timer
from fastconv.machine.processor import processor_name

LAYERS = ("pool", "openmp")
BUSY = "while True: pass"
PAUSE = (
    0.02  # seconds; OpenMP's threads go on spinning for some milliseconds, on cores that the pool's then want
)


def cases(rng):
    """Name, and the call."""

    def normal(*shape):
        return rng.standard_normal(shape, np.float32)

    def planned(name, plan, x):
        out = plan(x)
        return name, lambda: plan(x, out=out)

    def conv(channels, filters, kernel, size):
        plan = fastconv.plan_conv2d(normal(filters, channels, kernel, kernel), padding=kernel // 2)
        name = f"{kernel}x{kernel} {channels}->{filters}, {size}"
        return planned(name, plan, normal(1, channels, size, size))

    depthwise = fastconv.plan_depthwise_conv2d(normal(96, 1, 3, 3), padding=1)
    pooled = normal(1, 64, 112, 112)
    result = fastconv.max_pool2d(pooled, 3, 2)
    return dict(
        [
            conv(16, 16, 3, 28),
            conv(64, 64, 3, 28),
            conv(64, 64, 3, 56),
            conv(256, 64, 1, 56),
            conv(512, 512, 3, 7),
            conv(128, 128, 3, 112),
            planned("depthwise 3x3 96, 56", depthwise, normal(1, 96, 56, 56)),
            ("max 3x3/2 64, 112", lambda: fastconv.max_pool2d(pooled, 3, 2, out=result)),
        ]
    )


def with_layer(layer, threads, call):
    """`call` with threads of a layer; the choice costs more than many a call, and is made where it changes."""

    def called():
        if fastconv.get_threading() != layer:
            fastconv.set_threading(layer)
        with fastconv.num_threads(threads):
            call()

    return called


def before(first, call):
    def called():
        first()
        call()

    return called


@contextmanager
def busy_neighbour():
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    time.sleep(0.5)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def seconds_of_others():
    """Of all cores, since the machine started, less this process; NaN where nobody tells."""
    try:
        with open("/proc/stat", encoding="utf-8") as file:
            user, nice, system, _, _, irq, soft, steal, *_ = map(int, file.readline().split()[1:])
    except OSError:
        return float("nan")
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK") - time.process_time()


def product_of_numpy(rng):
    a, b = rng.standard_normal((2, 256, 256), np.float32)
    out = a @ b
    return lambda: np.matmul(a, b, out=out)


def product_of_torch(rng):
    import torch

    a, b = torch.from_numpy(rng.standard_normal((2, 256, 256), np.float32))
    out = a @ b
    return lambda: torch.matmul(a, b, out=out)


def measure(title, calls, threads, pace, alone=False):
    """Print a table of medians; with `alone`, also of a single thread of the pool."""
    columns = {layer: (layer, threads) for layer in LAYERS} | ({"one thread": ("pool", 1)} if alone else {})
    timed = {
        (name, column): with_layer(*chosen, call)
        for name, call in calls.items()
        for column, chosen in columns.items()
    }
    for call in timed.values():
        call()
    others, since = seconds_of_others(), time.monotonic()
    seconds = {key: median(values) for key, values in Timer(timed, pace).run().items()}
    others = (seconds_of_others() - others) / (time.monotonic() - since)
    print(f"\n{title} (other processes: {others:.2f} cores)\n")
    print(f"| | {' | '.join(columns)} | openmp / pool |")
    print(f"|---|{'---|' * (len(columns) + 1)}")
    ratios = []
    for name in calls:
        times = [seconds[name, column] for column in columns]
        ratios.append(times[1] / times[0])
        print(f"| {name} | {' | '.join(f'{t * 1e6:.0f}' for t in times)} | {ratios[-1]:.2f} |")
    print(f"| geometric mean |{' |' * len(columns)} {np.exp(np.mean(np.log(ratios))):.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--only", choices=["quiet", "busy", "numpy", "torch", "pause"], action="append")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    calls = cases(rng)
    steady = Pace(rounds=arguments.rounds, least=5, block=1e-3, rest=PAUSE, warm=True)
    single = Pace(rounds=arguments.rounds, least=5, rest=PAUSE)
    situations = {
        "quiet": ("quiet", nullcontext(), None, steady),
        "busy": ("beside a busy neighbour", busy_neighbour(), None, steady),
        "numpy": ("in turns with NumPy", nullcontext(), product_of_numpy, steady),
        "torch": ("in turns with PyTorch", nullcontext(), product_of_torch, steady),
        "pause": (f"after {PAUSE * 1e3:.0f} ms", nullcontext(), None, single),
    }
    if importlib.util.find_spec("torch") is None:
        del situations["torch"]
    print(f"{processor_name()}, {arguments.threads} threads, {arguments.rounds} rounds, us")
    for key, (title, surroundings, other, pace) in situations.items():
        if arguments.only and key not in arguments.only:
            continue
        chosen = calls
        if other is not None:
            product = other(rng)
            chosen = {name: before(product, call) for name, call in calls.items()}
        with surroundings:
            measure(title, chosen, arguments.threads, pace, alone=pace is single)


if __name__ == "__main__":
    main()
