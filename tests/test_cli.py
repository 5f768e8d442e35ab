"""The command line as its users meet it: ``fastconv demo``, ``fastconv info``, ``--help``, ``--version``."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv
from checks import run_module as run
from fastconv import backends
from fastconv.cli import main

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytest.importorskip("skimage")

demo_sheet = pytest.importorskip("fastconv.demo.sheet")

OTHERS = [name for name in fastconv.available_backends() if name != "numpy"]
OPERATIONS = ["Gaussian blur", "sharpen", "Sobel x", "Sobel y", "Laplacian", "emboss", "RGB to 6 filters"]
OPERATIONS += ["dilation 4", "stride 4", "max pool", "average pool", "adaptive average", "adaptive max"]
OPERATIONS += ["transposed conv"]


def photograph(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A picture with smooth parts, edges and noise."""
    y, x = np.mgrid[:height, :width]
    planes = [128 + 80 * np.sin((x + 2 * y) / (5 + 3 * c)) + 40 * (x > width / 2) for c in range(channels)]
    noise = np.random.default_rng(0).normal(0, 4, (height, width, channels))
    return np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)


def assert_sheet(path: Path) -> None:
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        sheet.load()
        assert 800 < sheet.width < 4000
        assert 400 < sheet.height < 4000
        assert np.asarray(sheet.convert("RGB")).std() > 5


# The demo


@pytest.mark.parametrize("photo", [(200, 200), (120, 300), (300, 120)], ids=str)
def test_rows_of_the_contact_sheet_align(photo):
    """Pictures of another shape than the photograph's begin, with their titles, at the height of their neighbours."""
    shapes = [photo, photo, (60, 180), (180, 60), photo, (90, 90), photo]
    pictures = [
        demo_sheet.SheetPicture(f"{i}", (1, 3, *shape), photograph(*shape)) for i, shape in enumerate(shapes)
    ]
    figure = demo_sheet.contact_sheet(pictures, "some title")
    figure.draw_without_rendering()
    axes = figure.axes[: len(shapes)]
    for row in (axes[:5], axes[5:]):
        assert np.ptp([axis.get_position().y1 for axis in row]) < 1e-6
        assert np.ptp([axis.title.get_window_extent().y0 for axis in row]) < 0.5  # pixels


@pytest.mark.slow
def test_demo_on_the_default_photograph(tmp_path):
    result = run("demo", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "astronaut" in result.stdout
    assert "512 x 512" in result.stdout
    for column in ["operation", "shape in", "shape out", "ms", "largest", *fastconv.available_backends()]:
        assert column in result.stdout
    for operation in OPERATIONS:
        assert operation in result.stdout
    for shape in ["3x512x512", "6x512x512", "3x128x128", "3x64x64", "3x32x32"]:
        assert shape in result.stdout
    if OTHERS:
        assert "operations agree" in result.stdout
    sheet = tmp_path / "fastconv-demo.png"
    assert str(sheet.resolve()) in result.stdout
    assert_sheet(sheet)


def odd_pictures(folder: Path) -> dict[str, Path]:
    """Write one small file per kind of picture."""
    rgb = photograph(40, 60)
    grey = Image.fromarray(rgb[:, :, 0])
    rgba = np.dstack([rgb, np.linspace(0, 255, 60).astype(np.uint8)[None].repeat(40, 0)])
    pictures = {
        "grey.png": grey,
        "grey-alpha.png": Image.fromarray(rgba).convert("LA"),
        "bilevel.png": grey.convert("1"),
        "rgba.png": Image.fromarray(rgba),
        "palette.png": Image.fromarray(rgb).convert("P"),
        "sixteen.png": Image.fromarray(rgb[:, :, 0].astype(np.uint16) * 257),
        "cmyk.jpg": Image.fromarray(rgb).convert("CMYK"),
        "one.png": Image.fromarray(rgb[:1, :1]),
        "row.png": Image.fromarray(rgb[:1]),
        "tall.png": Image.fromarray(photograph(700, 3)),
        "wide.jpg": Image.fromarray(photograph(5, 640)),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    return {name: folder / name for name in pictures}


KINDS = ["grey-alpha.png", "palette.png", "sixteen.png", "one.png", "wide.jpg"]
MORE = ["grey.png", "bilevel.png", "rgba.png", "cmyk.jpg", "row.png", "tall.png"]


@pytest.mark.parametrize("kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in MORE)])
def test_demo_on_odd_pictures(kind, tmp_path, capsys):
    picture = odd_pictures(tmp_path)[kind]
    sheet = tmp_path / "sheet of pictures.png"
    assert main(["demo", str(picture), "--output", str(sheet)]) == 0
    output = capsys.readouterr().out
    assert kind in output
    assert str(sheet) in output
    assert_sheet(sheet)


def test_demo_in_a_process_of_its_own_on_a_grey_picture(tmp_path):
    picture = odd_pictures(tmp_path)["grey.png"]
    result = run("demo", picture, "-o", "sheet.png", "--backends", "numpy", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3x40x60" in result.stdout
    assert "only numpy ran" in result.stdout
    assert_sheet(tmp_path / "sheet.png")


def test_pictures_mean_the_same_in_every_file_format(tmp_path):
    from fastconv.demo.photo import load_photo

    pictures = odd_pictures(tmp_path)
    expected = photograph(40, 60)[:, :, 0] / np.float32(255)
    for kind in ["grey.png", "sixteen.png"]:
        pixels = load_photo(pictures[kind]).pixels
        assert pixels.shape == (1, 3, 40, 60)
        assert pixels.dtype == np.float32
        for channel in range(3):
            np.testing.assert_allclose(pixels[0, channel], expected, atol=0.5 / 255)
    transparent = load_photo(pictures["rgba.png"]).pixels
    assert (transparent[:, :, :, 0] == 1).all()  # nothing but the white behind it
    assert transparent.min() < 0.7


def test_camera_orientation_is_obeyed(tmp_path):
    from fastconv.demo.photo import load_photo

    picture = Image.fromarray(photograph(40, 60))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by a quarter to show
    picture.save(tmp_path / "upright.png", exif=exif)
    assert load_photo(tmp_path / "upright.png").pixels.shape == (1, 3, 60, 40)


def test_size_scales_the_longer_side(tmp_path, capsys):
    picture = odd_pictures(tmp_path)["rgba.png"]
    assert main(["demo", str(picture), "--size", "30", "--output", str(tmp_path / "sheet.png")]) == 0
    output = capsys.readouterr().out
    assert "60 x 40 pixels" in output
    assert "30 x 20" in output
    assert "3x20x30" in output


def test_a_very_large_picture_is_read_as_it_is(tmp_path, monkeypatch):
    from fastconv.demo.photo import load_photo

    picture = odd_pictures(tmp_path)["rgba.png"]
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 1000
    )  # Pillow refuses twice as many, and this one has 2400
    assert load_photo(picture).pixels.shape == (1, 3, 40, 60)
    assert Image.MAX_IMAGE_PIXELS == 1000


def one_sentence(text: str) -> str:
    assert text.startswith("fastconv demo: ")
    assert text.count("\n") == 1
    assert "Traceback" not in text
    return text


def test_demo_on_a_missing_file(tmp_path):
    result = run("demo", "nowhere.png", cwd=tmp_path)
    assert result.returncode == 2
    assert "there is no file nowhere.png" in one_sentence(result.stderr)
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "folder", "scrambled"])
def test_demo_on_an_unreadable_picture(damage, tmp_path, capsys):
    picture = tmp_path / "bad.png"
    if damage == "folder":
        picture.mkdir()
    else:
        Image.fromarray(photograph(60, 60)).save(picture)
        good = picture.read_bytes()
        scrambled = good[:40] + bytes(255 - byte for byte in good[40:-60]) + good[-60:]
        picture.write_bytes(
            {"text": b"not a picture", "empty": b"", "cut": good[:700], "scrambled": scrambled}[damage]
        )
    assert main(["demo", str(picture), "--output", str(tmp_path / "sheet.png")]) == 2
    assert "bad.png" in one_sentence(capsys.readouterr().err)
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [("", "is a folder"), ("nowhere/sheet.png", "there is no folder"), ("one.png", "overwrite")],
)
def test_demo_with_an_impossible_output(output, words, tmp_path, capsys):
    picture = odd_pictures(tmp_path)["one.png"]
    before = picture.read_bytes()
    assert main(["demo", str(picture), "--output", str(tmp_path / output)]) == 2
    assert words in one_sentence(capsys.readouterr().err)
    assert picture.read_bytes() == before


@pytest.mark.skipif(not OTHERS, reason="only one backend here: nothing can disagree")
@pytest.mark.parametrize(
    "fault", ["value", "nan", *(pytest.param(fault, marks=pytest.mark.slow) for fault in ("shape", "dtype"))]
)
def test_demo_names_the_operation_on_which_backends_disagree(fault, tmp_path, capsys, monkeypatch):
    right = fastconv.max_pool2d
    liar = OTHERS[-1]

    def wrong(x, *arguments, backend, **options):
        y = right(x, *arguments, backend=backend, **options)
        if backend == liar:
            if fault == "value":
                y[0, 0, -1, -1] += np.float32(1e-6)
            elif fault == "nan":
                y[0, 0, 0, 0] = np.nan
            elif fault == "shape":
                y = y[:, :, :-1]
            else:
                y = y.astype(np.float64)
        return y

    monkeypatch.setattr(fastconv, "max_pool2d", wrong)
    picture = odd_pictures(tmp_path)["rgba.png"]
    sheet = tmp_path / "sheet.png"
    assert main(["demo", str(picture), "--output", str(sheet)]) == 1
    output = capsys.readouterr().out
    assert "DISAGREEMENT in 'max pool 8x8'" in output
    assert output.count("DISAGREEMENT") == 1
    assert f"{liar} differs" in output
    assert "operations agree" not in output
    assert_sheet(sheet)


@pytest.mark.parametrize("backend", OTHERS)
def test_rounding_stays_far_below_what_the_demo_allows(backend):
    """The bound is neither hit by chance nor so wide that it hides a wrong pixel: half a grey level."""
    from fastconv.demo.measure import measure
    from fastconv.demo.photo import load_photo
    from fastconv.demo.steps import PHOTO, chain

    results = {PHOTO: load_photo(None, 200).pixels}
    for step in chain(200, 200):
        results[step.title], outcome = measure(step, results[step.source], [backend])
        assert outcome.difference[backend] <= outcome.allowed / 2, step.title
        assert outcome.allowed < 0.5 / 255, step.title


def test_unknown_and_missing_backends(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--backends", "fortran"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert "unknown backend 'fortran'" in error
    assert all(name in error for name in backends.names())

    def load(name):
        raise fastconv.BackendUnavailableError(f"the {name} backend is not here: install it")

    monkeypatch.setattr(backends, "load", load)
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--backends", "numba,numpy"]) == 2
    assert "the numba backend is not here: install it" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize("size", ["0", "-3", "many", "1.5", "999999999999"])
def test_bad_sizes(size, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["demo", f"--size={size}"])
    assert exit_.value.code == 2
    assert "whole number of pixels" in capsys.readouterr().err


def test_demo_says_what_to_install_where_the_extra_is_missing(tmp_path):
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError(\"No module named 'rich'\", name='rich')\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run("demo", cwd=tmp_path, PYTHONPATH=paths)
    assert result.returncode == 2
    assert 'pip install ".[demo]"' in one_sentence(result.stderr)
    for command in (["info"], ["--help"]):
        result = run(*command, cwd=tmp_path, PYTHONPATH=paths)
        assert result.returncode == 0, result.stderr


# The other commands


OF_CYTHON = [("FASTCONV_ISA", "sse9"), ("FASTCONV_THREADING", "tbb")]
MISTAKES = [
    ("FASTCONV_BACKEND", "fortran"),
    *(pytest.param(*one, marks=pytest.mark.slow) for one in (("FASTCONV_NUM_THREADS", "many"), *OF_CYTHON)),
]


@pytest.mark.parametrize(("variable", "value"), MISTAKES)
def test_a_mistaken_environment_is_shown(variable, value, tmp_path):
    result = run("info", cwd=tmp_path, **{variable: value})
    assert result.returncode == 0, result.stderr
    assert value in result.stdout
    if (variable, value) not in OF_CYTHON or "cython" in OTHERS:
        result = run("demo", cwd=tmp_path, **{variable: value})
        assert result.returncode == 2
        assert value in one_sentence(result.stderr)


def test_a_reader_that_has_enough():
    """As ``fastconv --help | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([sys.executable, "-m", "fastconv", "info"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert run.returncode == 141
    assert run.stderr == b""


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"fastconv {fastconv.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["demo", "--help"], ["info", "--help"]])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert "usage: fastconv" in text
    if arguments == ["--help"]:
        for word in ["demo", "info", "examples:", "FASTCONV_BACKEND", "FASTCONV_NUM_THREADS"]:
            assert word in text
    if arguments[0] == "demo":
        for word in ["--output", "--backends", "--size", "exit status"]:
            assert word in text


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    assert "commands" in capsys.readouterr().err
