"""Small measurements that explain the large one: threads, the choice of algorithms, and their errors.

Called by `commands/run.py` for the report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import fastconv
from fastconv import backends
from fastconv.arguments import choice
from fastconv.bench.layers.layer import Layer, conv
from fastconv.bench.layers.networks import network
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.results import AccuracyPoint, ChoicePoint, Results, ScalingPoint
from fastconv.bench.measure.threading import threading_layers
from fastconv.bench.measure.timer import side_by_side
from fastconv.bench.runners.backend import BackendRunner
from fastconv.typing import BackendName

KERNELS = (1, 3, 5, 7)
CHANNELS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROUNDS = 3  # of the layers on some of the threads, which are many
SIZES = (7, 14, 28, 56, 112, 224)
LAYERS = (
    conv("3x3, 64 channels, 56x56", (1, 64, 56, 56), 64, 3, padding=1),
    conv("3x3, 256 channels, 14x14", (1, 256, 14, 14), 256, 3, padding=1),
    conv("5x5, 32 channels, 28x28", (1, 32, 28, 28), 32, 5, padding=2),
    conv("7x7 stride 2, 3 channels, 224x224", (1, 3, 224, 224), 64, 7, stride=2, padding=3),
)

Progress = Callable[[str], None]


def study(results: Results, wanted: Sequence[str], progress: Progress = lambda text: None) -> None:
    """Add those that are wanted to `results`, for its first backend: forward, whatever the mode of `results`."""
    runner = next((row.runner for row in results.rows if not row.peer), fastconv.get_backend())
    backend: BackendName = choice("study", "backend", runner, backends.names())
    settings = results.settings
    if settings.mode == "gradient":
        settings = replace(settings, mode="plan")
    if "choice" in wanted:
        progress("choice of algorithms")
        results.choice = list(choices(backend, settings))
    if "scaling" in wanted:
        progress("scaling over threads")
        results.scaling = list(scaling(backend, settings))
    if "accuracy" in wanted:
        progress("error and speed of the algorithms")
        with fastconv.num_threads(settings.threads), threadpool_limits(settings.threads):
            results.accuracy = list(accuracy(backend, settings))
    if "threading" in wanted:
        results.threading = list(threading_layers(settings, progress))


def choices(backend: BackendName, settings: Settings) -> Iterator[ChoicePoint]:
    """The algorithm for square kernels of as many filters as channels, one image, padding ``"same"``."""
    for kernel in KERNELS:
        for channels in CHANNELS:
            shape = (channels, channels, kernel, kernel)
            weight = np.zeros(shape if settings.layout == "NCHW" else shape[::-1], settings.dtype)
            plan = fastconv.plan_conv2d(
                weight, padding="same", layout=settings.layout, precision=settings.precision, backend=backend
            )
            for size in SIZES:
                x = (1, channels, size, size) if settings.layout == "NCHW" else (1, size, size, channels)
                yield ChoicePoint(kernel, channels, size, plan.algorithm(x))


def thread_counts(most: int) -> list[int]:
    """All up to four, then ever fewer of them, and `most`."""
    return sorted({n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128) if n < most} | {most})


def scaling(backend: BackendName, settings: Settings) -> Iterator[ScalingPoint]:
    """The layers of the set ``"layers"`` on one to all threads; not of numpy, whose BLAS has threads of its own."""
    if backend == "numpy":
        return
    counts = thread_counts(fastconv.get_num_threads())
    settings = replace(settings, rounds=min(settings.rounds, ROUNDS))
    for layer, _ in network("layers"):
        prepared = BackendRunner(backend).prepare(layer, layer.arrays(settings.dtype), settings)
        if prepared is None:
            continue
        prepared.run()
        seconds = side_by_side({n: partial(_on_threads, n, prepared.run) for n in counts}, settings)
        for n, samples in seconds.items():
            yield ScalingPoint(layer.name, backend, n, float(np.median(samples)))


def _on_threads(n: int, run: Callable[[], object]) -> None:
    with fastconv.num_threads(n):
        run()


def accuracy(backend: BackendName, settings: Settings) -> Iterator[AccuracyPoint]:
    """Every algorithm on some layers, errors against float64."""
    for layer in LAYERS:
        arrays = layer.arrays(settings.dtype)
        expected = _exact(layer, arrays)
        scale = math.sqrt(float(np.mean(expected**2)))
        calls, errors = {}, {}
        for name in fastconv.algorithms(backend):
            if name == "direct" and len(fastconv.algorithms(backend)) > 1:
                continue  # stands for others in the list
            prepared = BackendRunner(backend, name).prepare(layer, arrays, settings)
            if prepared is not None:
                (image,) = prepared.images(prepared.run())
                calls[name] = prepared.run
                errors[name] = math.sqrt(float(np.mean((image - expected) ** 2))) / scale
        for name, samples in side_by_side(calls, settings).items():
            flops = layer.flops(expected.shape)
            yield AccuracyPoint(layer.name, name, float(np.median(samples)), flops, errors[name])


def _exact(layer: Layer, arrays: dict[str, np.ndarray]) -> np.ndarray:
    double = {name: array.astype(np.float64) for name, array in arrays.items()}
    function = getattr(fastconv, layer.operation)
    result: np.ndarray = function(**double, **layer.options, backend="numpy")
    return result
