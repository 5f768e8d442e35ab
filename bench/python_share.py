"""How much of a training step the interpreter takes: of the networks of ``fastconv bench --training``.

    python bench/python_share.py                    # all of them
    python bench/python_share.py resnet20 --batch 8

A timer of Linux interrupts the thread that trains, 2000 times a second, and notes where it is: in the interpreter, in
NumPy, in fastconv's extension, or in the C library, which copies memory and waits for other threads. Needs a C
compiler, as Python could not look while C runs. The machine should do nothing else.
"""

import argparse
import bisect
import ctypes
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import fastconv.nn as nn
from fastconv.bench.runners.training import NETWORKS

SOURCE = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static unsigned long *places;
static long room, count;
static timer_t timer;

static void note(int signal, siginfo_t *info, void *context) {
    if (count < room) places[count++] = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

int start(unsigned long *into, long most, long nanoseconds) {
    places = into, room = most, count = 0;
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    event._sigev_un._tid = syscall(SYS_gettid);
    struct itimerspec often = {{0, nanoseconds}, {0, nanoseconds}};
    return sigaction(SIGPROF, &action, 0) || timer_create(CLOCK_MONOTONIC, &event, &timer) ||
           timer_settime(timer, 0, &often, 0);
}

long stop(void) {
    timer_delete(timer);
    return count;
}
"""
EVERY, MOST = 500_000, 1 << 18  # nanoseconds, samples


def sampler(folder):
    source, library = Path(folder) / "sampler.c", Path(folder) / "sampler.so"
    source.write_text(SOURCE, encoding="ascii")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-lrt"], check=True)
    return ctypes.CDLL(str(library))


def kind(path):
    """Of a file that is mapped into the process."""
    name = Path(path).name
    if "fastconv" in path:
        return "fastconv"
    if name.startswith(("python", "libpython")):
        return "Python"
    return "NumPy" if "numpy" in path else "C library" if name.startswith(("libc.", "libc-")) else "other"


def shares(places):
    """Of each kind the share of the samples."""
    spans = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        words = line.split()
        begin, end = (int(part, 16) for part in words[0].split("-"))
        spans.append((begin, end, kind(words[5]) if len(words) > 5 else "other"))
    spans.sort()
    found = Counter()
    for place in places.tolist():
        begin, end, name = spans[max(bisect.bisect(spans, (place, sys.maxsize)) - 1, 0)]
        found[name if begin <= place < end else "other"] += 1
    return {name: number / len(places) for name, number in found.most_common()}


def measured(library, network, batch, seconds):
    """The time of a step, and the shares."""
    trained = NETWORKS[network]
    arrays = trained.arrays(batch)
    net, optimizer = trained.make("NCHW"), nn.Adam()
    net.build(arrays["x"].shape, 0)
    for _ in range(3):
        net.train_step(arrays["x"], arrays["y"], optimizer=optimizer)
    places, steps, begin = np.zeros(MOST, np.uint64), 0, time.perf_counter()
    if library.start(ctypes.c_void_p(places.ctypes.data), ctypes.c_long(MOST), ctypes.c_long(EVERY)):
        raise OSError("the timer cannot be started")
    while (taken := time.perf_counter() - begin) < seconds:
        net.train_step(arrays["x"], arrays["y"], optimizer=optimizer)
        steps += 1
    return taken / steps, shares(places[: library.stop()])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--batch", type=int, help="default: 32, of the U-Net 8")
    parser.add_argument("--seconds", type=float, default=6.0, help="for each network")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = sampler(folder)
        for network in arguments.networks or NETWORKS:
            batch = arguments.batch or (8 if network == "unet" else 32)
            step, found = measured(library, network, batch, arguments.seconds)
            told = ", ".join(f"{name} {share:.1%}" for name, share in found.items())
            print(f"{network}, batch {batch}, {1e3 * step:.2f} ms a step: {told}", flush=True)


if __name__ == "__main__":
    main()
