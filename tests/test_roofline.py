"""The roofline of `fastconv.limits`: peaks, bandwidths, and the time that they allow."""

import dataclasses
import math

import numpy as np
import pytest

from conftest import skip_unless_available
from fastconv import limits
from fastconv.limits import Bandwidth, Limits, Peak

MADE_UP = Limits(
    processor="example",
    version="1.2.3",
    date="2025-01-01T00:00:00+00:00",
    threads=4,
    isa="avx2",
    peaks=(
        Peak("baseline", "float32", 20.0, 60.0),
        Peak("avx2", "float32", 100.0, 350.0),
        Peak("avx2", "float64", 50.0, 170.0),
    ),
    bandwidths=(
        Bandwidth("L1", 1000, 400.0, 1600.0, 500.0, 1500.0, capacity=2000),
        Bandwidth("L2", 10_000, 200.0, 800.0, 150.0, 500.0, capacity=20_000),
        Bandwidth("memory", 10**6, 10.0, 25.0, 12.0, 24.0),
    ),
    noise=0.03,
)


@pytest.mark.parametrize(
    ("threads", "expected"), [(1, 100.0), (2, 200.0), (3, 300.0), (4, 350.0), (9, 350.0)]
)
def test_peak_of_threads(threads, expected):
    assert MADE_UP.peak("float32", threads) == expected
    assert MADE_UP.peak(np.float32, threads, isa="avx2") == expected


def test_peak_of_dtypes_and_instruction_sets():
    assert MADE_UP.peak(np.dtype("float64")) == 50.0
    assert MADE_UP.peak(threads=2, isa="baseline") == 40.0


@pytest.mark.parametrize(
    ("working_set", "threads", "expected"),
    [
        (0, 1, 500.0),  # copying is the faster one
        (2000, 1, 500.0),
        (2001, 1, 200.0),
        (4001, 2, 400.0),  # half of it for each: L2
        (4000, 2, 1000.0),
        (20_000, 1, 200.0),
        (20_001, 1, 12.0),
        (20_001, 2, 400.0),
        (80_000, 4, 800.0),
        (80_000, 100, 800.0),  # no more threads than were measured
        (80_001, 4, 25.0),
        (10**9, 2, 24.0),
    ],
)
def test_bandwidth_of_the_smallest_level_that_holds_it(working_set, threads, expected):
    assert MADE_UP.bandwidth(working_set, threads) == expected


@pytest.mark.parametrize(("threads", "working_set", "expected"), [(1, 4000, 5), (2, 4000, 10), (1, 4001, 12)])
def test_few_threads_have_the_l3_of_all(threads, working_set, expected):
    shared = Bandwidth("L3", 500, 5.0, 20.0, 5.0, 20.0, capacity=1000)
    limits = dataclasses.replace(MADE_UP, bandwidths=(shared, MADE_UP.bandwidths[-1]))
    assert limits.bandwidth(working_set, threads) == expected


def test_a_level_holds_at_least_what_was_measured():
    only = dataclasses.replace(
        MADE_UP, bandwidths=(Bandwidth("L2", 10_000, 2, 2, 1, 1), MADE_UP.bandwidths[-1])
    )
    assert only.bandwidth(10_000) == 2
    assert only.bandwidth(10_001) == 12


def test_attainable_is_the_longer_of_both():
    assert MADE_UP.attainable(1000, 100) == 10  # arithmetic
    assert MADE_UP.attainable(1000, 10**6) == 10**6 / 12  # memory
    assert MADE_UP.attainable(1000, 100, "float64", threads=4) == 1000 / 170
    assert MADE_UP.attainable(0, 0) == 0
    assert MADE_UP.ridge() == 100 / 12
    assert MADE_UP.ridge("float64", 4) == 170 / 25


@pytest.mark.parametrize(
    ("flops", "size", "threads", "expected"),
    [
        (10**6, 100, 1, "arithmetic"),
        (0, 2000, 1, "L1"),
        (0, 2001, 1, "L2"),
        (0, 4000, 2, "L1"),  # half of it for each
        (10**6, 10**6, 1, "memory"),
        (10**7, 10**6, 1, "arithmetic"),
    ],
)
def test_binding_is_the_side_that_takes_longer(flops, size, threads, expected):
    assert MADE_UP.binding(flops, size, threads=threads) == expected


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: MADE_UP.peak("float16"), ValueError, ["dtype", "float16", "float64"]),
        (lambda: MADE_UP.peak(isa="avx512"), ValueError, ["isa", "avx512", "baseline", "avx2"]),
        (
            lambda: MADE_UP.peak("float64", isa="baseline"),
            ValueError,
            ["float64", "baseline", "not measured"],
        ),
        (lambda: MADE_UP.peak(threads=0), ValueError, ["threads", "0"]),
        (lambda: MADE_UP.bandwidth(-1), ValueError, ["working_set", "-1"]),
        (lambda: MADE_UP.bandwidth(1.5), TypeError, ["working_set", "1.5"]),
        (lambda: MADE_UP.bandwidth(1, threads=0), ValueError, ["threads"]),
        (lambda: MADE_UP.attainable(-1, 1), ValueError, ["flops", "-1"]),
        (lambda: MADE_UP.attainable(1, math.inf), ValueError, ["bytes", "inf"]),
        (lambda: MADE_UP.attainable(1, "1"), TypeError, ["bytes"]),
        (lambda: MADE_UP.binding(-1, 1), ValueError, ["binding", "flops", "-1"]),
        (lambda: limits.measure_limits(threads=0), ValueError, ["threads", "0"]),
        (lambda: limits.measure_limits(threads=2.0), TypeError, ["threads", "2.0"]),
    ],
)
def test_mistakes_are_named(call, error, words):
    skip_unless_available("cython")
    with pytest.raises(error) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value
