"""The stopwatch of the benchmarks, with a clock of its own."""

import random
from pathlib import Path

import numpy as np
import pytest

from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure import neighbours, timer
from fastconv.bench.measure.timer import Pace, Timer


class Clock:
    """Time passes only in calls and pauses."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(timer.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timer.time, "sleep", self.pause)

    def pause(self, seconds):
        self.now += seconds
        self.log.append("pause")

    def call(self, name, seconds):
        def run():
            self.now += seconds() if callable(seconds) else seconds
            self.log.append(name)

        return run


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_sample_is_the_mean_of_as_many_calls_as_fill_a_block(clock):
    calls = {"quick": clock.call("quick", 0.001), "slow": clock.call("slow", 0.02)}
    seconds = timer.side_by_side(calls, Settings(rounds=3, block=0.01, idle=0.5))
    assert seconds["quick"] == pytest.approx([0.001] * 3)
    assert seconds["slow"] == pytest.approx([0.02] * 3)
    assert clock.log.count("quick") == 2 + 3 * 2 * 10  # first calls; then warm-up and sample, each round
    assert clock.log.count("slow") == 2 + 3 * 2
    assert clock.log.count("pause") == 6


def test_runners_take_turns_and_change_their_order(clock):
    calls = {name: clock.call(name, 0.02) for name in "abc"}
    timer.side_by_side(calls, Settings(rounds=3, block=0.01, idle=0.1))
    turns = [name for name in clock.log[6:] if name != "pause"]
    assert turns[::2] == turns[1::2] == list("abccbaabc")  # each warms up, and is timed


def test_calls_of_seconds_have_two_samples(clock):
    calls = {
        name: clock.call(name, seconds) for name, seconds in (("long", 9), ("slow", 0.4), ("quick", 0.1))
    }
    seconds = timer.side_by_side(calls, Settings(rounds=5))
    assert seconds["long"] == (9, 9)
    assert clock.log.count("long") == 2
    assert len(seconds["slow"]) == 4
    assert len(seconds["quick"]) == 5


def test_progress_is_told_of_every_round_outside_of_the_samples(clock):
    told = []

    def progress():
        told.append(len(clock.log))
        clock.now += 100

    seconds = timer.side_by_side({"a": clock.call("a", 0.02)}, Settings(rounds=4, block=0.01), progress)
    assert len(told) == 4
    assert seconds["a"] == pytest.approx([0.02] * 4)


def test_spread_keeps_a_disturbed_round_apart(clock):
    times = iter([0.02] * 5 + [0.08] + [0.02] * 10)
    seconds = timer.side_by_side({"a": clock.call("a", lambda: next(times))}, Settings(rounds=5, block=0.01))
    assert np.median(seconds["a"]) == pytest.approx(0.02)
    assert max(seconds["a"]) == pytest.approx(0.08)


def test_single_calls_until_they_have_taken_enough(clock):
    """As the demo does: no rests, no warm-up, a few calls of what is slow."""
    calls = {"quick": clock.call("quick", 0.01), "slow": clock.call("slow", 0.4)}
    seconds = Timer(calls, Pace(rounds=7, least=1, enough=1.0)).run()
    assert seconds == {"quick": (pytest.approx(0.01),) * 7, "slow": (pytest.approx(0.4),) * 3}
    assert clock.log.count("quick") == 7
    assert "pause" not in clock.log


def test_a_budget_ends_the_rounds_of_all(clock):
    """As `regret.py` does, which also leaves out what is hopeless."""
    calls = {name: clock.call(name, seconds) for name, seconds in (("a", 0.01), ("b", 0.02), ("c", 0.4))}
    timer_ = Timer(calls, Pace(rounds=40, least=5, block=0.001, budget=0.29), random.Random(1))
    timer_.only(name for name in calls if timer_.first[name] < 0.1)
    seconds = timer_.run()
    assert {name: len(samples) for name, samples in seconds.items()} == {"a": 10, "b": 10}
    turns = [name for name in clock.log if name in "ab"][4:]
    assert {tuple(turns[i : i + 2]) for i in range(0, len(turns), 2)} == {("a", "b"), ("b", "a")}


@pytest.mark.parametrize(
    ("seconds", "rounds", "repeats"), [(0.01, 40, 1), (1e-4, 100, 10), (0.3, 3, 1), (0.6, 1, 1)]
)
def test_rounds_can_be_told_before(clock, seconds, rounds, repeats):
    """As the suite does, whose harness is pytest-benchmark."""
    found = Timer({"": clock.call("", seconds)}, Pace(rounds=100, least=3, block=1e-3, enough=0.4))
    assert (found.rounds(""), found.repeats[""]) == (rounds, repeats)


def test_neighbours(monkeypatch):
    """Two seconds on the clock; 3 busy, 1 of them this process's: others use one core."""
    now = iter([(10.0, 5.0, 100.0), (12.0, 6.0, 103.0)])
    monkeypatch.setattr(neighbours.Neighbours, "_now", lambda self: next(now))
    assert neighbours.Neighbours().cores() == pytest.approx(1.0)


def test_busy_seconds_are_read_where_the_system_tells_them():
    before = neighbours._busy()
    assert before > 0 or not Path("/proc/stat").exists()
    assert neighbours._busy() >= before
