"""Which tests of a product of parameters run by default: so many that every pair of values meets in one of them.

Most faults need one value or two together (a backend and a shape, a layout and a dtype), so that a cross-section finds
them at a fraction of the product's time. `conftest.py` calls this; ``pytest --all`` runs the product.
"""

import heapq
import itertools
import zlib


def cross_section(items):
    """Those of `items` to keep: every pair of values of two parameters that any of them has, is in one that is kept."""
    functions = {}
    for item in items:
        # Doctests have neither a class nor parameters.
        function = item.path, getattr(item, "cls", None), getattr(item, "originalname", item.name)
        functions.setdefault(function, []).append(item)
    return [item for group in functions.values() for item in _covering(group)]


def _covering(group):
    """A greedy choice: always the item with most pairs that none before it had."""
    if len(group) == 1:
        return group
    pairs = [_pairs(item.callspec.params) for item in group]
    # Equal gains are taken in an order that is arbitrary, so that all parameters vary, but always the same.
    heap = [
        (-len(own), zlib.crc32(item.nodeid.encode()), place)
        for place, (item, own) in enumerate(zip(group, pairs, strict=True))
    ]
    heapq.heapify(heap)
    missing = set().union(*pairs)
    chosen = []
    while missing:
        _, order, place = heapq.heappop(heap)
        gain = len(pairs[place] & missing)
        if heap and -gain > heap[0][0]:
            if gain:  # others may have more by now
                heapq.heappush(heap, (-gain, order, place))
            continue
        chosen.append(place)
        missing -= pairs[place]
    return [group[place] for place in sorted(chosen)]


def _pairs(parameters):
    """Every pair of values, each told by its name and its identity: values need not be hashable."""
    values = [(name, id(value)) for name, value in parameters.items()]
    return set(itertools.combinations(values, 2)) or {tuple(values)}
