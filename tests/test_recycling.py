"""The memory of large results is used again: soon, within its bounds, and never while anything still looks at it."""

import os
import threading

import numpy as np
import pytest

import fastconv
from checks import run_python

pytestmark = pytest.mark.parametrize("backend", ["cython"], indirect=True)

SIZE = (200, 210)  # a large result, of 164 KiB
ONE = np.ones((1, 1, 1, 1), np.float32)


@pytest.fixture(autouse=True)
def pool(backend):
    """The number of bytes in the pool, which is empty now; `backend` first: it skips where there is none."""
    from fastconv.backends.cython import _engine

    before = fastconv.get_cache_size()
    fastconv.clear_cache()
    yield _engine.recycled_bytes
    fastconv.set_cache_size(before)
    fastconv.clear_cache()


def filled(value, size=SIZE, **options):
    """A result that is `value` everywhere."""
    return fastconv.conv2d(np.full((1, 1, *size), value, np.float32), ONE, **options)


def address(array):
    return array.ctypes.data


def image(*size, channels=3):
    return np.ones((1, channels, *size), np.float32)


# Each for an image of 3 channels.
CALLS = {
    "conv2d": lambda x: fastconv.conv2d(x, np.ones((4, 3, 3, 3), np.float32)),
    "conv2d unbatched": lambda x: fastconv.conv2d(x[0], np.ones((4, 3, 3, 3), np.float32)),
    "conv2d reflect": lambda x: fastconv.conv2d(
        x, np.ones((4, 3, 3, 3), np.float32), padding=1, padding_mode="reflect"
    ),
    "plan": fastconv.plan_conv2d(np.ones((4, 3, 3, 3), np.float32), backend="cython"),
    "conv_transpose2d": lambda x: fastconv.conv_transpose2d(x, np.ones((3, 4, 2, 2), np.float32), stride=2),
    "max_pool2d": lambda x: fastconv.max_pool2d(x, 2, 1),
    "avg_pool2d unbatched": lambda x: fastconv.avg_pool2d(x[0], 2, 1),
    "pad2d": lambda x: fastconv.pad2d(x, 1),
    "unfold": lambda x: fastconv.unfold(x, 2),
    "local_response_norm": lambda x: fastconv.local_response_norm(x, 3),
}


@pytest.mark.parametrize("name", CALLS)
def test_memory_is_used_again(pool, name):
    x = image(130, 131)
    CALLS[name](x)  # what a first call remembers is no result
    result = CALLS[name](x)
    first, size, before = address(result), result.nbytes, pool()
    del result
    assert pool() >= before + size
    for _ in range(3):
        result = CALLS[name](x)
        assert address(result) == first
        assert pool() <= before
        del result


@pytest.mark.parametrize("name", CALLS)
def test_results_own_their_data(name):
    """The first result, and a later one, which may have come a shorter way."""
    x = image(127, 149)
    assert [CALLS[name](x).flags.owndata for _ in range(3)] == [True] * 3


def test_small_results_are_not_kept(pool):
    fastconv.pad2d(image(20, 20), 1)
    assert pool() == 0


def test_a_much_larger_block_is_not_wasted_on_a_result(pool):
    filled(1, (1000, 1000))
    kept = pool()
    result = filled(2)
    assert pool() >= kept
    assert (result == 2).all()


def test_the_size_bounds_what_is_kept(pool):
    fastconv.set_cache_size(1 << 20)
    assert fastconv.get_cache_size() == 1 << 20
    results = [filled(value) for value in range(20)]
    assert all((result == value).all() for value, result in enumerate(results))
    del results
    assert 1 << 19 < pool() <= 1 << 20
    fastconv.set_cache_size(400_000)
    assert 0 < pool() <= 400_000
    fastconv.set_cache_size(0)
    assert pool() == 0
    filled(1)
    assert pool() == 0


def test_what_is_larger_than_the_size_is_not_kept(pool):
    fastconv.set_cache_size(1 << 20)
    filled(1)
    before = pool()
    filled(1, (1000, 1000))
    assert pool() == before > 0


@pytest.mark.parametrize(
    ("wrong", "error"), [(-1, ValueError), (1.5, TypeError), ("1", TypeError), (True, TypeError)]
)
def test_nonsense_is_refused(wrong, error):
    before = fastconv.get_cache_size()
    with pytest.raises(error, match=r"set_cache_size: size is ") as caught:
        fastconv.set_cache_size(wrong)
    assert caught.type is error
    assert fastconv.get_cache_size() == before


BOUNDED = """
import numpy as np, fastconv
fastconv.set_backend("cython")
from fastconv.backends.cython import _engine
results = [fastconv.pad2d(np.ones((1, 1, 200, 200), "f"), 1) for _ in range(20)]
del results
print(fastconv.get_cache_size(), _engine.recycled_bytes())
"""


@pytest.mark.parametrize("limit", [0, 1_000_000, 2_000_000])
def test_environment(limit):
    size, kept = map(int, run_python(BOUNDED, FASTCONV_CACHE_SIZE=str(limit)).split())
    assert size == limit
    assert limit / 2 <= kept <= limit


@pytest.mark.parametrize(
    "value", ["-1", *(pytest.param(value, marks=pytest.mark.slow) for value in ("many", "1.5", "1e6"))]
)
@pytest.mark.parametrize(
    "call", ["fastconv.get_cache_size()", "fastconv.pad2d(np.ones((1, 1, 200, 200)), 1)"]
)
def test_nonsense_in_the_environment_is_named(call, value):
    code = f"""
import numpy as np, fastconv
try:
    fastconv.set_backend("cython")
    print({call})
except ValueError as error:
    print(error)
"""
    words = run_python(code, FASTCONV_CACHE_SIZE=value)
    assert all(word in words for word in ("FASTCONV_CACHE_SIZE", repr(value), "bytes")), words


RESIDENT = """
import os, numpy as np, fastconv
fastconv.set_backend("cython")
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell")
def test_clear_cache_gives_memory_back():
    """Asked of the system: the pool might be wrong about itself."""
    code = """
x, before = np.ones((1, 1, 4000, 4000), "f"), resident()
result = fastconv.pad2d(x, 1)
live = fastconv.pad2d(x[:, :, :2000], 1)
del result
kept = resident()
assert kept > before + 60 + 30, (before, kept)
fastconv.clear_cache()
assert resident() < kept - 60, (kept, resident())
assert live[:, :, 1:-1, 1:-1].all()
"""
    run_python(RESIDENT + code, FASTCONV_CACHE_SIZE=None)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system does not tell")
def test_nothing_grows_with_the_number_of_shapes():
    """150 shapes; together the results are 200 MiB, the weights 60."""
    code = """
from fastconv.backends.cython import _engine
fastconv.set_cache_size(8 << 20)
def work(n):
    x, w = np.ones((1, 256, 8, 8 + n), "f"), np.ones((256 + n, 256, 1, 1), "f")
    fastconv.conv2d(x, w)
    fastconv.conv2d(x, w)
    fastconv.pad2d(np.ones((1, 1, 500, 500 + n), "f"), 1)
    assert 0 < _engine.recycled_bytes() <= 8 << 20
for n in range(30):
    work(n)
before = resident()
for n in range(30, 180):
    work(n)
assert resident() < before + 64, (before, resident())
"""
    run_python(RESIDENT + code)


def test_a_view_keeps_its_memory(pool):
    view = filled(7)[0, 0, 50:60, 70:90]
    others = [filled(8) for _ in range(3)]
    for value in range(50):
        result = filled(value)
        assert not np.shares_memory(result, view.base)
        others[value % 3] = result
    assert (view == 7).all()
    assert (view.base == 7).all()
    first = address(view.base)
    del view, result
    others.clear()
    assert first in {address(result) for result in [filled(value) for value in range(5)]}


def test_out(pool):
    recycled = filled(1)
    kept = pool()
    for value in (2, 3):
        assert filled(value, out=recycled) is recycled
        assert (recycled == value).all()
        assert pool() == kept
    own = np.zeros((1, 1, *SIZE), np.float32)
    assert filled(4, out=own) is own
    assert (own == 4).all()
    border = np.zeros((1, 1, SIZE[0] + 2, SIZE[1] + 2), np.float32)
    filled(5, out=border[:, :, 1:-1, 1:-1])
    assert (border[:, :, 1:-1, 1:-1] == 5).all()
    assert border.sum() == 5 * SIZE[0] * SIZE[1]


def test_resizing():
    """NumPy asks the pool for the new memory, whose old contents may not show."""
    for value in range(1, 6):  # contents for the pool
        filled(value, (400, 400))
    result = filled(7)
    count = result.size
    for larger in (2 * count, 5 * count):
        result.resize(larger, refcheck=False)
        assert (result[:count] == 7).all()
        assert not result[count:].any()
    for smaller in (count, 100):
        result.resize(smaller, refcheck=False)
        assert (result == 7).all()
    result.resize(count, refcheck=False)
    assert (result[:100] == 7).all()
    assert not result[100:].any()
    assert filled(3, (400, 400)).all()


def test_python_threads_at_once(pool):
    """Each holds some results of several sizes, while another changes the limit."""
    limit, wrong, working = 4 << 20, [], 4
    fastconv.set_cache_size(limit)

    def work(number):
        try:
            rng, held = np.random.default_rng(number), []
            for step in range(200):
                value = 1000 * number + step
                held.append((value, filled(value, (200, int(rng.integers(100, 400))), backend="cython")))
                if len(held) > 4:
                    value, result = held.pop(int(rng.integers(5)))
                    if not (result == value).all():
                        wrong.append((number, step))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(working)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        fastconv.clear_cache()
        fastconv.set_cache_size(1 << 20)
        fastconv.set_cache_size(limit)
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool() <= limit


FORK = """
import os, threading, warnings
import numpy as np, fastconv
from children import expect_success
from fastconv.backends.cython import _engine
warnings.simplefilter("ignore", DeprecationWarning)
fastconv.set_backend("cython")
x, stop = np.arange(1, 60001, dtype="f").reshape(1, 1, 200, 300), threading.Event()
w = np.full((1, 1, 1, 1), 3, "f")
def works():
    result = fastconv.conv2d(x, w)
    before = result.ctypes.data
    right = (result == 3 * x).all()
    del result
    again = fastconv.conv2d(x, w)
    return right and (again == 3 * x).all() and again.ctypes.data == before and _engine.recycled_bytes() >= 0
def busy():
    while not stop.is_set():
        fastconv.pad2d(x, 1)
inherited = fastconv.conv2d(x, w)
assert works()
thread = threading.Thread(target=busy)
thread.start()
try:
    for generation in range(20):  # whatever the other thread is doing
        child = os.fork()
        if child == 0:
            del inherited
            right = works()
            fastconv.clear_cache()
            os._exit(0 if right and works() else 3)
        expect_success(child)
        assert (inherited == 3 * x).all()
finally:
    stop.set()
    thread.join()
assert works()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_fork():
    run_python(FORK)


def test_what_lies_idle_makes_room_for_what_does_not_fit(pool):
    """But for a quarter of the bound, and never for something smaller."""
    mib = 1 << 20
    fastconv.set_cache_size(64 * mib)
    side = {size: (256 * size, 1024) for size in (1, 10, 24)}  # of so many MiB
    alive = [filled(1, side[10]) for _ in range(3)]
    assert pool() < mib
    del alive
    assert 30 * mib <= pool() < 31 * mib
    one = filled(1, side[1])
    assert 30 * mib <= pool() < 31 * mib
    large = filled(1, side[24])
    assert 10 * mib <= pool() < 11 * mib
    assert (one[0, 0, 0, 0], large[0, 0, 0, 0]) == (1, 1)
