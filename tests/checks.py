"""What the tests share: data, layouts, tolerances that follow from the arithmetic, running a case."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

import fastconv
from fastconv.bench.oracle.definitions import FORWARD

# In units of eps * sum(|x| * |weight|) the direct method errs by about 1, `precision="fast"` by up to 8.
FAST, DIRECT = 16, 4


def normal(shape, seed=0, dtype=np.float64):
    """Normal numbers, representable in float32, that differ for every shape and seed."""
    return np.random.default_rng([*shape, seed]).normal(size=shape).astype(np.float32).astype(dtype)


def to_layout(x, layout):
    """An NCHW (CHW) array in `layout`."""
    return x if layout == "NCHW" else np.ascontiguousarray(np.moveaxis(x, -3, -1))


def from_layout(y, layout):
    return y if layout == "NCHW" else np.moveaxis(y, -1, -3)


def weight_to_layout(weight, layout):
    """(O, I, kH, kW) in `layout`; for transposed convolution likewise from (I, O, kH, kW)."""
    return weight if layout == "NCHW" else np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def guarded(array, guard=7):
    """A contiguous copy that lies between NaNs (or large integers): whatever reads beyond it shows."""
    poison = {"b": True, "i": 127, "u": 255}.get(array.dtype.kind, np.nan)
    buffer = np.full(array.size + 2 * guard, poison, dtype=array.dtype)
    view = buffer[guard : guard + array.size].reshape(array.shape)
    view[...] = array
    return view


def eps(dtype):
    return float(ml_dtypes.finfo(dtype).eps)


def rounding(expected, dtype):
    """What rounding `expected` to `dtype` may cost."""
    info = ml_dtypes.finfo(dtype)
    return (0.51 * float(info.eps) * np.abs(expected) + float(info.smallest_subnormal)).astype(np.float64)


def plane_maximum(bound):
    """The largest bound of each output plane: Winograd's error follows the tile, not the single pixel."""
    return bound.max(axis=(-2, -1), keepdims=True, initial=0.0)


def assert_close(actual, expected, tolerance, dtype):
    """`actual` is an array of `dtype`, nowhere further than `tolerance` from `expected`; NaNs coincide."""
    assert type(actual) is np.ndarray
    assert actual.dtype == dtype
    assert actual.shape == expected.shape
    with np.errstate(invalid="ignore"):  # infinity - infinity
        difference = np.abs(actual.astype(np.float64) - expected)
    wrong = ~((difference <= tolerance) | (actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    if wrong.any():
        where = np.unravel_index(np.argmax(np.where(wrong, difference, -1)), wrong.shape)
        limit = np.broadcast_to(tolerance, wrong.shape)[where]
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} elements are wrong; at {tuple(map(int, where))}: "
            f"{actual[where]!r} instead of {expected[where]!r} (tolerance {limit:.3g})"
        )


class Solved:
    """A convolution case with data, its exact answer, and `bound` = sum(|x| * |weight|) + |bias|."""

    def __init__(self, operation, case):
        self.operation = operation
        self.options = dict(case.options)
        self.x = normal(case.x)
        self.weights = [normal(shape, seed=1 + i) for i, shape in enumerate(case.weights)]
        self.bias = normal((self.output_channels,), seed=9)
        exact = FORWARD[operation](self.x, *self.weights, self.bias, **self.options)
        self.expected, self.bound = exact.everywhere()

    @property
    def output_channels(self):
        if self.operation == "conv_transpose2d":
            return self.weights[0].shape[1] * self.options.get("groups", 1)
        return self.weights[-1].shape[0]

    def arguments(self, layout, dtype):
        weights = [guarded(weight_to_layout(weight, layout).astype(dtype)) for weight in self.weights]
        return guarded(to_layout(self.x, layout).astype(dtype)), *weights, guarded(self.bias.astype(dtype))

    def run(self, layout, dtype, **options):
        """The library's answer, in NCHW."""
        function = getattr(fastconv, self.operation)
        return from_layout(
            function(*self.arguments(layout, dtype), layout=layout, **self.options, **options), layout
        )

    def tolerance(self, dtype, factor=FAST):
        return factor * eps(dtype) * plane_maximum(self.bound)

    def check(self, layout, dtype, factor=FAST, **options):
        assert_close(self.run(layout, dtype, **options), self.expected, self.tolerance(dtype, factor), dtype)


solved = functools.lru_cache(maxsize=512)(Solved)


def run_python(code, *, timeout=120, **environment):
    """The stdout of `code` in a fresh interpreter, with environment variables set (None: unset)."""
    merged = os.environ | {name: value for name, value in environment.items() if value is not None}
    for name in (name for name, value in environment.items() if value is None):
        merged.pop(name, None)
    merged["PYTHONPATH"] = os.pathsep.join(
        [os.path.dirname(__file__), *filter(None, [merged.get("PYTHONPATH")])]
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=merged, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-6000:]}"
    return done.stdout.strip()


def run_module(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m fastconv`` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "fastconv", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=500,
        check=False,
    )


def limit_memory(mebibytes):
    """From now on this process gets no more than so many beside what it has, where the system can say what that is."""
    if sys.platform == "linux":
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + mebibytes * 2**20, resource.RLIM_INFINITY))


def unless_refused(call, *arguments, **options):
    """What the call returns; None where the algorithm cannot do it."""
    try:
        return call(*arguments, **options)
    except ValueError as error:
        if "which cannot do a convolution" not in str(error):
            raise
        return None
