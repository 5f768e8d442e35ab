"""Which backend a call uses, what happens where it cannot, and the settings of environment variables."""

import threading

import numpy as np
import pytest

import fastconv
from calls import CALLS
from checks import normal, run_python
from conftest import skip_unless_available

# The names of the backends whose modules actually did the convolution, as seen by wrapping their primitive.
SPY = """
import fastconv, numpy as np
from fastconv import backends
seen = []
for name in fastconv.available_backends():
    backend = backends.load(name)
    class Spy:
        def __init__(self, backend): self.__dict__["wrapped"] = backend
        def __getattr__(self, key):
            if key == "conv": seen.append(self.wrapped.name)
            return getattr(self.wrapped, key)
    backends._loaded[name] = Spy(backend)
def used(**options):
    seen.clear()
    # With a residual, for which no call takes a shortcut past the backend's `conv`.
    fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), residual=np.zeros((1, 1, 2, 2)), **options)
    return seen[0]
"""


def test_names():
    assert set(fastconv.backends.names()) == {"numpy", "numba", "cython"}
    assert set(fastconv.available_backends()) <= set(fastconv.backends.names())
    assert "numpy" in fastconv.available_backends()


def test_precedence():
    others = [name for name in fastconv.available_backends() if name != "numpy"]
    if not others:
        pytest.skip("there is only one backend")
    other = others[0]
    code = (
        SPY
        + f"""
fastconv.set_backend("{other}")
assert used() == "{other}" == fastconv.get_backend()
with fastconv.use_backend("numpy"):
    assert used() == "numpy" == fastconv.get_backend()
    assert used(backend="{other}") == "{other}"
    with fastconv.use_backend("{other}"):
        assert used() == "{other}"
    assert used() == "numpy"
assert used() == "{other}"
assert used(backend="numpy") == "numpy"
"""
    )
    run_python(code, FASTCONV_BACKEND="numpy")


def test_environment_variable():
    for name in fastconv.available_backends():
        assert run_python(SPY + "print(used())", FASTCONV_BACKEND=name) == name


def test_default_is_the_fastest_available():
    expected = next(name for name in ("cython", "numba", "numpy") if name in fastconv.available_backends())
    assert run_python(SPY + "print(used())", FASTCONV_BACKEND=None) == expected


def test_import_alone_loads_neither_numba_nor_torch():
    code = "import sys, fastconv; print(*({'numba', 'torch', 'ml_dtypes', 'scipy'} & set(sys.modules)))"
    assert run_python(code, FASTCONV_BACKEND=None) == ""


def test_context_is_local_to_its_thread():
    seen = []
    with fastconv.use_backend("numpy"):
        before = fastconv.get_backend()
        thread = threading.Thread(target=lambda: seen.append(fastconv.get_backend()))
        thread.start()
        thread.join()
    assert before == "numpy"
    assert seen == [fastconv.get_backend()]


def test_context_ends_with_an_exception():
    before = fastconv.get_backend()
    with pytest.raises(KeyError), fastconv.use_backend("numpy"):
        raise KeyError
    assert fastconv.get_backend() == before


@pytest.mark.parametrize("name", ["", "NumPy", "torch", "c"])
def test_unknown_names(name):
    def enter():
        with fastconv.use_backend(name):
            pass

    x, weight = normal((1, 1, 3, 3)), normal((1, 1, 2, 2))
    for choose in (
        lambda: fastconv.set_backend(name),
        enter,
        lambda: fastconv.conv2d(x, weight, backend=name),
        lambda: fastconv.max_pool2d(x, 2, backend=name),
    ):
        with pytest.raises(ValueError, match=r"backend is ") as caught:
            choose()
        assert caught.type is ValueError
        assert all(word in str(caught.value) for word in (repr(name), "numpy", "numba", "cython"))


def test_unknown_name_in_the_environment():
    code = """
import fastconv, numpy as np
try:
    fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
except ValueError as error:
    print(type(error).__name__, error)
"""
    words = run_python(code, FASTCONV_BACKEND="fortran")
    assert words.startswith("ValueError")
    assert all(word in words for word in ("FASTCONV_BACKEND", "'fortran'", "numba"))


@pytest.mark.parametrize("wrong", [3, b"numpy", ["numpy"]], ids=str)
def test_names_of_the_wrong_type(wrong):
    with pytest.raises(TypeError):
        fastconv.set_backend(wrong)
    with pytest.raises(TypeError, match=r"^conv2d: "):
        fastconv.conv2d(normal((1, 1, 3, 3)), normal((1, 1, 2, 2)), backend=wrong)


def test_unavailable_backend_says_why_and_never_falls_back():
    code = """
import sys
sys.modules["numba"] = None  # what `import numba` meets where it is not installed
import fastconv, numpy as np
assert "numba" not in fastconv.available_backends()
for call in (
    lambda: fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), backend="numba"),
    lambda: fastconv.max_pool2d(np.ones((1, 1, 3, 3)), 2, backend="numba"),
    lambda: fastconv.set_backend("numba") or fastconv.pad2d(np.ones((1, 1, 3, 3)), 2),
):
    try:
        call()
    except fastconv.BackendUnavailableError as error:
        assert "numba" in str(error) and "pip install" in str(error), error
    else:
        raise AssertionError("no error")
"""
    run_python(code, FASTCONV_BACKEND=None)


def test_unavailable_backend_of_the_environment():
    code = """
import sys
sys.modules["numba"] = None
import fastconv, numpy as np
try:
    fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
except fastconv.BackendUnavailableError as error:
    print(error)
"""
    assert "numba" in run_python(code, FASTCONV_BACKEND="numba")


HIDDEN = """
import sys, warnings
class Hiding:  # a finder that does not know the extension, as where it was not built
    def __init__(self, finder): self.finder = finder
    def find_spec(self, name, *rest):
        return None if name == "fastconv.backends.cython._engine" else self.finder.find_spec(name, *rest)
sys.meta_path[:] = map(Hiding, sys.meta_path)
import fastconv, numpy as np
x, weight = np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        fastconv.conv2d(x, weight), fastconv.max_pool2d(x, 2), fastconv.available_backends()
    name = fastconv.get_backend()
for warning in caught:
    print(warning.category.__name__, warning.filename, warning.message)
"""


def test_a_missing_extension_is_told_once_with_reason_and_cure():
    told = run_python(HIDDEN + "assert name != 'cython'", FASTCONV_BACKEND=None).splitlines()
    assert len(told) == 1, told
    assert told[0].startswith("BackendFallbackWarning <string> "), told
    for words in ("No module named 'fastconv.backends.cython._engine'", "C compiler", "FASTCONV_BACKEND="):
        assert words in told[0], told
    assert "circular" not in told[0]


@pytest.mark.parametrize("choice", ["variable", "call", "block", "option"])
def test_a_chosen_backend_is_used_without_a_word(choice):
    if choice == "variable":
        assert run_python(HIDDEN + "assert name == 'numpy'", FASTCONV_BACKEND="numpy") == ""
        return
    calls = {
        "call": "fastconv.set_backend('numpy'); fastconv.conv2d(x, weight)",
        "block": "with fastconv.use_backend('numpy'): fastconv.conv2d(x, weight)",
        "option": "fastconv.conv2d(x, weight, backend='numpy')",
    }
    code = HIDDEN.split("with warnings", maxsplit=1)[0] + calls[choice]
    assert run_python(code, FASTCONV_BACKEND=None) == ""  # there, warnings are errors


def test_an_extension_that_cannot_be_loaded_keeps_its_reason():
    code = """
import sys
class Broken:
    def find_spec(self, name, *rest):
        if name == "fastconv.backends.cython._engine":
            raise ImportError("_engine.so: undefined symbol: made_up")
sys.meta_path.insert(0, Broken())
import fastconv
try:
    fastconv.set_backend("cython")
except fastconv.BackendUnavailableError as error:
    assert "undefined symbol: made_up" in str(error) and "C compiler" in str(error), error
    assert "made_up" in str(error.__cause__)
    print("refused")
try:
    fastconv.get_backend()
except fastconv.BackendFallbackWarning as warning:
    assert "undefined symbol: made_up" in str(warning), warning
    print("warned")
print(fastconv.get_backend() in ("numba", "numpy"))  # the second time without a warning
"""
    assert run_python(code, FASTCONV_BACKEND=None).split() == ["refused", "warned", "True"]


@pytest.mark.slow
def test_numba_works_where_nothing_can_be_cached(tmp_path):
    skip_unless_available("numba")
    (tmp_path / "file").touch()
    code = """
import fastconv, numpy as np
print(fastconv.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)), backend="numba").sum())
"""
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "file" / "folder")) == "16.0"


def test_show_config(capsys):
    shown = fastconv.show_config()
    words = f"{shown}{capsys.readouterr().out}"
    assert all(
        word in words for word in (fastconv.__version__, np.__version__, "numpy", "numba", "cython", "thread")
    )


def test_precision_settings():
    code = "import fastconv; print(fastconv.get_precision())"
    assert run_python(code, FASTCONV_PRECISION=None) == "fast"
    assert run_python(code, FASTCONV_PRECISION="strict") == "strict"
    for call in (fastconv.set_precision, lambda name: fastconv.use_precision(name).__enter__()):
        with pytest.raises(ValueError, match=r"'exact'.*fast.*strict|fast.*strict.*'exact'"):
            call("exact")


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("large", [1e30, np.inf])
def test_what_is_too_large_becomes_infinite_without_a_warning(backend, name, large):
    """Warnings are errors in these tests. Offsets of a deformed kernel lie outside of the image then."""
    call = CALLS[name]
    call.function(*(array * np.float32(large) for array in call.arrays(np.float32)))
