"""A pytest plugin that puts fastconv's functions in the place of SciPy's, for SciPy's own tests of these.

`test_scipy_own.py` runs pytest with it on the tests in SciPy's wheel.
"""

import scipy.ndimage
import scipy.signal
from scipy._lib._array_api import xp_capabilities_table

from fastconv import ndimage, signal


def replace() -> int:
    """Every public name that both have, in SciPy's public modules; how many there are."""
    count = 0
    for theirs, ours in ((scipy.ndimage, ndimage), (scipy.signal, signal)):
        for name in ours.__all__:
            original = getattr(theirs, name, None)
            if original is None:
                continue
            function = getattr(ours, name)
            if (
                original in xp_capabilities_table
            ):  # what SciPy's tests read of each function: which arrays it takes
                xp_capabilities_table[function] = xp_capabilities_table[original]
            setattr(theirs, name, function)
            count += 1
    return count


replace()
