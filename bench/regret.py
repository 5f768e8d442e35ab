"""How often, and how badly, the cython backend chooses an algorithm that is not the fastest.

    python bench/regret.py
    python bench/regret.py --problems 50 --seed 3 --layout NHWC --threads 1 --once
    python bench/regret.py --of weights --save times.jsonl --seconds 40
    python bench/regret.py --load times.jsonl other.jsonl

Random convolutions of realistic sizes, of at most 1.5 GFLOP each. For every one, each algorithm that can do it within
the precision is timed, in turns and in random order, with `out=`; the regret is the median time of the one that would
have been chosen over that of the fastest, less 1. `--prepared` (the default) times plans, `--once` whole calls, which
prepare the weights each time; `--of input` and `--of weights` time gradients instead. Data and weights are warm, as
far as they fit the caches. 200 problems take a few minutes.

With `--save`, times are kept in a file, a line of JSON for each problem; the same command goes on where it stopped.
`--load` measures nothing: it shows what the choice of now would cost by the times that such files hold, which is what a
changed cost function is tried with.

Two algorithms that are equally fast give a regret of a few percent by noise alone: the machine should do nothing else.
"""

import argparse
import json
import math
import random
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import fastconv
from fastconv.backends.cython import _KERNELS, INSTRUCTION_SET, _conv, _engine
from fastconv.bench.measure.timer import Pace, Timer

MOST_FLOPS, LEAST_FLOPS = 1.5e9, 1e5
MOST_WEIGHTS = 1 << 24
DTYPES = "float32", "float64"
HOPELESS = 4  # times the fastest at first: timed no further
WORST = 10


@dataclass(frozen=True)
class Problem:
    batch: int
    channels: int
    filters: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    dilation: int
    groups: int

    @property
    def options(self):
        padding = tuple(self.dilation * (k - 1) // 2 for k in self.kernel)
        return {"stride": self.stride, "padding": padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def weight_shape(self):
        return self.filters, self.channels // self.groups, *self.kernel

    @property
    def flops(self):
        pixels = self.batch * math.prod(math.ceil(n / self.stride) for n in self.size)
        return 2 * pixels * math.prod(self.weight_shape)

    def arrays(self, layout, dtype, rng):
        """x and weight."""
        x = random_array(rng, (self.batch, self.channels, *self.size), dtype)
        weight = random_array(rng, self.weight_shape, dtype)
        if layout == "NHWC":
            x, weight = x.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0)
        return np.ascontiguousarray(x), np.ascontiguousarray(weight)

    def __str__(self):
        kernel = "x".join(map(str, self.kernel))
        details = [
            f"{name} {value}" for name, value in self.options.items() if name != "padding" and value > 1
        ]
        size = "x".join(map(str, self.size))
        return " ".join([f"{self.batch}x{self.channels}x{size} to {self.filters}, {kernel}", *details])


def random_array(rng, shape, dtype):
    """Repeats the same numbers where it is large: drawing them would take longer than the measurement."""
    return np.resize(rng.standard_normal(min(math.prod(shape), 99_991)).astype(dtype), shape)


def log_uniform(rng, low, high):
    return round(math.exp(rng.uniform(math.log(low), math.log(high))))


def some_channels(rng):
    """Often a multiple of 8, as in most networks."""
    channels = log_uniform(rng, 1, 1024)
    return channels if channels < 8 or rng.random() < 0.3 else round(channels / 8) * 8


def random_problem(rng):
    kernels = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (7, 7), (1, 3), (1, 7), (7, 1)]
    often = [0.15, 0.03, 0.5, 0.03, 0.12, 0.08, 0.03, 0.03, 0.03]
    while True:
        channels, filters, groups = some_channels(rng), some_channels(rng), 1
        kind = rng.random()
        if kind < 0.1:  # depthwise
            groups = filters = channels
        elif kind < 0.2:
            groups = int(rng.choice([2, 4, 8, 16, 32]))
            channels, filters = groups * math.ceil(channels / groups), groups * math.ceil(filters / groups)
        height = log_uniform(rng, 4, 256)
        width = height if rng.random() < 0.7 else log_uniform(rng, 4, 256)
        problem = Problem(
            batch=log_uniform(rng, 1, 8),
            channels=channels,
            filters=filters,
            size=(height, width),
            kernel=kernels[rng.choice(len(kernels), p=often)],
            stride=int(rng.choice([1, 2], p=[0.75, 0.25])),
            dilation=int(rng.choice([1, 2, 4], p=[0.85, 0.1, 0.05])),
            groups=groups,
        )
        reach = [problem.dilation * (k - 1) // 2 for k in problem.kernel]
        if (
            LEAST_FLOPS <= problem.flops <= MOST_FLOPS
            and math.prod(problem.weight_shape) <= MOST_WEIGHTS
            and all(r < n for r, n in zip(reach, problem.size, strict=True))
        ):
            return problem


@dataclass(frozen=True)
class Setting:
    """What is measured of every problem."""

    layout: str
    dtype: str
    of: str  # "output", or the gradient of "input" or "weights"
    once: bool
    threads: int
    instruction_set: str

    def costs(self, problem):
        """The predicted cost of each algorithm."""
        conv = _conv(self.convolution(problem), self.once)
        if self.of == "weights":
            names = enumerate(_engine.gradients())
            return {name: conv.gradient_cost(k) for k, name in names if conv.gradient_accepts(k)}
        return {name: conv.cost(k) for k, name in enumerate(_KERNELS) if conv.accepts(k)}

    def chosen(self, problem):
        conv = _conv(self.convolution(problem), self.once)
        return (
            _engine.gradients()[conv.choose_gradient()] if self.of == "weights" else _KERNELS[conv.choose()]
        )

    def convolution(self, problem):
        """The problem as backends see it."""
        like = np.broadcast_to(np.zeros((), self.dtype), (problem.batch, problem.channels, *problem.size))
        weight = np.broadcast_to(np.zeros((), self.dtype), problem.weight_shape)
        if self.layout == "NHWC":
            like, weight = like.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0)
        plan = fastconv.plan_conv2d(weight, layout=self.layout, backend="cython", **problem.options)
        found = plan._problem(like.shape)
        return replace(found, transposed=True) if self.of == "input" else found

    def calls(self, problem, rng):
        """A call of each algorithm, which returns its result."""
        x, weight = problem.arrays(self.layout, self.dtype, rng)
        options = problem.options | {"layout": self.layout, "backend": "cython"}
        names = self.costs(problem)
        if self.of == "output":
            out = fastconv.conv2d(x, weight, **options)
            if self.once:
                return {
                    n: partial(fastconv.conv2d, x, weight, out=out, algorithm=n, **options) for n in names
                }
            return {n: partial(fastconv.plan_conv2d(weight, algorithm=n, **options), x, out) for n in names}
        grad = random_array(rng, self.convolution(problem).output_shape, self.dtype)
        if self.of == "input":
            needs = options | {"needs": (True, False, False)}
            of_input = partial(fastconv.grad.conv2d, x, weight, grad, **needs)
            return {n: lambda n=n: of_input(algorithm=n)[0] for n in names}
        conv, kernels, out = _conv(self.convolution(problem)), _engine.gradients(), np.empty_like(weight)

        def of_weights(name):
            conv.gradient(kernels.index(name), x, grad, out, None, self.threads)
            return out

        return {n: partial(of_weights, n) for n in names}


def measure(calls, pace, rng):
    """The median seconds of each call, in turns; roughly those of hopeless ones."""
    timer = Timer(calls, pace, random.Random(int(rng.integers(1 << 32))))
    fastest = min(timer.first.values())
    timer.only(name for name in calls if timer.first[name] <= HOPELESS * fastest)
    return timer.first | {name: float(np.median(times)) for name, times in timer.run().items()}


@dataclass(frozen=True, eq=False)
class Outcome:
    setting: Setting
    problem: Problem
    seconds: dict[str, float]

    @property
    def chosen(self):
        return self.setting.chosen(self.problem)

    @property
    def best(self):
        return min(self.seconds, key=self.seconds.get)

    @property
    def regret(self):
        return self.seconds[self.chosen] / self.seconds[self.best] - 1

    def __str__(self):
        chosen, best = (f"{name} {self.seconds[name] * 1e6:,.0f} us" for name in (self.chosen, self.best))
        return f"{self.regret:7.1%}  {self.problem}: chose {chosen}, best {best}"


def run(problem, setting, pace, rng):
    calls = setting.calls(problem, rng)
    check(problem, {name: call().copy() for name, call in calls.items()})
    return Outcome(setting, problem, measure(calls, pace, rng))


def as_line(outcome):
    return json.dumps(asdict(outcome)) + "\n"


def from_line(line):
    kept = json.loads(line)
    problem = kept["problem"] | {name: tuple(kept["problem"][name]) for name in ("size", "kernel")}
    return Outcome(Setting(**kept["setting"]), Problem(**problem), kept["seconds"])


def read(path):
    return [from_line(line) for line in path.read_text().splitlines()] if path.exists() else []


def check(problem, results):
    """A wrong result would be no competitor: all agree, far within what a wrong tap would change."""
    expected = next(iter(results.values()))
    for name, result in results.items():
        error = np.abs(result - expected).max()
        if error > 1e-3 * np.abs(expected).max():
            raise AssertionError(f"{problem}: {name} differs by {error}")


def report(outcomes):
    regrets = {outcome: outcome.regret for outcome in outcomes}
    values = list(regrets.values())
    wrong = sum(outcome.chosen != outcome.best for outcome in outcomes)
    print(f"\n{len(outcomes)} problems, {wrong} of them not with the fastest algorithm")
    percentiles = ", ".join(f"{p}th percentile {np.percentile(values, p):.1%}" for p in (90, 95))
    print(f"regret: mean {np.mean(values):.2%}, median {np.median(values):.1%}, {percentiles}, ", end="")
    print(f"worst {max(values):.1%}\n\nthe worst, with predicted cycles, where two threads share the work:")
    for outcome in sorted(outcomes, key=lambda outcome: -regrets[outcome])[:WORST]:
        print(outcome)
        for name, cost in sorted(outcome.setting.costs(outcome.problem).items(), key=lambda item: item[1]):
            print(f"{'':9}{name:16}{cost:15,.0f}   {outcome.seconds[name] * 1e6:,.0f} us")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=["NCHW", "NHWC"], default="NCHW")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0])
    parser.add_argument(
        "--of", choices=["output", "input", "weights"], default="output", help="what is computed"
    )
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    parser.add_argument(
        "--budget", type=float, default=0.5, help="seconds for the samples of a problem, about"
    )
    parser.add_argument("--seconds", type=float, default=math.inf, help="measure no further after so many")
    parser.add_argument("--save", type=Path, help="the file that times are kept in")
    parser.add_argument("--load", type=Path, nargs="+", help="files with times; nothing is measured")
    parser.set_defaults(once=False)  # of two flags for one name, the first would say what holds without them
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--prepared", dest="once", action="store_false", help="time plans (the default)")
    mode.add_argument("--once", dest="once", action="store_true", help="time calls that prepare the weights")
    arguments = parser.parse_args()
    if arguments.load:
        outcomes = [outcome for path in arguments.load for outcome in read(path)]
        if any(outcome.setting.instruction_set != INSTRUCTION_SET for outcome in outcomes):
            parser.error(
                "a file of --load was measured with another instruction set: FASTCONV_ISA selects it"
            )
        report(outcomes)
        return
    if arguments.problems < 1:
        parser.error("--problems needs to be at least 1")
    once = arguments.once or arguments.of == "input"
    setting = Setting(
        arguments.layout, arguments.dtype, arguments.of, once, arguments.threads, INSTRUCTION_SET
    )
    pace = Pace(rounds=41, least=5, block=300e-6, budget=arguments.budget)
    rng = np.random.default_rng(arguments.seed)
    problems = [random_problem(rng) for _ in range(arguments.problems)]
    outcomes = read(arguments.save) if arguments.save else []
    end = time.monotonic() + arguments.seconds
    with fastconv.num_threads(arguments.threads):
        for problem in problems[len(outcomes) :]:
            if time.monotonic() > end:
                break
            outcomes.append(run(problem, setting, pace, rng))
            print(outcomes[-1], flush=True)
            if arguments.save:
                with arguments.save.open("a") as file:
                    file.write(as_line(outcomes[-1]))
    report(outcomes)


if __name__ == "__main__":
    main()
