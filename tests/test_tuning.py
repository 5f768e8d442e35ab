"""Kernels chosen by measuring: the plans, the race, the file that remembers. No test depends on a time."""

import json
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv
from checks import normal, to_layout, weight_to_layout
from conftest import skip_unless_available
from fastconv import tuning
from fastconv.cli import main
from fastconv.machine.processor import processor_model, processor_name
from fastconv.tuning import choice, race, store

X, WEIGHT = (2, 8, 9, 10), (8, 8, 3, 3)


@pytest.fixture(autouse=True)
def file(tmp_path, monkeypatch):
    """The tuning file, of each test its own."""
    skip_unless_available("cython")
    path = tmp_path / "kernels.json"
    monkeypatch.setenv("FASTCONV_TUNING", str(path))
    return path


class Races:
    """In place of races: the last one wins, in known times; counts them."""

    def __init__(self):
        self.entrants = []

    def __call__(self, entrants, seconds):
        self.entrants.append(list(entrants))
        for make in entrants.values():
            make()()
        return {name: (20 - i) * 1e-6 for i, name in enumerate(entrants)}


@pytest.fixture
def races(monkeypatch):
    made = Races()
    monkeypatch.setattr(choice, "race", made)
    return made


def conv_plan(weight=WEIGHT, dtype=np.float32, **options):
    return fastconv.plan_conv2d(
        normal(weight, dtype=dtype), padding=1, tune=True, backend="cython", **options
    )


def predicted(shape):
    """What a plan takes that is not tuned."""
    plan = fastconv.plan_conv2d(normal(WEIGHT, dtype=np.float32), padding=1, backend="cython")
    assert "tune" not in plan.explain(shape)
    return plan.algorithm(shape)


def image(*shape, dtype=np.float32):
    return normal(shape or X, dtype=dtype)


def entries_and_plan():
    """What counts, and then a plan."""
    return tuning.entries(), conv_plan(input_shape=X)


def content(path):
    return json.loads(path.read_text())


def rewrite(path, change):
    """Change the one entry of a file."""
    parts = content(path)
    (entry,) = parts["entries"]
    change(entry)
    path.write_text(json.dumps(parts))


# Plans

PLANS = {
    "conv2d": (fastconv.plan_conv2d, (8, 4, 3, 3), {"stride": (1, 2), "padding": 1, "groups": 2}),
    "reflect": (fastconv.plan_conv2d, (8, 8, 3, 3), {"padding": 1, "padding_mode": "reflect"}),
    "depthwise": (fastconv.plan_depthwise_conv2d, (8, 1, 5, 5), {"activation": "relu"}),
    "transposed": (fastconv.plan_conv_transpose2d, (8, 5, 3, 3), {"stride": 2, "output_padding": 1}),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_tuned_plan_takes_the_kernel_that_was_measured(kind, layout, dtype, races, file):
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
    assert content(file)["entries"][0]["kernel"] == entrants[-1]


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
    assert set(entrants) <= {"direct_pixels", "direct_channels", "depthwise", "grouped"}
    assert direct.algorithm() == entrants[-1]
    plan = conv_plan(algorithm="winograd2", input_shape=X)
    assert plan.algorithm() == "winograd2"
    assert "nothing to choose" in plan.explain()
    with pytest.raises(ValueError, match="which cannot do"):
        conv_plan(algorithm="fft", stride=2, input_shape=X)
    assert len(races.entrants) == 1


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_backends_with_one_algorithm_have_nothing_to_choose(name, races, file):
    skip_unless_available(name)
    x, weight = image(), normal(WEIGHT, dtype=np.float32)
    plan = fastconv.plan_conv2d(weight, padding=1, tune=True, backend=name, input_shape=X)
    np.testing.assert_array_equal(plan(x), fastconv.plan_conv2d(weight, padding=1, backend=name)(x))
    assert plan.explain().splitlines()[-1] == "tune: not measured: there is nothing to choose"
    assert not races.entrants
    assert not file.exists()


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


def test_an_interrupted_measurement_leaves_nothing(races, file, monkeypatch):
    def stopped(entrants, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(choice, "race", stopped)
    with pytest.raises(KeyboardInterrupt):
        conv_plan(input_shape=X)
    assert not file.exists()
    monkeypatch.setattr(choice, "race", races)
    conv_plan(input_shape=X)
    assert len(tuning.entries()) == 1


def test_a_real_measurement(file):
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


# The file


@pytest.mark.parametrize(
    ("own", "folder", "shared", "expected"),
    [
        ("own.json", "folder", "shared", "own.json"),
        ("", "folder", "shared", "folder/tuning.json"),
        ("", "", "shared", "shared/fastconv/tuning.json"),
        ("", "", "", "home/.cache/fastconv/tuning.json"),
        ("~/mine", "", "", "home/mine"),
    ],
)
def test_where_the_file_is(own, folder, shared, expected, tmp_path, monkeypatch, races):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in [("TUNING", own), ("CACHE_DIR", folder)]:
        monkeypatch.setenv(f"FASTCONV_{name}", value if value[:1] in ("", "~") else str(tmp_path / value))
    monkeypatch.setenv("XDG_CACHE_HOME", shared and str(tmp_path / shared))
    conv_plan(input_shape=X)
    assert tuning.location() == tmp_path / expected
    assert (tmp_path / expected).is_file()


FOREIGN = {"processor": "another", "isa": "altivec", "version": "0.0.1"}


@pytest.mark.parametrize("field", FOREIGN)
def test_entries_of_other_machines_are_kept_but_do_not_count(field, file, races):
    conv_plan(input_shape=X)
    rewrite(file, lambda entry: entry.update({field: FOREIGN[field]}))
    with pytest.warns(RuntimeWarning, match="1 of another processor, instruction set or version") as caught:
        none, plan = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert plan.algorithm() == races.entrants[1][-1]
    assert len(tuning.entries()) == 1
    assert sorted(entry[field] for entry in content(file)["entries"]) == sorted(
        [FOREIGN[field], getattr(tuning.entries()[0], field)]
    )


def test_generations_of_one_name_are_told_apart(tmp_path):
    (tmp_path / "proc").mkdir()
    lines = [
        "vendor_id\t: A",
        "cpu family\t: 25",
        "model\t\t: 17",
        "model name\t: Some EPYC",
        "",
        "model\t: 18",
    ]
    (tmp_path / "proc/cpuinfo").write_text("\n".join(lines))
    assert processor_name(tmp_path) == "Some EPYC"
    assert processor_model(tmp_path) == "Some EPYC, family 25, model 17"
    assert processor_model(tmp_path / "nothing") == processor_name(tmp_path / "nothing") != ""


MALFORMED = {
    "a field too few": lambda entry: entry.pop("date"),
    "a field too many": lambda entry: entry.update(more=1),
    "no text": lambda entry: entry.update(problem=3),
    "an empty text": lambda entry: entry.update(processor=""),
    "a text for terminals": lambda entry: entry.update(date="\x1b[2J"),
    "a long text": lambda entry: entry.update(isa="x" * 2000),
    "no times": lambda entry: entry.update(microseconds={}),
    "times of others": lambda entry: entry.update(kernel="fftw"),
    "a kernel that is a list": lambda entry: entry.update(kernel=[]),
    "a time that is none": lambda entry: entry["microseconds"].update({entry["kernel"]: "fast"}),
    "a negative time": lambda entry: entry["microseconds"].update({entry["kernel"]: -1}),
    "an infinite time": lambda entry: entry["microseconds"].update({entry["kernel"]: 1e999}),
    "no threads": lambda entry: entry.update(threads=0),
    "half a thread": lambda entry: entry.update(threads=1.5),
    "nothing": lambda entry: entry.clear(),
}


@pytest.mark.parametrize("how", MALFORMED)
def test_malformed_entries_are_left_out(how, file, races):
    conv_plan(input_shape=X)
    rewrite(file, MALFORMED[how])
    with pytest.warns(RuntimeWarning, match="1 malformed") as caught:
        none, _ = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert len(races.entrants) == 2
    assert len(content(file)["entries"]) == len(tuning.entries()) == 1


@pytest.mark.parametrize("kernel", ["depthwise", "fft", "winograd5", "direct"])
def test_a_kernel_that_cannot_do_it_is_not_taken(kernel, file, races):
    """Also one that the precision does not allow, or that is none."""
    options = {"dilation": 2, "precision": "strict", "input_shape": X}
    conv_plan(**options)
    rewrite(file, lambda entry: entry.update(kernel=kernel, microseconds={kernel: 1.0}))
    with pytest.warns(RuntimeWarning, match=f"ignored where it says {kernel}"):
        plan = conv_plan(**options)
    assert plan.algorithm() == races.entrants[1][-1]
    assert tuning.entries()[0].kernel == plan.algorithm()


DAMAGED = {
    "text": b"not JSON",
    "cut": b'{"format": "fastconv tuning 1", "entries": [{"proc',
    "no UTF-8": b"\xff\xfe\x00",
    "zeros": bytes(100),
    "deep": b"[" * 200_000,
    "a list": b"[]",
    "another format": b'{"format": "fastconv tuning 99", "entries": []}',
    "no list": b'{"format": "fastconv tuning 1", "entries": {}}',
    "many digits": b'{"format": "fastconv tuning 1", "entries": [' + b"1" * 5000 + b"]}",
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_file_is_ignored_and_put_aside(how, file, races):
    file.write_bytes(DAMAGED[how])
    with pytest.warns(RuntimeWarning, match="is ignored: it ") as caught:
        none, _ = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert len(tuning.entries()) == 1
    assert file.with_name("kernels.json.damaged").read_bytes() == DAMAGED[how]
    with pytest.raises(ValueError, match=r"load: .* is no tuning file: it "):
        tuning.load(file.with_name("kernels.json.damaged"))


def test_a_huge_file_is_not_read(file, races):
    with open(file, "wb") as out:
        out.truncate(1 << 40)
    with pytest.warns(RuntimeWarning, match="it is larger than 64 MiB"):
        assert tuning.entries() == ()


def test_an_empty_file_has_no_entries(file, races):
    file.touch()
    conv_plan(input_shape=X)
    assert len(tuning.entries()) == 1


def test_a_read_only_file_is_used_as_it_is(file, races, monkeypatch):
    conv_plan(input_shape=X)
    file.chmod(0o444)
    before = file.read_bytes()
    assert conv_plan(input_shape=X).algorithm() == races.entrants[0][-1]
    other = (1, *X[1:])
    plan = conv_plan(input_shape=other)
    assert plan.algorithm() == predicted(other)
    assert "tune: not measured, as it could not be kept: " in plan.explain()
    assert len(races.entrants) == 1
    for change in (tuning.clear, lambda: tuning.load(file)):
        with pytest.raises(OSError, match="is read-only"):
            change()
    assert file.read_bytes() == before


@pytest.mark.parametrize("what", ["a folder", "a pipe", "within a file"])
def test_what_cannot_be_kept_is_not_measured(what, tmp_path, monkeypatch, races):
    path = tmp_path / "it"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    else:
        path.touch()
        path /= "inside"
    monkeypatch.setenv("FASTCONV_TUNING", str(path))
    before = os.stat(tmp_path / "it")
    with pytest.warns(RuntimeWarning, match="kept|ignored"):
        plan = conv_plan(input_shape=X)
    assert plan.algorithm() == predicted(X)
    assert not races.entrants
    assert os.stat(tmp_path / "it").st_ino == before.st_ino
    assert os.listdir(tmp_path) == ["it"]


def test_a_link_stays_a_link(tmp_path, file, races):
    (tmp_path / "elsewhere").mkdir()
    file.symlink_to(tmp_path / "elsewhere" / "real.json")
    conv_plan(input_shape=X)
    assert file.is_symlink()
    assert (tmp_path / "elsewhere" / "real.json").is_file()


def test_a_file_that_another_process_holds_is_waited_for(file, races, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.02)
    with store.writing(file), pytest.warns(RuntimeWarning, match="locked by another process"):
        conv_plan(input_shape=X)
    assert not races.entrants
    conv_plan(input_shape=X)
    assert len(races.entrants) == 1


ADD = """
import sys
from fastconv.tuning import choice
name = sys.argv[1]
def race(entrants, seconds):
    order = list(entrants) if int(name) % 2 else list(entrants)[::-1]
    return {kernel: (1 + i) * 1e-6 for i, kernel in enumerate(order)}
choice.race = race
import numpy as np
import fastconv
weight = np.ones((8, 8, 3, 3), np.float32)
for size in (9, *(100 * int(name) + i for i in range(9, 14))):
    plan = fastconv.plan_conv2d(weight, tune=True, input_shape=(1, 8, 9, size), backend="cython")
    if size == 9:
        print(plan.algorithm())
"""


def test_several_processes_add_to_one_file_and_agree(file):
    command = [sys.executable, "-c", ADD]
    running = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(1, 4)]
    said = [process.communicate(timeout=300)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(said)) == 1
    assert len(tuning.entries()) == 1 + 3 * 5
    assert sorted(os.listdir(file.parent)) == [file.name, f"{file.name}.lock"]


# Saving, loading, clearing


def test_save_clear_and_load(tmp_path, file, races):
    conv_plan(input_shape=X)
    conv_plan(stride=2, input_shape=X)
    known, other = tuning.entries(), tmp_path / "other.json"
    tuning.save(other)
    assert other.read_bytes() == file.read_bytes()
    tuning.clear()
    assert tuning.entries() == ()
    conv_plan(dilation=2, input_shape=X)
    assert tuning.load(str(other)) == 2
    assert len(set(tuning.entries())) == 3
    assert [entry for entry in tuning.entries() if "dilation 1x1" in entry.problem] == list(known)


def test_what_is_loaded_takes_the_place_of_what_was_known(tmp_path, file, races):
    conv_plan(input_shape=X)
    tuning.save(tmp_path / "other.json")
    first = races.entrants[0][0]
    rewrite(tmp_path / "other.json", lambda entry: entry.update(kernel=first))
    assert tuning.load(tmp_path / "other.json") == 1
    assert conv_plan(input_shape=X).algorithm() == first


def test_a_file_of_many_machines_loads_for_each(tmp_path, file, races):
    conv_plan(input_shape=X)
    other = tmp_path / "other.json"
    tuning.save(other)
    rewrite(other, lambda entry: entry.update(processor="another"))
    with pytest.warns(RuntimeWarning, match="are ignored: 1 of another processor"):
        assert tuning.load(other) == 0
    assert {entry["processor"] for entry in content(file)["entries"]} >= {"another"}
    assert len(content(file)["entries"]) == 2
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tuning.load(tmp_path / "nowhere.json")


def test_clear_forgets_a_damaged_file_too(file, races):
    file.write_text("damaged")
    with pytest.warns(RuntimeWarning, match="ignored"):
        tuning.clear()
    assert content(file)["entries"] == []


def test_without_the_compiled_backend_nothing_counts(file, races, monkeypatch):
    conv_plan(input_shape=X)

    def missing(name):
        raise fastconv.BackendUnavailableError("not built")

    monkeypatch.setattr("fastconv.backends.load", missing)
    assert tuning.entries() == ()


# The command line

LAYER = ["conv2d", "--x", "2,8,9,10", "--w", "8,8,3,3", "--padding", "1"]


def tune(*arguments):
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    return main(["tune", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "make", "options"),
    [
        (["conv2d", "--w", "16,4,3,1", "--stride", "1,2", "--groups", "2"], "plan_conv2d",
         {"stride": (1, 2), "groups": 2}),
        (["depthwise_conv2d", "--w", "8,1,5,5", "--padding", "same"], "plan_depthwise_conv2d", {"padding": "same"}),
        (
            ["conv_transpose2d", "--w", "8,5,3,3", "--stride", "2", "--output-padding", "1"],
            "plan_conv_transpose2d",
            {"stride": 2, "output_padding": 1},
        ),
    ],
)  # fmt: skip
def test_what_the_command_measures_is_what_plans_want(arguments, make, options, layout, dtype, races, capsys):
    kernel = tuple(map(int, arguments[2].split(",")))
    how = ["--layout", layout, "--dtype", dtype.name, "--precision", "strict", "--threads", 1]
    assert tune(*arguments, "--x", "2,8,9,10", *how) == 0
    shown = capsys.readouterr().out
    (entrants,) = races.entrants
    assert entrants[0] in shown
    assert entrants[-1] in shown
    assert str(tuning.location()) in shown.replace("\n", "")
    assert tuning.entries()[0].threads == 1
    weight = weight_to_layout(normal(kernel, dtype=dtype), layout)
    shape = to_layout(np.empty(X), layout).shape
    plan = getattr(fastconv, make)(
        weight, tune=True, input_shape=shape, layout=layout, precision="strict", backend="cython", **options
    )
    assert len(races.entrants) == 1
    assert plan.algorithm() == entrants[-1]


def test_networks_are_tuned_layer_by_layer(races, capsys):
    assert tune("--network", "dqn", "--batch", "1,2") == 0
    assert len(races.entrants) == len(tuning.entries()) == 6
    assert capsys.readouterr().out.count("conv3") == 2
    assert tune("--network", "dqn") == 0
    assert len(races.entrants) == 6
    assert tune("--network", "dqn", "--again") == 0
    assert len(races.entrants) == 9


def test_the_seconds_are_those_of_the_race(monkeypatch):
    given = []
    monkeypatch.setattr(
        choice, "race", lambda entrants, seconds: given.append(seconds) or dict.fromkeys(entrants, 1.0)
    )
    assert tune(*LAYER, "--seconds", "0.25") == 0
    assert tune(*LAYER, "--again") == 0
    assert given == [0.25, choice.SECONDS]


def test_entries_are_listed_exported_merged_and_cleared(races, tmp_path, capsys):
    other = tmp_path / "other.json"
    assert tune(*LAYER, "--list", "--export", other) == 0
    shown = capsys.readouterr().out
    assert "1 measured on this machine" in shown
    assert "2x8x9x10" in shown
    assert tune("--clear", "--list") == 0
    assert "0 measured on this machine" in capsys.readouterr().out
    assert tune("--merge", other) == 0
    assert "Added 1 of this machine" in capsys.readouterr().out
    assert len(tuning.entries()) == 1


def test_the_command_says_what_it_ignores(races, file, capsys):
    assert tune(*LAYER) == 0
    rewrite(file, lambda entry: entry.update(processor="another"))
    assert tune("--list") == 0
    assert capsys.readouterr().err.startswith("fastconv tune: entries of the tuning file ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs an operation"),
        (["conv2d", "--x", "1,8,9,9"], "needs --w"),
        (["--x", "1,8,9,9", "--list"], "--x needs an operation, such as `fastconv tune conv2d`"),
        ([*LAYER[:4], "8,7,3,3"], "conv2d: weight has 7 input channels"),
        ([*LAYER, "--batch", "2"], "--batch are not for it"),
        (["--merge", "nowhere.json"], "there is no file nowhere.json"),
        (["--merge", __file__], "is no tuning file: it is not JSON"),
        (["--export", "."], "is a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, words, capsys, file):
    assert tune(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastconv tune: ")
    assert words in error
    assert error.count("\n") == 1
    assert not file.exists()


def test_the_command_refuses_a_file_that_is_read_only(file, capsys):
    file.touch()
    file.chmod(0o444)
    assert tune(*LAYER) == 2
    assert f"{file} is read-only" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["max_pool2d"], ["conv2d", "--seconds", "0"], ["conv2d", "--seconds", "nan"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        tune(*arguments)
    assert exit_.value.code == 2
    assert "usage: fastconv tune" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as exit_:
        tune("--help")
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for word in [
        "--export",
        "--merge",
        "--list",
        "--clear",
        "--again",
        "--seconds",
        "FASTCONV_TUNING",
        "exit status",
    ]:
        assert word in text
