"""Choices for a block: nested, used again, decorating; and ended whatever is raised at whatever moment."""

import contextvars
import sys
import threading

import pytest

import fastconv
from fastconv.settings import setting

BLOCKS = {
    "precision": (fastconv.use_precision, fastconv.get_precision, "strict", "fast"),
    "threads": (fastconv.num_threads, fastconv.get_num_threads, 3, 5),
    "backend": (fastconv.use_backend, fastconv.get_backend, "numpy", "numba"),
}


@pytest.fixture(params=BLOCKS)
def block(request):
    use, get, value, other = BLOCKS[request.param]
    if request.param == "backend" and other not in fastconv.available_backends():
        other = "cython"
    assert get() != value
    return use, get, value, other


def test_one_object_for_many_blocks(block):
    use, get, value, other = block
    before, chosen = get(), use(value)
    for _ in range(2):
        with chosen:
            assert get() == value
            with use(other):
                assert get() == other
                with chosen:
                    assert get() == value
                assert get() == other
            assert get() == value
        assert get() == before


def test_decorator(block):
    use, get, value, _ = block
    before = get()

    @use(value)
    def depth(n):
        assert get() == value
        if n:
            depth(n - 1)
        return get()

    assert depth(3) == value
    assert get() == before
    seen = []
    thread = threading.Thread(target=lambda: seen.append((depth(1), get())))
    thread.start()
    thread.join()
    assert seen == [(value, before)]


def test_blocks_that_end_out_of_order(block):
    """As those in generators do that are left unfinished."""
    use, get, value, other = block
    before, first, second = get(), use(value), use(other)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert get() == other
    second.__exit__(None, None, None)
    assert get() == before


def test_a_copied_context_keeps_its_choice(block):
    use, get, value, _ = block
    before = get()
    with use(value):
        copied = contextvars.copy_context()
    assert get() == before
    assert copied.run(get) == value


class Signal(BaseException):
    """What a signal's handler raises."""


class Injector:
    """Raises at the n-th step of the code of `settings/setting.py`: a call, a line, a bytecode, a return."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename != setting.__file__:
            return None
        frame.f_trace_opcodes = True
        self.left -= 1
        if self.left == 0:
            raise Signal
        return self


def interrupted(run, n):
    """Did an exception at the n-th step get out of `run`? False where there are not so many steps."""
    before = sys.gettrace()
    sys.settrace(Injector(n))
    try:
        run()
    except Signal:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("inside", ["plain", "nested", "raises"])
def test_a_signal_at_any_moment_leaves_nothing_behind(block, inside):
    use, get, value, other = block
    before = get()

    def run():
        try:
            with use(other), use(value):
                if inside == "nested":
                    with use(other):
                        pass
                if inside == "raises":
                    raise KeyError
        except KeyError:
            pass

    steps = 1
    while interrupted(run, steps):
        assert get() == before, f"left behind by an exception at step {steps}"
        steps += 1
    assert steps > 60  # it went through both ends of the blocks
    assert get() == before
