"""The main job on real input: a photograph through filters, pooling and upsampling, on every backend.

Called by ``fastconv demo``; needs the ``demo`` extra (rich, pillow, scikit-image, matplotlib).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from fastconv import available_backends, backends, get_num_threads
from fastconv.commands.error import CommandError
from fastconv.demo.measure import Outcome, measure
from fastconv.demo.photo import load_photo
from fastconv.demo.sheet import SheetPicture, save_sheet, thumbnail
from fastconv.demo.steps import PHOTO, chain
from fastconv.demo.table import outcome_table, outcome_text
from fastconv.typing import BackendName

__all__ = ["run_demo"]


def run_demo(
    image: Path | None = None,
    output: Path = Path("fastconv-demo.png"),
    names: Sequence[BackendName] | None = None,
    size: int | None = None,
) -> int:
    """Run the demo: print the table, write the contact sheet.

    Parameters
    ----------
    image : Path, optional
        The picture file; scikit-image's astronaut by default.
    output : Path
        Where the contact sheet goes.
    names : sequence of str, optional
        The backends to run; all available ones by default.
    size : int, optional
        Length in pixels that the picture's longer side is scaled to; by default it stays as it is.

    Returns
    -------
    int
        0 where the backends agree, 1 where they do not.

    Raises
    ------
    CommandError
        If the picture cannot be read or the contact sheet cannot be written.
    fastconv.BackendUnavailableError
        If a backend that was asked for cannot be loaded.
    """
    _check_output(output, image)
    names = tuple(names or available_backends())
    for name in names:
        backends.load(name)
    photo = load_photo(image, size)

    # Text that is piped or logged has no width of its own; the table needs about this much.
    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    heading = f"{photo.description}; backends: {', '.join(names)}; threads: {get_num_threads()}\n"
    console.print(heading, soft_wrap=True, markup=False)
    results = {PHOTO: photo.pixels}
    pictures = [SheetPicture(photo.name, photo.pixels.shape, thumbnail(photo.pixels[0]))]
    outcomes: list[Outcome] = []
    steps = chain(*photo.pixels.shape[2:])
    # No spinner: its thread would disturb the times.
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for step in steps:
            live.update(f"... {step.title}", refresh=console.is_terminal)
            result, outcome = measure(step, results[step.source], names)
            outcomes.append(outcome)
            pictures.append(SheetPicture(step.title, result.shape, thumbnail(step.show(result))))
            if any(other.source == step.title for other in steps):
                results[step.title] = result

    console.print(outcome_table(outcomes, names), "")
    for line in outcome_text(outcomes, names):
        console.print(line, soft_wrap=True)
    save_sheet(pictures, output, f"fastconv demo: {photo.description}")
    console.print(f"Contact sheet: {output.resolve()}", soft_wrap=True, markup=False)
    return 0 if all(outcome.agrees for outcome in outcomes) else 1


def _check_output(output: Path, image: Path | None) -> None:
    """Refuse a bad ``output`` before the work rather than after it."""
    folder = output.resolve().parent
    if output.is_dir():
        raise CommandError(
            f"cannot write the contact sheet: {output} is a folder, --output needs a file name"
        )
    if not folder.is_dir():
        raise CommandError(f"cannot write the contact sheet: there is no folder {folder}")
    if not os.access(output if output.exists() else folder, os.W_OK):
        raise CommandError(
            f"cannot write the contact sheet: no permission to write {output}; choose another --output"
        )
    if image is not None and image.exists() and output.exists() and image.samefile(output):
        raise CommandError(
            f"the contact sheet would overwrite the photograph {image}; choose another --output"
        )
