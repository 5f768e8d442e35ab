"""The file that remembers tuned kernels: whoever wrote it, and however many write it."""

import os
import subprocess
import sys

import pytest

import fastconv
from fastconv import tuning
from fastconv.machine.processor import processor_model, processor_name
from fastconv.tuning import store
from tuned import X, content, conv_plan, entries_and_plan, predicted, rewrite

pytestmark = pytest.mark.usefixtures("tuning_file")


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
def test_entries_of_other_machines_are_kept_but_do_not_count(field, tuning_file, races):
    conv_plan(input_shape=X)
    rewrite(tuning_file, lambda entry: entry.update({field: FOREIGN[field]}))
    with pytest.warns(RuntimeWarning, match="1 of another processor, instruction set or version") as caught:
        none, plan = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert plan.algorithm() == races.entrants[1][-1]
    assert len(tuning.entries()) == 1
    assert sorted(entry[field] for entry in content(tuning_file)["entries"]) == sorted(
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
def test_malformed_entries_are_left_out(how, tuning_file, races):
    conv_plan(input_shape=X)
    rewrite(tuning_file, MALFORMED[how])
    with pytest.warns(RuntimeWarning, match="1 malformed") as caught:
        none, _ = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert len(races.entrants) == 2
    assert len(content(tuning_file)["entries"]) == len(tuning.entries()) == 1


@pytest.mark.parametrize("kernel", ["depthwise", "fft", "winograd5", "direct"])
def test_a_kernel_that_cannot_do_it_is_not_taken(kernel, tuning_file, races):
    """Also one that the precision does not allow, or that is none."""
    options = {"dilation": 2, "precision": "strict", "input_shape": X}
    conv_plan(**options)
    rewrite(tuning_file, lambda entry: entry.update(kernel=kernel, microseconds={kernel: 1.0}))
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
def test_a_damaged_file_is_ignored_and_put_aside(how, tuning_file, races):
    tuning_file.write_bytes(DAMAGED[how])
    with pytest.warns(RuntimeWarning, match="is ignored: it ") as caught:
        none, _ = entries_and_plan()
    assert len(caught) == 1
    assert none == ()
    assert len(tuning.entries()) == 1
    assert tuning_file.with_name("kernels.json.damaged").read_bytes() == DAMAGED[how]
    with pytest.raises(ValueError, match=r"load: .* is no tuning file: it "):
        tuning.load(tuning_file.with_name("kernels.json.damaged"))


def test_a_huge_file_is_not_read(tuning_file, races):
    with open(tuning_file, "wb") as out:
        out.truncate(1 << 40)
    with pytest.warns(RuntimeWarning, match="it is larger than 64 MiB"):
        assert tuning.entries() == ()


def test_an_empty_file_has_no_entries(tuning_file, races):
    tuning_file.touch()
    conv_plan(input_shape=X)
    assert len(tuning.entries()) == 1


def test_a_read_only_file_is_used_as_it_is(tuning_file, races, monkeypatch):
    conv_plan(input_shape=X)
    tuning_file.chmod(0o444)
    before = tuning_file.read_bytes()
    assert conv_plan(input_shape=X).algorithm() == races.entrants[0][-1]
    other = (1, *X[1:])
    plan = conv_plan(input_shape=other)
    assert plan.algorithm() == predicted(other)
    assert "tune: not measured, as it could not be kept: " in plan.explain()
    assert len(races.entrants) == 1
    for change in (tuning.clear, lambda: tuning.load(tuning_file)):
        with pytest.raises(OSError, match="is read-only"):
            change()
    assert tuning_file.read_bytes() == before


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


def test_a_link_stays_a_link(tmp_path, tuning_file, races):
    (tmp_path / "elsewhere").mkdir()
    tuning_file.symlink_to(tmp_path / "elsewhere" / "real.json")
    conv_plan(input_shape=X)
    assert tuning_file.is_symlink()
    assert (tmp_path / "elsewhere" / "real.json").is_file()


def test_a_file_that_another_process_holds_is_waited_for(tuning_file, races, monkeypatch):
    monkeypatch.setattr(store, "PATIENCE", 0.02)
    with store.writing(tuning_file), pytest.warns(RuntimeWarning, match="locked by another process"):
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


def test_several_processes_add_to_one_file_and_agree(tuning_file):
    command = [sys.executable, "-c", ADD]
    running = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(1, 4)]
    said = [process.communicate(timeout=300)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(set(said)) == 1
    assert len(tuning.entries()) == 1 + 3 * 5
    assert sorted(os.listdir(tuning_file.parent)) == [tuning_file.name, f"{tuning_file.name}.lock"]


# Saving, loading, clearing


def test_save_clear_and_load(tmp_path, tuning_file, races):
    conv_plan(input_shape=X)
    conv_plan(stride=2, input_shape=X)
    known, other = tuning.entries(), tmp_path / "other.json"
    tuning.save(other)
    assert other.read_bytes() == tuning_file.read_bytes()
    tuning.clear()
    assert tuning.entries() == ()
    conv_plan(dilation=2, input_shape=X)
    assert tuning.load(str(other)) == 2
    assert len(set(tuning.entries())) == 3
    assert [entry for entry in tuning.entries() if "dilation 1x1" in entry.problem] == list(known)


def test_what_is_loaded_takes_the_place_of_what_was_known(tmp_path, tuning_file, races):
    conv_plan(input_shape=X)
    tuning.save(tmp_path / "other.json")
    first = races.entrants[0][0]
    rewrite(tmp_path / "other.json", lambda entry: entry.update(kernel=first))
    assert tuning.load(tmp_path / "other.json") == 1
    assert conv_plan(input_shape=X).algorithm() == first


def test_a_file_of_many_machines_loads_for_each(tmp_path, tuning_file, races):
    conv_plan(input_shape=X)
    other = tmp_path / "other.json"
    tuning.save(other)
    rewrite(other, lambda entry: entry.update(processor="another"))
    with pytest.warns(RuntimeWarning, match="are ignored: 1 of another processor"):
        assert tuning.load(other) == 0
    assert {entry["processor"] for entry in content(tuning_file)["entries"]} >= {"another"}
    assert len(content(tuning_file)["entries"]) == 2
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tuning.load(tmp_path / "nowhere.json")


def test_clear_forgets_a_damaged_file_too(tuning_file, races):
    tuning_file.write_text("damaged")
    with pytest.warns(RuntimeWarning, match="ignored"):
        tuning.clear()
    assert content(tuning_file)["entries"] == []


def test_without_the_compiled_backend_nothing_counts(tuning_file, races, monkeypatch):
    conv_plan(input_shape=X)

    def missing(name):
        raise fastconv.BackendUnavailableError("not built")

    monkeypatch.setattr("fastconv.backends.load", missing)
    assert tuning.entries() == ()
