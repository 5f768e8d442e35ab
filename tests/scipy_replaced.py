"""A pytest plugin that puts fastconv's functions in the place of SciPy's, for SciPy's own tests of these.

`test_scipy_own.py` runs pytest with it on the tests in SciPy's wheel; by hand:
``python -m pytest -p scipy_replaced --pyargs scipy.ndimage.tests.test_filters`` with this folder on PYTHONPATH.
"""

import scipy.ndimage
import scipy.signal
from scipy._lib._array_api import xp_capabilities_table

from fastconv import ndimage, signal


def replace() -> None:
    """Every public name that both have, in SciPy's public modules."""
    for theirs, ours in ((scipy.ndimage, ndimage), (scipy.signal, signal)):
        for name in ours.__all__:
            original = getattr(theirs, name, None)
            if original is None:
                continue
            function = getattr(ours, name)
            xp_capabilities_table[function] = xp_capabilities_table.get(original, {})
            setattr(theirs, name, function)


replace()
