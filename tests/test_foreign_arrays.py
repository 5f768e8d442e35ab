"""Arrays that are not what they say: subclasses that lie, masks, protocols that lie or raise, strings."""

from collections import UserList

import numpy as np
import pytest

import fastconv
import test_grad_arrays
from calls import CALLS
from checks import assert_close, eps

GRADIENTS = {f"grad.{name}": call for name, call in test_grad_arrays.CALLS.items()}
ALL = CALLS | GRADIENTS
WITH_OUT = [name for name, call in ALL.items() if call.takes_out]


class Liar(np.ndarray):
    """Its memory is as it was; everything that can be overridden is about a larger array, or raises."""

    shape = property(lambda self: (10**6,) * 4)
    strides = property(lambda self: (10**6,) * 4)
    dtype = property(lambda self: np.dtype(np.float64))
    ndim = property(lambda self: 4)
    size = property(lambda self: 10**9)
    flags = property(lambda self: np.ones(1).flags)

    def _refuse(self, *args, **kwargs):
        raise AssertionError("a method of a subclass was called")

    reshape = view = astype = copy = ravel = squeeze = transpose = min = max = any = _refuse
    __array__ = __getitem__ = __setitem__ = __array_ufunc__ = __array_function__ = _refuse


def lying(array):
    return np.ndarray.view(array, Liar)


def results(value):
    return [each for each in (value if isinstance(value, tuple) else (value,)) if each is not None]


@pytest.mark.parametrize("name", ALL)
def test_inputs_of_a_lying_subclass(name):
    call = ALL[name]
    arrays = call.arrays(np.float32)
    expected = results(call.function(*arrays))
    for ours, theirs in zip(results(call.function(*map(lying, arrays))), expected, strict=True):
        assert_close(ours, theirs, 400 * eps(np.float32), np.float32)


def test_other_inputs_of_a_lying_subclass(backend):
    x, weight, residual, mask = (
        np.float32(np.ones(s)) for s in ((1, 2, 4, 4), (3, 2, 3, 3), (1, 3, 2, 2), (1, 9, 2, 2))
    )
    plan = fastconv.plan_conv2d(lying(weight), lying(np.float32([1, 2, 3])))
    values, indices = fastconv.max_pool2d(x, 2, return_indices=True)
    offset, samples = np.zeros((1, 18, 2, 2), np.float32), np.full((1, 2, 2), 0.5)
    for function, arrays in (
        (plan, (x,)),
        (lambda x, r: plan(x, residual=r), (x, residual)),
        (lambda x, r: fastconv.conv2d(x, weight, residual=r), (x, residual)),
        (lambda m: fastconv.deform_conv2d(x, offset, weight, mask=m), (mask,)),
        (lambda v, i: fastconv.max_unpool2d(v, i, 2), (values, indices)),
        (lambda r: fastconv.fractional_max_pool2d(x, 2, 2, random_samples=r), (samples,)),
        (lambda m: fastconv.fold_batch_norm(weight, m, m, m)[0], (np.float32([1, 2, 3]),)),
    ):
        np.testing.assert_array_equal(function(*map(lying, arrays)), function(*arrays))


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_of_a_lying_subclass(name):
    call = ALL[name]
    arrays = call.arrays(np.float32)
    expected = call.function(*arrays)
    for make in (np.empty_like, lambda a: np.empty_like(a, order="F")):
        memory = make(expected)
        out = lying(memory)
        assert call.function(*arrays, out=out) is out
        assert_close(np.ascontiguousarray(memory), expected, 400 * eps(np.float32), np.float32)
    with pytest.raises(ValueError, match="out has shape"):
        call.function(*arrays, out=lying(np.empty((*expected.shape[:-1], 999), np.float32)))
    with pytest.raises(ValueError, match="out has dtype"):
        call.function(*arrays, out=lying(np.empty(expected.shape, np.float64)))


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_out_of_kinds_that_numpy_has(backend, tmp_path):
    x, weight = np.float32(np.arange(12)).reshape(2, 6), np.ones((3, 2, 2), np.float32)
    expected = fastconv.conv1d(x, weight)
    matrix = np.asmatrix(np.empty((3, 5), np.float32))
    assert fastconv.conv1d(np.asmatrix(x), weight, out=matrix) is matrix
    np.testing.assert_array_equal(np.asarray(matrix), expected)
    mapped = np.memmap(tmp_path / "out", np.float32, "w+", shape=(3, 5))
    assert fastconv.conv1d(x, weight, out=mapped) is mapped
    np.testing.assert_array_equal(mapped, expected)
    plan = fastconv.plan_conv2d(weight[:, :, None])
    mapped = np.memmap(tmp_path / "plan", np.float32, "w+", shape=(3, 1, 5))
    for _ in range(2):
        assert plan(x[:, None], mapped) is mapped
    np.testing.assert_array_equal(mapped[:, 0], expected)


@pytest.mark.parametrize("name", WITH_OUT)
def test_a_masked_out_is_refused(name):
    """It would stay masked, so that the result could not be seen."""
    call = ALL[name]
    arrays = call.arrays(np.float32)
    out = np.ma.masked_all(call.function(*arrays).shape, np.float32)
    with pytest.raises(TypeError, match=rf"^{name.split()[0]}: out is a masked array"):
        call.function(*arrays, out=out)
    call.function(*arrays, out=out.data)


def nested(array):
    return [list(row) for row in array]


def one_value(array):
    values = array.tolist()
    inner = values
    while isinstance(inner[0], list):
        inner = inner[0]
    inner[0] = np.ma.masked
    return values


class GivesMasks:
    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_array(self._array)


MASKED = {
    "array": np.ma.masked_array,
    "list": lambda a: list(np.ma.masked_array(a)),
    "tuple in a list": lambda a: [tuple(np.ma.masked_array(row)) for row in a],
    "sequence": lambda a: UserList(np.ma.masked_array(a)),
    "value": one_value,
    "protocol": GivesMasks,
}


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("name", ["conv2d", "conv1d", "max_pool2d", "grad.conv2d", "grad.lp_pool2d", "pad2d"])
def test_masks_are_not_lost_without_a_word(kind, name):
    call = ALL[name]
    arrays = call.arrays(np.float32)
    for position in range(len(arrays)):
        if arrays[position].ndim == 1 and kind not in ("array", "value", "protocol"):
            continue  # its elements are numbers
        wrong = [*arrays[:position], MASKED[kind](arrays[position] + 1), *arrays[position + 1 :]]
        with pytest.raises(TypeError, match=rf"^{name}: \w+ is or holds a masked array"):
            call.function(*wrong)


def test_lists_without_masks_are_read(backend):
    x, weight = np.arange(18.0).reshape(1, 2, 3, 3), np.ones((1, 2, 2, 2))
    expected = fastconv.conv2d(x, weight)
    np.testing.assert_array_equal(fastconv.conv2d(nested(x), UserList(weight.tolist())), expected)


class Raises:
    @property
    def __array__(self):
        raise RuntimeError("made up")


class RaisesInAll:
    def __getattribute__(self, name):
        raise RuntimeError("made up")


class NoArray:
    def __array__(self, dtype=None, copy=None):
        return [1.0, 2.0]


class WrongProtocol:
    __array_interface__ = {"shape": (1, 2, 3, 3), "typestr": "<f4"}  # noqa: RUF012


def endless():
    values = []
    values.append(values)
    return values


FOREIGN = {
    "raises": Raises,
    "raises in all": RaisesInAll,
    "no array": NoArray,
    "wrong protocol": WrongProtocol,
    "endless": endless,
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "strings": lambda: np.full((1, 2, 3, 3), "1"),
    "variable strings": lambda: np.full((1, 2, 3, 3), "1", dtype=np.dtypes.StringDType()),
    "bytes": lambda: np.full((1, 2, 3, 3), b"1"),
    "records": lambda: np.zeros((1, 2, 3, 3), [("bfloat16", "f4")]),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_cannot_be_read_is_a_type_error_of_ours(kind):
    weight = np.ones((1, 2, 2, 2))
    for call, name in (
        (lambda value: fastconv.conv2d(value, weight), "x"),
        (lambda value: fastconv.conv2d(np.ones((1, 2, 3, 3)), value), "weight"),
        (lambda value: fastconv.max_pool2d(value, 2), "x"),
        (lambda value: fastconv.plan_conv2d(value), "weight"),
        (lambda value: fastconv.grad.conv2d_bias(value), "grad_output"),
    ):
        with pytest.raises(TypeError, match=rf"^[\w.]+: {name} ") as caught:
            call(FOREIGN[kind]())
        assert caught.type is TypeError


@pytest.mark.parametrize("dtype", [np.dtypes.StringDType(), "U1", object, "M8[s]", "c8"], ids=str)
def test_out_of_a_wrong_kind_is_refused_in_our_words(backend, dtype):
    x, weight = np.ones((1, 2, 3, 3)), np.ones((1, 2, 2, 2))
    with pytest.raises(ValueError, match=r"^conv2d: out has dtype "):
        fastconv.conv2d(x, weight, out=np.empty((1, 1, 2, 2), dtype))


def test_out_that_overlaps_what_another_library_holds(backend):
    """The array that a protocol gives shares memory as the user's own would."""
    torch = pytest.importorskip("torch")
    x, weight = np.ones((1, 2, 3, 3)), np.ones((1, 2, 2, 2))
    out = np.zeros((1, 1, 2, 2))
    with pytest.raises(ValueError, match=r"^conv2d: out overlaps"):
        fastconv.conv2d(x, weight, residual=torch.from_numpy(out), out=out)
    line = np.zeros(4)
    with pytest.raises(ValueError, match=r"^conv2d: out overlaps"):
        fastconv.conv2d(x, weight, bias=torch.from_numpy(line[:1]), out=line.reshape(1, 1, 2, 2))
