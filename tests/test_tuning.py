"""Kernels chosen by measuring: the plans and the race. No test depends on a time."""

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from checks import normal, to_layout, weight_to_layout
from conftest import skip_unless_available
from fastconv import tuning
from fastconv.tuning import choice, race
from tuned import X, content, conv_plan, image, predicted

pytestmark = pytest.mark.usefixtures("tuning_file")


PLANS = {
    "conv2d": (fastconv.plan_conv2d, (8, 4, 3, 3), {"stride": (1, 2), "padding": 1, "groups": 2}),
    "reflect": (fastconv.plan_conv2d, (8, 8, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    "depthwise": (fastconv.plan_depthwise_conv2d, (8, 1, 5, 5), {"activation": "relu"}),
    "transposed": (fastconv.plan_conv_transpose2d, (8, 5, 3, 3), {"stride": 2, "output_padding": 1}),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_tuned_plan_takes_the_kernel_that_was_measured(kind, layout, dtype, races, tuning_file):
    make, shape, options = PLANS[kind]
    weight, x = (
        weight_to_layout(normal(shape, dtype=dtype), layout),
        to_layout(normal(X, dtype=dtype), layout),
    )
    options = {**options, "layout": layout, "backend": "cython"}
    plan = make(weight, tune=True, input_shape=x.shape, **options)
    (entrants,) = races.entrants
    assert 2 <= len(entrants) <= choice.MOST_CANDIDATES
    assert entrants[0] == make(weight, **options).algorithm(x.shape)
    assert plan.algorithm(x.shape) == plan.algorithm() == entrants[-1]
    told = plan.explain().splitlines()
    assert f"chosen kernel: {entrants[-1]}," in told[1]
    assert told[-1].startswith("tune: measured ")
    assert f"{entrants[0]} 20 us" in told[-1]
    expected = make(weight, algorithm=entrants[-1], **options)(x)
    for _ in range(3):  # the third time by a shortcut
        np.testing.assert_array_equal(plan(x), expected, strict=True)
    assert len(races.entrants) == 1
    (entry,) = tuning.entries()
    assert (entry.kernel, list(entry.microseconds)) == (entrants[-1], entrants)
    assert content(tuning_file)["entries"][0]["kernel"] == entrants[-1]


def test_what_is_known_is_not_measured_again(races, monkeypatch):
    x = image()
    first = conv_plan()
    expected = first(x)
    monkeypatch.setattr(choice, "race", None)  # cannot be called
    for plan in (first, conv_plan(), conv_plan(input_shape=X), pickle.loads(pickle.dumps(first))):
        np.testing.assert_array_equal(plan(x), expected)
        assert plan.algorithm(X) == races.entrants[0][-1]
    # Plans that are not tuned do not look at the file.
    assert predicted(X) == races.entrants[0][0]


def test_whatever_a_kernel_depends_on_is_measured_for_itself(races):
    plan = conv_plan()
    plan(image())
    plan(image(1, *X[1:]))
    plan(image(*X[:3], 11))
    plan(image(dtype=np.float64))
    with fastconv.use_precision("strict"):
        plan(image())
    conv_plan((8, 4, 3, 3), groups=2)(image())
    conv_plan((9, 8, 3, 3))(image())
    conv_plan(stride=2)(image())
    conv_plan(dilation=2)(image())
    conv_plan(algorithm="direct")(image())
    conv_plan((3, 3, 8, 8), layout="NHWC")(to_layout(image(), "NHWC"))
    assert len(races.entrants) == len(tuning.entries()) == 11
    # Threads, bias and what follows are no reasons.
    with fastconv.num_threads(1):
        conv_plan(bias=np.ones(8), activation="relu")(image(), residual=image())
    conv_plan()(image()[0:1])
    conv_plan()(image()[0])
    assert len(races.entrants) == 11


def test_a_given_algorithm_leaves_less_to_choose(races):
    direct = conv_plan(algorithm="direct", input_shape=X)
    (entrants,) = races.entrants
    assert set(entrants) <= {"direct_pixels", "direct_channels", "im2col", "depthwise", "grouped"}
    assert direct.algorithm() == entrants[-1]
    plan = conv_plan(algorithm="winograd2", input_shape=X)
    assert plan.algorithm() == "winograd2"
    assert "nothing to choose" in plan.explain()
    with pytest.raises(ValueError, match="which cannot do"):
        conv_plan(algorithm="fft", stride=2, input_shape=X)
    assert len(races.entrants) == 1


@pytest.mark.parametrize("name", ["numba", "numpy"])
@pytest.mark.parametrize("kind", PLANS)
def test_backends_with_one_algorithm_cannot_be_tuned(name, kind, races, tuning_file):
    skip_unless_available(name)
    make, shape, options = PLANS[kind]
    words = f"{make.__name__}: tune is True, but the {name} backend has one algorithm"
    with pytest.raises(ValueError, match=words):
        make(normal(shape), tune=True, backend=name, **options)
    with fastconv.use_backend(name), pytest.raises(ValueError, match=words):
        make(normal(shape), tune=True, **options)
    make(normal(shape), tune=False, backend=name, **options)
    assert not races.entrants
    assert not tuning_file.exists()


def test_errors_come_before_anything_is_measured(races):
    plan = conv_plan()
    for wrong in ({"out": np.empty(3)}, {"residual": np.ones(3)}):
        with pytest.raises(ValueError, match="plan_conv2d: "):
            plan(image(), **wrong)
    with pytest.raises(ValueError, match="channels"):
        plan(image(2, 7, 9, 10))
    assert plan(image(0, *X[1:])).shape == (0, *X[1:])
    assert not races.entrants


def test_threads_share_a_tuned_plan(races):
    plan, x = conv_plan(), image()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(plan, [x] * 8))
    for result in results:
        np.testing.assert_array_equal(result, results[0])
    assert len(races.entrants) == 1


def test_an_interrupted_measurement_leaves_nothing(races, tuning_file, monkeypatch):
    def stopped(entrants, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(choice, "race", stopped)
    with pytest.raises(KeyboardInterrupt):
        conv_plan(input_shape=X)
    assert not tuning_file.exists()
    monkeypatch.setattr(choice, "race", races)
    conv_plan(input_shape=X)
    assert len(tuning.entries()) == 1


def test_a_real_measurement(tuning_file):
    plan = conv_plan(input_shape=X)
    (entry,) = tuning.entries()
    assert plan.algorithm() == entry.kernel == min(entry.microseconds, key=entry.microseconds.get)
    assert all(0.01 < value < 1e7 for value in entry.microseconds.values())


# The race


class Track:
    """Calls that take made-up times, by a clock of their own."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def entrant(self, name, *seconds):
        """The last of `seconds` is that of all calls that follow."""
        left = list(seconds)

        def call():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        def make():
            self.log.append(f"make {name}")
            return call

        return make


@pytest.fixture
def track(monkeypatch):
    return Track(monkeypatch)


def test_a_race_gives_medians_of_samples_in_turns(track):
    times = race.race({"a": track.entrant("a", 9, 0.03), "b": track.entrant("b", 5, 0.02, 1, 0.021)}, 100)
    assert times == pytest.approx({"a": 0.03, "b": 0.021})
    assert track.log[:8] == ["make a", "a", "make b", "b", "a", "b", "b", "a"]


def test_a_race_ends_when_its_time_is_over(track):
    makers = {name: track.entrant(name, 0.2, 0.01) for name in "abcd"}
    assert race.race(makers, 0.35) == pytest.approx({"a": 0.2, "b": 0.2})
    assert track.now == pytest.approx(0.4)
    makers = {name: track.entrant(name, 7.0) for name in "ab"}
    assert race.race(makers, 0.5) == {"a": 7.0}
    makers = {name: track.entrant(name, 0.01) for name in "ab"}
    assert set(race.race(makers, 0.1)) == {"a", "b"}


def test_who_is_far_behind_is_out(track):
    race.race(
        {"slow": track.entrant("slow", 0.05), "a": track.entrant("a", 0.02), "b": track.entrant("b", 0.021)},
        1e3,
    )
    assert track.log.count("slow") == 1 + race.LEAST
    assert track.log.count("a") == track.log.count("b") == 1 + race.ROUNDS
    track.log.clear()
    # One bad sample is no reason.
    race.race({"a": track.entrant("a", 0.02), "b": track.entrant("b", 0.02, 0.9, 0.02)}, 1e3)
    assert track.log.count("b") == 1 + race.ROUNDS


def test_short_calls_are_timed_together(track):
    race.race({"a": track.entrant("a", 1e-4, 1e-5), "b": track.entrant("b", 1e-4, 1e-5)}, 1.0)
    assert track.log[-30:] in (["a"] * 30, ["b"] * 30)
