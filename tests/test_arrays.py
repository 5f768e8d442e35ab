"""What may come in and go out: views, byte orders, array protocols, dtypes, `out`, empty batches."""

import tempfile

import ml_dtypes
import numpy as np
import pytest

import fastconv
import reference
from calls import CALLS
from checks import DIRECT, assert_close, eps, normal, rounding


def flipped(array):
    everywhere = (slice(None, None, -1),) * array.ndim
    return array[everywhere].copy()[everywhere]


def every_second(array):
    spread = np.full([2 * n for n in array.shape], np.nan, dtype=array.dtype)
    view = spread[(slice(1, None, 2),) * array.ndim]
    view[...] = array
    return view


def unaligned(array):
    return np.frombuffer(b"." + array.tobytes(), dtype=array.dtype, offset=1).reshape(array.shape)


def read_only(array):
    array = array.copy()
    array.setflags(write=False)
    return array


def memory_mapped(array):
    with tempfile.TemporaryFile() as file:
        file.write(array.tobytes())
        file.flush()
        return np.memmap(file, array.dtype, "r", shape=array.shape)


class Subclass(np.ndarray):
    pass


class OnlyDlpack:
    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnlyArray:
    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


def tensor(array):
    return pytest.importorskip("torch").from_numpy(array)


VIEWS = {
    "Fortran order": np.asfortranarray,
    "negative strides": flipped,
    "every second element": every_second,
    "channels last in memory": lambda array: (
        np.moveaxis(np.moveaxis(array, 1, -1).copy(), -1, 1) if array.ndim > 1 else array
    ),
    "unaligned": unaligned,
    "read-only": read_only,
    "byte-swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "memory-mapped": memory_mapped,
    "subclass": lambda array: array.view(Subclass),
    "DLPack only": OnlyDlpack,
    "__array__ only": OnlyArray,
    "PyTorch tensor": tensor,
}


@pytest.mark.one_instruction_set
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", CALLS)
def test_views(backend, dtype, name, view):
    call = CALLS[name]
    arrays = call.arrays(dtype)
    before = [array.copy() for array in arrays]
    expected = call.function(*arrays)
    inputs = [VIEWS[view](array) for array in arrays]
    actual = call.function(*inputs)
    assert_close(actual, expected, 400 * eps(dtype), dtype)
    for array, copy in zip(inputs + arrays, before * 2, strict=True):
        if isinstance(array, np.ndarray):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", CALLS)
def test_zero_strides(backend, dtype, name):
    call = CALLS[name]
    views = [np.broadcast_to(dtype.type(0.5), shape) for shape in call.shapes]
    expected = call.function(*(view.copy() for view in views))
    assert_close(call.function(*views), expected, 400 * eps(dtype), dtype)


@pytest.mark.parametrize("name", CALLS)
def test_empty_batch(backend, dtype, name):
    call = CALLS[name]
    arrays = call.arrays(dtype)
    full = call.function(*arrays)
    batched = {0, 1} if name == "deform_conv2d" else {0}
    empty = call.function(*(array[:0] if i in batched else array for i, array in enumerate(arrays)))
    assert empty.shape == (0, *full.shape[1:])
    assert empty.dtype == dtype


@pytest.mark.parametrize("name", [name for name in CALLS if CALLS[name].takes_out])
def test_out(backend, dtype, name):
    call = CALLS[name]
    arrays = call.arrays(dtype)
    expected = call.function(*arrays)
    for make in (
        np.empty_like,
        lambda a: np.empty_like(a, order="F"),
        lambda a: every_second(np.zeros_like(a)),
    ):
        out = make(expected)
        assert call.function(*arrays, out=out) is out
        assert_close(np.ascontiguousarray(out), expected, 400 * eps(dtype), dtype)


@pytest.mark.parametrize("name", [name for name in CALLS if CALLS[name].takes_out])
def test_out_is_refused(backend, name):
    call = CALLS[name]
    arrays = call.arrays(np.float32)
    shape = call.function(*arrays).shape
    operation = name.split()[0]
    overlapping = np.zeros(np.prod(shape) + arrays[0].size, dtype=np.float32)
    overlapping_x = overlapping[: arrays[0].size].reshape(arrays[0].shape)
    overlapping_x[...] = arrays[0]
    over = overlapping[arrays[0].size - 1 :][: np.prod(shape)].reshape(shape)
    for error, words, out in [
        (ValueError, "shape", np.empty((*shape[:-1], shape[-1] + 1), dtype=np.float32)),
        (ValueError, "shape", np.empty(shape[1:], dtype=np.float32)),
        (ValueError, "float64", np.empty(shape)),
        (ValueError, "float16", np.empty(shape, dtype=np.float16)),
        (ValueError, "read-only|writ", read_only(np.empty(shape, dtype=np.float32))),
        (TypeError, "list", np.empty(shape).tolist()),
        (ValueError, "overlap", over),
    ]:
        with pytest.raises(error, match=words) as caught:
            call.function(overlapping_x, *arrays[1:], out=out)
        assert caught.type is error
        assert str(caught.value).startswith(f"{operation}: out ")


def test_out_may_not_overlap_itself(backend):
    x = np.ones((2, 1, 2, 2), np.float32)
    for strides in ((0, 16, 8, 4), (8, 4, 8, 4), (-4, 16, 8, 4)):
        memory = np.zeros(64, np.float32)
        out = np.lib.stride_tricks.as_strided(memory[32:], x.shape, strides)
        with pytest.raises(ValueError, match=r"^max_pool2d: out holds some elements twice"):
            fastconv.max_pool2d(x, 1, out=out)
    out = np.zeros((2, 4, 3, 5), np.float32).transpose(2, 0, 3, 1)[:2, :1, ::-2, ::3][..., :2, :2]
    assert fastconv.max_pool2d(x, 1, out=out) is out


def test_buffers(backend):
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert fastconv.max_pool2d(memoryview(x), 2).tolist() == [[[5, 7], [13, 15]]]


def test_out_may_share_a_buffer_without_overlapping(backend, layout, dtype):
    """DenseNet's way: the channels before and after are slices of one array."""
    buffer = normal((2, 12, 5, 6) if layout == "NCHW" else (2, 5, 6, 12), dtype=dtype)
    first, second = (slice(None), slice(4)), (slice(None), slice(4, 12))
    if layout == "NHWC":
        first, second = (..., slice(4)), (..., slice(4, 12))
    weight = normal((8, 4, 3, 3) if layout == "NCHW" else (3, 3, 4, 8), dtype=dtype)
    expected = fastconv.conv2d(buffer[first].copy(), weight, padding=1, layout=layout)
    fastconv.conv2d(buffer[first], weight, padding=1, layout=layout, out=buffer[second])
    assert_close(buffer[second].copy(), expected, 400 * eps(dtype), dtype)


def test_out_may_not_overlap_weight_bias_or_residual(backend):
    x, weight = normal((1, 4, 6, 6)), normal((4, 4, 3, 3))
    buffer = np.zeros(4 * 36)
    residual = out = buffer.reshape(1, 4, 6, 6)
    for options in ({"residual": residual}, {"bias": buffer[:4]}, {"weight": buffer.reshape(4, 4, 3, 3)}):
        with pytest.raises(ValueError, match=r"^conv2d: out .*overlap"):
            fastconv.conv2d(x, **{"weight": weight, "padding": 1, "out": out} | options)


DTYPES = {
    ("float16", "float16"): "float16",
    ("bfloat16", "bfloat16"): "bfloat16",
    ("float16", "float32"): "float32",
    ("float64", "float16"): "float64",
    ("float32", "float64"): "float64",
    ("uint8", "float32"): "float32",
    ("int16", "float32"): "float32",
    ("int32", "float32"): "float64",
    ("float32", "int64"): "float64",
    ("uint8", "int8"): "float32",
    ("uint64", "int64"): "float64",
    ("bool", "bool"): "float32",
    ("bool", "float64"): "float64",
    (">f4", "<f4"): "float32",
    (">f8", ">i2"): "float64",
}


def typed(array, name):
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    if dtype.kind in "iub":
        array = np.abs(array) * (1 if dtype.kind == "b" else 3)
    return array.round().astype(dtype) if dtype.kind in "iub" else array.astype(dtype)


@pytest.mark.parametrize(("kinds", "result"), DTYPES.items(), ids=[" * ".join(kinds) for kinds in DTYPES])
def test_dtypes_of_convolution(backend, kinds, result):
    result = np.dtype(ml_dtypes.bfloat16 if result == "bfloat16" else result)
    x, weight = typed(normal((1, 5, 6, 7)), kinds[0]), typed(normal((4, 5, 3, 3)), kinds[1])
    bias, residual = normal((4,)), normal((1, 4, 6, 7))  # float64: these do not decide the result's dtype
    exact = x.astype(np.float64), weight.astype(np.float64)
    expected = reference.conv2d(*exact, bias, padding=1) + residual
    bound = reference.conv2d(*map(abs, exact), abs(bias), padding=1).max() + abs(residual).max()
    computed = np.float32 if result.itemsize == 2 else result
    inputs_rounded = eps(result) * (
        np.abs(bias[:, None, None]) + np.abs(residual)
    )  # when they are cast to the result's
    tolerance = 2 * DIRECT * eps(computed) * bound + rounding(expected, result) + inputs_rounded
    actual = fastconv.conv2d(x, weight, bias, padding=1, residual=residual)
    assert_close(actual, expected, tolerance, result)
    transposed = fastconv.conv_transpose2d(x, weight.swapaxes(0, 1), padding=1)
    assert transposed.dtype == result


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", CALLS)
def test_sixteen_bit_floats_come_back_as_they_went_in(backend, half, name):
    call = CALLS[name]
    arrays = [array.astype(half) for array in call.arrays(np.float32)]
    expected = call.function(*(array.astype(np.float64) for array in arrays))
    assert_close(call.function(*arrays), expected, rounding(expected, half) + 400 * eps(np.float32), half)


@pytest.mark.parametrize("name", CALLS)
def test_kinds_that_are_refused(backend, name):
    call = CALLS[name]
    arrays = call.arrays(np.float64)
    for position, array in enumerate(arrays):
        for wrong in (
            array.astype(np.complex64),
            array.astype(object),
            array.astype(str),
            array.astype(np.longdouble),
            array.astype("M8[s]"),
            np.ma.masked_array(array, mask=array > 0),
            None if position == 0 else "weight",
            {},
        ):
            with pytest.raises(TypeError) as caught:
                call.function(*arrays[:position], wrong, *arrays[position + 1 :])
            assert caught.type is TypeError
            assert str(caught.value).startswith(f"{name.split()[0]}: "), caught.value


def test_huge_strided_image_is_not_read_beyond_its_window(backend):
    """A view into a large array whose other elements are NaN."""
    large = np.full((3, 30, 30), np.nan, dtype=np.float32)
    view = large[:, 5:13, 9:20]
    view[...] = 1
    assert np.isfinite(fastconv.conv2d(view, normal((4, 3, 3, 3), dtype=np.float32), padding=1)).all()
    assert np.isfinite(fastconv.max_pool2d(view, 3, padding=1)).all()
    assert np.isfinite(fastconv.avg_pool2d(view, 3, padding=1)).all()
