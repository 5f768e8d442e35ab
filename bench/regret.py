"""How often, and how badly, the cython backend chooses an algorithm that is not the fastest.

    python bench/regret.py
    python bench/regret.py --problems 50 --seed 3 --layout NHWC --threads 1 --once

Random convolutions of realistic sizes, of at most 1.5 GFLOP each. For every one, each algorithm that can do it within
the precision is timed, in turns and in random order, with `out=`; the regret is the median time of the one that would
have been chosen over that of the fastest, less 1. `--prepared` (the default) times plans, `--once` whole calls, which
prepare the weights each time. Data and weights are warm, as far as they fit the caches. 200 problems take a few
minutes.

Two algorithms that are equally fast give a regret of a few percent by noise alone: the machine should do nothing else.
"""

import argparse
import math
import random
from dataclasses import dataclass
from functools import partial

import numpy as np

import fastconv
from fastconv.bench.measure.timer import Pace, Timer

MOST_FLOPS, LEAST_FLOPS = 1.5e9, 1e5
MOST_WEIGHTS = 1 << 24
PACE = Pace(rounds=41, least=5, block=300e-6, budget=0.5)
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

    def arrays(self, layout, rng):
        """x and weight."""
        x = rng.standard_normal((self.batch, self.channels, *self.size), np.float32)
        weight = rng.standard_normal(self.weight_shape, np.float32)
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


def choice_of(plan, shape, once):
    """The chosen algorithm, and the predicted cost of each."""
    from fastconv.backends.cython import _KERNELS, _choose

    conv, chosen = _choose(plan._problem(shape), once)
    costs = {name: conv.cost(kernel) for kernel, name in enumerate(_KERNELS) if conv.accepts(kernel)}
    return _KERNELS[chosen], costs


def measure(calls, keep, rng):
    """The median seconds of each call, in turns."""
    timer = Timer(calls, PACE, random.Random(int(rng.integers(1 << 32))))
    fastest = min(timer.first.values())
    timer.only(name for name in calls if name == keep or timer.first[name] <= HOPELESS * fastest)
    return {name: float(np.median(times)) for name, times in timer.run().items()}


@dataclass(frozen=True)
class Outcome:
    problem: Problem
    chosen: str
    costs: dict[str, float]
    seconds: dict[str, float]

    @property
    def best(self):
        return min(self.seconds, key=self.seconds.get)

    @property
    def regret(self):
        return self.seconds[self.chosen] / self.seconds[self.best] - 1

    def __str__(self):
        chosen, best = (f"{name} {self.seconds[name] * 1e6:,.0f} us" for name in (self.chosen, self.best))
        return f"{self.regret:7.1%}  {self.problem}: chose {chosen}, best {best}"


def run(problem, layout, once, rng):
    x, weight = problem.arrays(layout, rng)
    options = problem.options | {"layout": layout, "backend": "cython"}
    plan = fastconv.plan_conv2d(weight, input_shape=x.shape, **options)
    chosen, costs = choice_of(plan, x.shape, once)
    out = plan(x)
    calls = {}
    for name in costs:
        if once:
            calls[name] = partial(fastconv.conv2d, x, weight, out=out, algorithm=name, **options)
        else:
            calls[name] = partial(fastconv.plan_conv2d(weight, algorithm=name, **options), x, out)
    check(problem, {name: call().copy() for name, call in calls.items()})
    return Outcome(problem, chosen, costs, measure(calls, chosen, rng))


def check(problem, results):
    """A wrong result would be no competitor: all agree, far within what a wrong tap would change."""
    expected = next(iter(results.values()))
    for name, result in results.items():
        error = np.abs(result - expected).max()
        if error > 1e-3 * np.abs(expected).max():
            raise AssertionError(f"{problem}: {name} differs by {error}")


def report(outcomes):
    regrets = [outcome.regret for outcome in outcomes]
    wrong = sum(outcome.chosen != outcome.best for outcome in outcomes)
    print(f"\n{len(outcomes)} problems, {wrong} of them not with the fastest algorithm")
    print(
        f"regret: median {np.median(regrets):.1%}, 90th percentile {np.percentile(regrets, 90):.1%}, ", end=""
    )
    print(f"worst {max(regrets):.1%}\n\nthe worst, with predicted cycles, where two threads share the work:")
    for outcome in sorted(outcomes, key=lambda outcome: -outcome.regret)[:WORST]:
        print(outcome)
        for name, cost in sorted(outcome.costs.items(), key=lambda item: item[1]):
            seconds = outcome.seconds.get(name)
            measured = "far slower" if seconds is None else f"{seconds * 1e6:,.0f} us"
            print(f"{'':9}{name:16}{cost:15,.0f}   {measured}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=["NCHW", "NHWC"], default="NCHW")
    parser.add_argument("--threads", type=int, default=fastconv.get_num_threads())
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--prepared", dest="once", action="store_false", help="time plans (the default)")
    mode.add_argument("--once", dest="once", action="store_true", help="time calls that prepare the weights")
    arguments = parser.parse_args()
    if arguments.problems < 1:
        parser.error("--problems needs to be at least 1")
    rng = np.random.default_rng(arguments.seed)
    problems = [random_problem(rng) for _ in range(arguments.problems)]
    outcomes = []
    with fastconv.num_threads(arguments.threads):
        for problem in problems:
            outcomes.append(run(problem, arguments.layout, arguments.once, rng))
            print(outcomes[-1], flush=True)
    report(outcomes)


if __name__ == "__main__":
    main()
