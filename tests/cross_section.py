"""Which tests of a product of parameters run by default: so many that every pair of values meets, twice.

Most faults need one value or two together (a shape, or a shape and a layout), so that a cross-section finds them at a
fraction of the product's time. Pairs meet in the kernels of C, and once more in NumPy or numba, which compute most
things in the same steps; every value meets every backend and instruction set. `conftest.py` calls this; ``pytest
--all`` runs the product.
"""

import heapq
import itertools
import zlib

BACKEND = ("backend", "implementation")  # the parameters that say on which


def cross_section(items):
    """Those of `items` to keep.

    Every pair of values of two parameters meets on cython and on another backend, and every value meets every backend
    and instruction set.
    """
    functions = {}
    for item in items:
        # Doctests have neither a class nor parameters.
        function = item.path, getattr(item, "cls", None), getattr(item, "originalname", item.name)
        functions.setdefault(function, []).append(item)
    return [item for group in functions.values() for item in _covering(group)]


def _covering(group):
    """A greedy choice: always the item with most meetings that none before it had."""
    if len(group) == 1:
        return group
    meetings = [_meetings(item) for item in group]
    # Equal gains are taken in an order that is arbitrary, so that all parameters vary, but always the same.
    heap = [
        (-len(own), zlib.crc32(item.nodeid.encode()), place)
        for place, (item, own) in enumerate(zip(group, meetings, strict=True))
    ]
    heapq.heapify(heap)
    missing = set().union(*meetings)
    chosen = []
    while missing:
        _, order, place = heapq.heappop(heap)
        gain = len(meetings[place] & missing)
        if heap and -gain > heap[0][0]:
            if gain:  # others may have more by now
                heapq.heappush(heap, (-gain, order, place))
            continue
        chosen.append(place)
        missing -= meetings[place]
    return [group[place] for place in sorted(chosen)]


def implementation_of(item):
    """The backend that a test runs on, as "cython", or "cython-avx2" on a lower instruction set; "" for the others."""
    return next((value for name, value in _parameters(item) if name in BACKEND), "")


def _parameters(item):
    return item.callspec.params.items() if hasattr(item, "callspec") else ()


def _meetings(item):
    """What meets in a test. Values are told by their names and identities: they need not be hashable."""
    implementation = implementation_of(item)
    values = [(name, id(value)) for name, value in _parameters(item) if name not in BACKEND]
    alone = {(implementation, value) for value in values} or {implementation}
    in_c = implementation.startswith("cython")
    return alone | {(in_c, *pair) for pair in itertools.combinations(values, 2)}
