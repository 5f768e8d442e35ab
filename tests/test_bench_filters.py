"""`fastconv bench --filters`: every library's call is of the same filter, and the command shows what it took."""

import json

import numpy as np
import pytest

from fastconv import cli
from fastconv.bench.commands import filters as command
from fastconv.bench.runners import filters

pytestmark = pytest.mark.one_instruction_set

# What lies beyond the picture, or what it is divided by, is another thing there.
ELSEWHERE = {(library, kind) for library in ("opencv", "skimage") for kind in ("median", "maximum")}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(filters.SIZES, "1 MP", (60, 67))
    monkeypatch.setitem(filters.SIZES, "20 MP", (40, 41))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("colour", ["grey", "RGB"])
def test_libraries_do_the_same(small, dtype, colour):
    found, _ = filters.libraries(1)
    picture = filters.Picture("1 MP", dtype, colour)
    x = picture.pixels()
    names = [name for name in filters.filter_names(picture) if not name.startswith("large")]
    assert names
    for name in names:
        calls = filters.calls_of(name, x, found, 1)
        ours = np.asarray(calls.pop("fastconv")(), np.float64)
        for library, call in calls.items():
            theirs = np.asarray(call(), np.float64)
            kind = name.partition(" ")[0]
            inner = (slice(8, -8),) * 2 if (library, kind) in ELSEWHERE else ...
            # Bytes are rounded by some and cut off by others, and between the passes as well.
            near = 3.0 if dtype == "uint8" and kind in ("gaussian", "kernel", "mean") else 1e-3
            if (library, kind) == ("astropy", "kernel"):
                continue  # a true convolution
            np.testing.assert_allclose(ours[inner], theirs[inner], atol=near, err_msg=f"{name}: {library}")


def test_the_command(small, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_PACE", command.Pace(rounds=1, least=1, block=0.0))
    path = tmp_path / "filters.json"
    assert cli.main(["bench", "--filters", "20 MP", "--threads", "1", "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "20 MP, uint8, RGB" in shown
    assert "1 MP, uint8" not in shown
    told = json.loads(path.read_text())
    named = {row["name"] for row in told["rows"]}
    assert {"gaussian", "NaN 11x11", "template 31x31", "median 15x15"} <= named
    assert all(seconds > 0 for row in told["rows"] for seconds in row["seconds"].values())
    assert (
        cli.main(["bench", "conv2d", "--filters", "1 MP"]) == 1 or "no operation" in capsys.readouterr().err
    )


def test_how_far_it_is_is_told(small, capsys, monkeypatch):
    """A line for each step where nobody looks at a terminal, and the libraries that are asked for."""
    monkeypatch.setattr(command, "_PACE", command.Pace(rounds=1, least=1, block=0.0))
    assert cli.main(["bench", "--filters", "20 MP", "--threads", "1", "--peers", "skimage,scipy"]) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    count = len(lines)
    assert lines[0] == f"1 of {count}: gaussian, uint8 grey, 20 MP"
    assert lines[-1].startswith(f"{count} of {count}: ")
    assert "opencv" not in out  # nor as one that is missing


def test_a_bar_on_a_terminal(small, capsys, monkeypatch):
    monkeypatch.setattr(command, "_PACE", command.Pace(rounds=1, least=1, block=0.0))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")  # where it is dumb there is no bar
    assert cli.main(["bench", "--filters", "20 MP", "--threads", "1", "--peers", "none"]) == 0
    assert "template 31x31, float32 grey, 20 MP" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "name"), [(["--filters"], "pytorch"), (["--network", "tiny"], "astropy")]
)
def test_libraries_that_cannot_do_this(capsys, arguments, name):
    assert cli.main(["bench", *arguments, "--peers", name]) != 0
    assert f"--peers has {name}" in capsys.readouterr().err


def test_an_unknown_library_is_told_all_names(capsys):
    with pytest.raises(SystemExit):
        cli.main(["bench", "--filters", "--peers", "scikit"])
    said = capsys.readouterr().err
    assert all(name in said for name in ("skimage", "astropy", "opencv", "pytorch"))
