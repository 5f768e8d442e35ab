"""What this machine can do at most: measured peaks of arithmetic and bandwidths.

Measured by ``fastconv info --measure``, kept in a file, and read by whoever compares a speed with the best possible.
"""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, SupportsIndex

from fastconv import backends
from fastconv._version import __version__
from fastconv.arguments import integer
from fastconv.first_use import importing
from fastconv.machine.processor import processor_name
from fastconv.machine.roofline import Bandwidth, Limits, Peak
from fastconv.settings.folder import kept_file, write_whole
from fastconv.settings.threads import MOST_THREADS, get_num_threads
from fastconv.shown import shows

__all__ = ["Bandwidth", "Limits", "Peak", "cached_limits", "measure_limits", "save_limits"]
__dir__ = shows(__name__)

_FILE = "limits.json"


def measure_limits(
    threads: SupportsIndex | None = None, progress: Callable[[str], None] | None = None, quick: bool = False
) -> Limits:
    """Measure peaks and bandwidths of this machine, in about 6 seconds.

    Every loop runs in many short rounds, spread over the whole time; the best of them counts, since whatever else the
    machine does can only slow it down. The loops on several threads start together, on different processors.

    Parameters
    ----------
    threads : int, optional
        How many "all threads" are; by default as many as a call uses (`fastconv.get_num_threads`).
    progress : callable, optional
        Called with a few words before each step.
    quick : bool
        Fewer rounds and a smaller working set in memory: in about a second, and less exact.

    Returns
    -------
    Limits

    Raises
    ------
    BackendUnavailableError
        If the ``cython`` backend, whose loops these are, was not built.
    ValueError, TypeError
        If `threads` is not an integer from 1 to 256.
    RuntimeError
        If the system did not let all threads run at the same time.
    MemoryError
        If there is no memory to measure.

    Notes
    -----
    Each thread has a working set of its own. Of what the system says about the caches, shared ones divided by the
    threads that share them, it is half of L1 and half of L2; in L3 half of it, but at least twice and at most eight
    times L2, because a virtual machine may report a cache that it shares with strangers. How much of L3 it really gets
    is found by doubling the working set until reading it is nearer to memory's rate than to that of L3. In memory it is
    four times L3, but from 256 to 512 MiB, and not more than a quarter of the free memory for all threads.

    Examples
    --------
    >>> from fastconv import limits
    >>> measured = limits.measure_limits(threads=1, quick=True)
    >>> measured.peak("float32") > 0 and measured.bandwidth(2**30) > 0
    True
    """
    probes = _probes()
    threads = (
        get_num_threads()
        if threads is None
        else integer("measure_limits", "threads", threads, 1, MOST_THREADS)
    )
    measured = probes.measure(
        threads, probes.QUICK if quick else probes.THOROUGH, progress or (lambda step: None)
    )
    return Limits(
        processor=processor_name(),
        version=__version__,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        threads=threads,
        isa=probes.INSTRUCTION_SET,
        peaks=tuple(
            Peak(isa, dtype, one.best, every.best) for (isa, dtype), (one, every) in measured.peaks.items()
        ),
        bandwidths=tuple(
            Bandwidth(name, size, read[0].best, read[1].best, copy[0].best, copy[1].best, capacity)
            for (name, capacity, size), (read, copy) in measured.bandwidths.items()
        ),
        noise=measured.spread,
    )


def cached_limits() -> Limits | None:
    """The limits that were last saved.

    Returns
    -------
    Limits or None
        None where nothing was saved, the file is damaged, or it is of another processor, number of threads, version of
        fastconv or instruction set than a call would use now.

    Raises
    ------
    ValueError
        If an environment variable (``FASTCONV_NUM_THREADS``, ``FASTCONV_ISA``) holds something that cannot be used.

    Examples
    --------
    >>> from fastconv import limits
    >>> found = limits.cached_limits()
    >>> found is None or found.peak("float32") > 0
    True
    """
    try:
        isa = _probes().INSTRUCTION_SET
    except backends.BackendUnavailableError:
        return None
    here = processor_name(), __version__, get_num_threads(), isa
    with importing:  # not at the top: a program can be run without
        import json
    try:
        limits = Limits.from_dict(json.loads(kept_file(_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return limits if (limits.processor, limits.version, limits.threads, limits.isa) == here else None


def save_limits(limits: Limits) -> Path:
    """Save limits for `cached_limits`, in place of those saved before.

    Parameters
    ----------
    limits : Limits

    Returns
    -------
    pathlib.Path
        The file: ``limits.json`` in the folder that the environment variable ``FASTCONV_CACHE_DIR`` names, or else in
        ``fastconv`` in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Warns
    -----
    RuntimeWarning
        If it cannot be written. Then nothing is saved.

    Examples
    --------
    >>> from fastconv import limits
    >>> path = limits.save_limits(limits.measure_limits())  # doctest: +SKIP
    """
    with importing:
        import json
    path = kept_file(_FILE)
    try:
        write_whole(path, json.dumps(limits.to_dict(), indent=2) + "\n")
    except OSError as error:
        warnings.warn(
            f"the measured limits are not kept: {path} cannot be written ({error.strerror}); "
            "set FASTCONV_CACHE_DIR to a folder that can be",
            RuntimeWarning,
            stacklevel=2,
        )
    return path


def _probes() -> Any:
    """The module, imported when it is needed, as it needs the compiled backend."""
    backends.load("cython")
    with importing:
        from fastconv.machine import probes
    return probes
