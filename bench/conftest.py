"""How the benchmarks run: options, parameters from the registries, the check before the clock starts.

    pip install ".[bench]"
    pytest bench                                        # everything
    pytest bench --quick                                # a cross-section, in two minutes
    pytest bench --quick --benchmark-disable            # every function once, checked but not timed
    pytest bench/test_layers.py -k "cython and depthwise"  # some of it
    pytest bench --threads 1 --seconds 1                # on one thread; a second for each benchmark

To compare two states of the sources, or two machines:

    pytest bench --quick --benchmark-save=before
    ...
    pytest bench --quick --benchmark-compare            # the last saved run beside this one; or a number: =0001
    pytest-benchmark compare 0001 0002 --group-by=fullname

Backends, algorithms and layouts come from fastconv's registries, so that a new one is measured by itself. What a
backend cannot do is skipped. Every result is compared with float64 before it is timed, at some 64 elements, also
when it is not timed.
"""

from dataclasses import replace

import pytest
from threadpoolctl import threadpool_limits

import fastconv
from bench import cases
from fastconv.bench.layers.layer import LAYOUTS
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.timer import Pace, Timer
from fastconv.bench.oracle.check import check
from fastconv.settings.threads import available_cores

DTYPES = ("float32", "float64")  # those that kernels compute in
COLUMNS = ["min", "median", "iqr", "ops", "rounds", "iterations"]
PACE = Pace(rounds=100, least=3, block=1e-3)  # and as many seconds as the options say


def pytest_addoption(parser):
    group = parser.getgroup("fastconv")
    group.addoption("--quick", action="store_true", help="fewer layers, layouts and dtypes, shorter timing")
    group.addoption("--threads", type=int, metavar="N", help="threads (default: fastconv.get_num_threads())")
    group.addoption(
        "--seconds", type=float, metavar="S", help="for each benchmark (default: 0.4; quick: 0.05)"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    # Its remarks, such as on another machine's saved run, are for people to read.
    config.addinivalue_line("filterwarnings", "default::pytest_benchmark.logger.PytestBenchmarkWarning")
    arguments = config.invocation_params.args
    if not any(argument.startswith("--benchmark-columns") for argument in arguments):
        config.option.benchmark_columns = COLUMNS
    if not any(argument.startswith("--benchmark-name") for argument in arguments):
        config.option.benchmark_name = "short"


def pytest_benchmark_update_machine_info(config, machine_info):
    """Saved runs say what they are of; `build_config` has the environment variables that fastconv reads."""
    machine_info["fastconv"] = fastconv.config.build_config()
    machine_info["threads"] = _threads(config)


def _threads(config):
    threads = config.getoption("--threads")
    return fastconv.get_num_threads() if threads is None else threads


def _counts():
    """1, 2, 4, ... and all cores."""
    cores = available_cores()
    return [*(1 << power for power in range(cores.bit_length()) if 1 << power < cores), cores]


def _algorithms():
    """(backend, algorithm) for the backends that have a choice."""
    pairs = [(name, fastconv.algorithms(name)) for name in fastconv.available_backends()]
    return [(backend, name) for backend, names in pairs if len(names) > 1 for name in names]


def pytest_generate_tests(metafunc):
    """Parameters by the names of a benchmark's arguments; `layer` is one of its module's `LAYERS`.

    A quick run takes the layers of `QUICK`, and the first of `layout` and `dtype`.
    """
    quick = metafunc.config.getoption("--quick")
    layers = getattr(metafunc.module, "LAYERS", [])
    if quick:
        names = getattr(metafunc.module, "QUICK", [layer.name for layer in layers])
        layers = [layer for layer in layers if layer.name in names]
    values = {
        "layer": layers,
        "backend": fastconv.backends.names(),
        "algorithm": _algorithms(),
        "layout": LAYOUTS[:1] if quick else LAYOUTS,
        "dtype": DTYPES[:1] if quick else DTYPES,
        "count": _counts(),
        "mode": ("call", "plan"),
    }
    for name in (name for name in metafunc.fixturenames if name in values):
        metafunc.parametrize(name, values[name], ids=_id)


def _id(value):
    if isinstance(value, tuple):
        return "-".join(value)
    return str(getattr(value, "name", value)).replace(" ", "-")


@pytest.fixture
def measure(benchmark, request):
    """A function that checks one layer by one runner, and times it."""
    config = request.config
    budget = config.getoption("--seconds")
    if budget is None:
        budget = 0.05 if config.getoption("--quick") else 0.4

    def run(layer, runner, group, **settings):
        chosen = Settings(**{"threads": _threads(config), **settings})
        benchmark.group = f"{group}: {layer.name}"
        if runner.backend not in fastconv.available_backends():
            pytest.skip(f"the {runner.backend} backend is not available; `fastconv info` says why")
        with (
            fastconv.num_threads(chosen.threads),
            threadpool_limits(chosen.threads, user_api="blas"),
        ):
            _measure(benchmark, layer, runner, chosen, budget)

    return run


def _measure(benchmark, layer, runner, settings, budget):
    arrays = cases.arrays(layer, settings.dtype)
    prepared = _prepared(layer, arrays, runner, settings)
    # The first call is the warm-up, too: numba compiles, threads wake up.
    images = prepared.images(benchmark.pedantic(prepared.run) if benchmark.disabled else prepared.run())
    error = check(layer, arrays, images, settings)
    if benchmark.disabled:
        return
    flops = layer.flops(prepared.shape or images[0].shape)
    if settings.mode == "gradient":
        flops *= 2  # once for `x`, once for the weights
    del images
    timer = Timer(
        {"": prepared.run}, replace(PACE, enough=budget)
    )  # here it only looks how long a call takes
    benchmark.pedantic(prepared.run, rounds=timer.rounds(""), iterations=timer.repeats[""])
    build = fastconv.config.build_config()["build"]
    benchmark.extra_info.update(
        operation=layer.operation,
        shapes=str(layer),
        backend=runner.backend,
        algorithm=prepared.detail,
        isa=build["instruction_set"] if runner.backend == "cython" else "",
        layout=settings.layout,
        dtype=settings.dtype,
        mode=settings.mode,
        threads=settings.threads,
        flops=flops,
        GFLOP_per_s=flops / benchmark.stats.stats.median / 1e9,
        error=error,
    )


def _prepared(layer, arrays, runner, settings):
    prepared = runner.prepare(layer, arrays, settings)
    if prepared is None:
        pytest.skip(
            f"{layer.operation} has no {settings.layout} or no gradient, or the algorithm cannot do it"
        )
    return prepared
