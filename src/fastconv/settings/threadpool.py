"""Makes threadpoolctl see and limit the threads of this package. Called where the cython backend is loaded.

threadpoolctl finds a library by the name of its file and a symbol in it, among those that the process has loaded: so
there is nothing to be seen before the engine is loaded, and no reason to import threadpoolctl earlier.
"""

from __future__ import annotations

from typing import Any

from fastconv._version import __version__
from fastconv.settings.threads import limit_threads, threads_of_process

LibController: Any
register_controller: Any
try:
    from threadpoolctl import LibController  # type: ignore[no-redef]
    from threadpoolctl import register as register_controller  # type: ignore[no-redef]
except ImportError:  # not installed, or older than 3.2, which knows no libraries but its own
    LibController = register_controller = None


def register() -> None:
    if LibController is None:
        return

    class FastconvController(LibController):  # type: ignore[misc]
        user_api = "fastconv"
        internal_api = "fastconv"
        filename_prefixes = ("_engine",)
        check_symbols = ("fastconv_most_threads",)

        # Not None, as their bodies in the base class look.
        def get_num_threads(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
            return threads_of_process()

        def set_num_threads(self, num_threads: int) -> None:
            limit_threads(num_threads)

        def get_version(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            return __version__

    register_controller(FastconvController)
