"""``fastconv bench``: measures what its arguments ask for, shows what came of it, and writes the files.

Called by `fastconv.cli`; needs the ``bench`` extra.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

import fastconv
from fastconv import backends
from fastconv.bench.commands.arguments import USUAL_STUDIES, chosen_layers, chosen_peers
from fastconv.bench.layers.layer import Layer
from fastconv.bench.layers.settings import Settings
from fastconv.bench.measure.results import ONE_LAYER, Results
from fastconv.bench.measure.session import LIMITS_NOISE, Job, Session
from fastconv.bench.measure.studies import study
from fastconv.bench.report.html import write_report
from fastconv.bench.report.markdown import markdown_tables
from fastconv.bench.report.pages import threading
from fastconv.bench.report.pictures.gallery import save_pictures
from fastconv.bench.report.summary import Summary
from fastconv.bench.report.tables import (
    comparison_table,
    layer_table,
    network_table,
    overview_table,
    settings_lines,
)
from fastconv.bench.runners.backend import UNFOLD, BackendRunner
from fastconv.bench.runners.peers import PEERS
from fastconv.commands.error import CommandError
from fastconv.commands.files import check_target, writing
from fastconv.commands.printable import printable
from fastconv.limits import Limits, cached_limits, measure_limits, save_limits
from fastconv.typing import BackendName

WIDTH = 100  # of text that is piped or logged


def run_bench(arguments: argparse.Namespace) -> int:
    """Do what the arguments of `add_arguments` say.

    Returns
    -------
    int
        0, or 1 where a result of fastconv was wrong.

    Raises
    ------
    CommandError
        If the layer is impossible, something is missing, or a file cannot be read or written.
    """
    _check_files(arguments)
    console = Console(width=None if Console().is_terminal else WIDTH, highlight=False)
    before = _load(arguments.compare) if arguments.compare else None
    if arguments.load:
        _refuse_measuring(arguments)
        results, status = _load(arguments.load), 0
        _show(console, results)
    else:
        results, status = _measure(arguments, console)
    if before is not None:
        console.print(comparison_table(before, results), "")
    for line in settings_lines(results):
        console.print(line, soft_wrap=True, markup=False)
    _write(arguments, results, console)
    return status


def _measure(arguments: argparse.Namespace, console: Console) -> tuple[Results, int]:
    jobs = _jobs(arguments)
    threads = arguments.threads or fastconv.get_num_threads()
    settings = Settings(
        layout=arguments.layout,
        dtype=arguments.dtype,
        threads=threads,
        mode=arguments.mode,
        precision=arguments.precision,
        rounds=arguments.rounds,
        neighbours=arguments.busy,
    )
    with Live(console=console, auto_refresh=False, transient=True) as live:
        live.update("... loading libraries", refresh=console.is_terminal)
        names = _backends(arguments)
        if arguments.operation is not None:
            _try(jobs[0].layer, names[0], settings)
        limits, warning = _limits(live, threads)
        session = Session(settings, names, chosen_peers(arguments, PEERS), limits, _algorithms(arguments))
        session.results.warnings += map(printable, warning)
        bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, auto_refresh=False,
        )  # fmt: skip
        task = bar.add_task("", total=len(jobs) * session.steps)

        last: list[RenderableType] = []

        def progress(job: Job, step: int) -> None:
            """Show how far it is, and the table of the last layer that is complete."""
            done = jobs.index(job) * session.steps + step
            bar.update(task, completed=done, description=f"{job.group}: {job.layer.name}")
            if step == session.steps:
                last[:] = layer_table(session.results, job.group, job.layer), ""
            live.update(Group(*last, bar), refresh=console.is_terminal)

        results = session.results
        try:
            session.run(jobs, progress)
        except BaseException:
            results.warnings.append(
                "The run was stopped before its end: layers are missing, also from the sums."
            )
            live.update("", refresh=console.is_terminal)
            _show(console, results)
            raise
        finally:  # what was measured is kept, whatever stops it
            if arguments.json and results.rows:
                writing(arguments.json, results.save)
        wanted = arguments.studies or (USUAL_STUDIES if arguments.html or arguments.pictures else ())
        if wanted:
            study(results, wanted, lambda text: live.update(f"... {text}", refresh=console.is_terminal))
    _show(console, results)
    if len(jobs) == 1 and (
        absent := [runner.name for runner in session.runners if not results.of(runner=runner.name)]
    ):
        console.print(f"Without times, as they cannot do this layer: {', '.join(absent)}", markup=False)
    return results, int(session.wrong)


def _refuse_measuring(arguments: argparse.Namespace) -> None:
    """With ``--load`` nothing is measured, so nothing may say what."""
    for name in (
        "operation",
        "network",
        "batch",
        "backends",
        "algorithms",
        "peers",
        "threads",
        "busy",
        "studies",
    ):
        if getattr(arguments, name) not in (None, 0, ()):
            raise CommandError(f"--load measures nothing: {name} is not for it")


def _load(path: Path) -> Results:
    try:
        return Results.load(path)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from None


def _show(console: Console, results: Results) -> None:
    """Who is fastest; then the table of every layer, and of the sums where there are several."""
    if not results.rows:
        return
    several = len({(row.group, row.layer) for row in results.rows}) > 1
    console.print(Text(Summary(results).headline(), "bold"), "", soft_wrap=True)
    if several:
        console.print(overview_table(results), "")
    for group in results.groups:
        for layer in results.layers(group):
            console.print(layer_table(results, group, layer), "")
    if several:
        console.print(network_table(results), "")
    if results.threading:
        console.print(*threading(results), sep="\n", markup=False)


def _jobs(arguments: argparse.Namespace) -> list[Job]:
    return [Job(group or ONE_LAYER, layer, count) for group, layer, count in chosen_layers(arguments)]


def _backends(arguments: argparse.Namespace) -> Sequence[BackendName]:
    names: Sequence[BackendName] = arguments.backends or (fastconv.get_backend(),)
    if "all" in names:
        names = fastconv.available_backends()
    for name in names:
        backends.load(name)
    return names


def _algorithms(arguments: argparse.Namespace) -> Sequence[str]:
    names: Sequence[str] = arguments.algorithms or ()
    if "all" not in names:
        return names
    return (
        UNFOLD,
        *(name for name in fastconv.algorithms("cython") if name != "direct"),
    )  # which stands for others


def _try(layer: Layer, backend: BackendName, settings: Settings) -> None:
    """Refuse an impossible layer, in fastconv's own words, before anything is loaded or measured."""
    try:
        prepared = BackendRunner(backend).prepare(layer, layer.arrays(settings.dtype), settings)
        if prepared is not None:
            prepared.run()
    except ValueError as error:
        raise CommandError(str(error)) from None


def _limits(live: Live, threads: int) -> tuple[Limits | None, list[str]]:
    """The machine's, and warnings; measured again where it was busy the last time, as the limits were too low then."""
    known = cached_limits()
    if known is not None and known.threads < threads:
        known = None
    if known is not None and known.noise <= LIMITS_NOISE:
        return known, []
    live.update("... measuring the machine's limits", refresh=live.console.is_terminal)
    try:
        limits = measure_limits(threads)
    except (fastconv.BackendUnavailableError, RuntimeError, MemoryError) as error:
        return known, [f"The machine's limits could not be measured: {error}"]
    if known is not None and known.noise < limits.noise:
        return known, []
    told: list[str] = []
    if threads == fastconv.get_num_threads():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            save_limits(limits)
        told = [str(warning.message) for warning in caught]
    return limits, told


def _check_files(arguments: argparse.Namespace) -> None:
    """Refuse a bad file before the work rather than after it."""
    for name in ("json", "html", "markdown", "pictures"):
        path: Path | None = getattr(arguments, name)
        if path is not None:
            check_target(f"--{name}", path, is_folder=name == "pictures")
    for name in ("load", "compare"):
        path = getattr(arguments, name)
        if path is not None and not path.is_file():
            if path.is_dir():
                raise CommandError(f"--{name} needs a file, but {path} is a folder")
            if path.exists():
                raise CommandError(f"--{name} needs a file, but {path} is a device or a pipe")
            raise CommandError(f"--{name} cannot be read: there is no file {path}")
    named: dict[Path, str] = {}
    for name in ("load", "compare", "json", "html", "markdown"):
        path = getattr(arguments, name)
        other = path and named.setdefault(path.resolve(), name)
        if path and other != name and (other, name) != ("load", "compare"):
            raise CommandError(f"--{name} and --{other} are the same file, {path}")


def _write(arguments: argparse.Namespace, results: Results, console: Console) -> None:
    def written(what: str, path: Path) -> None:
        console.print(f"{what}: {printable(str(path.resolve()))}", soft_wrap=True, markup=False)

    def markdown(path: Path) -> None:
        text = markdown_tables(results)
        if results.threading:
            text += "\n".join(["", "### Threads of the pool and of OpenMP", "", *threading(results)])
        path.write_text(text, encoding="utf-8")

    def pictures(folder: Path) -> None:
        for path in save_pictures(results, folder):
            written("Picture", path)

    if arguments.json:
        writing(arguments.json, results.save)
        written("Results", arguments.json)
    if arguments.markdown:
        writing(arguments.markdown, markdown)
        written("Tables", arguments.markdown)
    if arguments.pictures:
        writing(arguments.pictures, pictures)
    if arguments.html:
        writing(arguments.html, partial(write_report, results))
        written("Report", arguments.html)
