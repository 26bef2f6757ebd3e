"""Fitting: what a method learns before it answers, and the files that it becomes.

The files are written whole, first to this machine and then to the run, their manifest last. Every
process that answers reads them, this one too, so that one and several processes cannot differ, and
a run that was stopped while it answered learns nothing anew.
"""

import shutil
from pathlib import Path

from hardy.core.errors import WeightsError
from hardy.core.files import write_whole
from hardy.core.paths import safe_name, state_dir
from hardy.engine.checkpoint import Checkpoint, room_for
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup
from hardy.engine.work import Work
from hardy.methods.base import Method
from hardy.methods.fitting import Fits
from hardy.models.state import MANIFEST, manifest_of, read_fitted, write_fitted
from hardy.plan.tracker import Run

# Of those that were not learned from, beside what was learned: a run that goes on names them too.
_LEFT_OUT = "left-out.json"


def fit(setup: Setup, checkpoint: Checkpoint, run: Run, reporter: Reporter) -> Path | None:
    """Let the method learn, unless it has in this run, and load what it learned from the files.

    Args:
        setup: The experiment's parts; the method is changed by what is loaded.
        checkpoint: Where a training stands.
        run: Takes the files, and whatever is measured.
        reporter: Told of samples read, and of steps.

    Returns:
        The folder of the files; None where the method learns nothing.

    Raises:
        SpecError: If the dataset lacks what the method learns from.
        DataError: If a sample is broken and the spec does not say `on_bad_sample: skip`.
        MethodError: If a loss is not finite.
        TrackingError: If the disk does not take what was learned.
    """
    if not isinstance(setup.method, Fits) or "fit" not in setup.data:
        return None
    folder = fitted_folder(run.run_id)
    if not _is_whole(folder):
        found = setup.method.fit(Work(setup, checkpoint, run, reporter))
        with room_for(folder):
            write_whole(folder / _LEFT_OUT, setup.left_out.dump().encode())
            write_fitted(folder, found)
    elif (folder / _LEFT_OUT).is_file():
        setup.left_out.read((folder / _LEFT_OUT).read_text(encoding="utf-8"))
    for path in (*manifest_of(folder / MANIFEST), MANIFEST):
        run.artifact(folder / path, path)
    load_fitted(setup.method, folder)
    return folder


def _is_whole(folder: Path) -> bool:
    """Tell whether all that a method fitted lies there as it was written."""
    try:
        read_fitted([folder / path for path in (*manifest_of(folder / MANIFEST), MANIFEST)])
    except (OSError, WeightsError):
        return False
    return True


def load_fitted(method: Method, folder: Path | None) -> None:
    """Give a method what it fitted, from its files.

    Raises:
        WeightsError: If a file is damaged.
    """
    if folder is not None and isinstance(method, Fits):
        files = (*manifest_of(folder / MANIFEST), MANIFEST)
        method.load(read_fitted([folder / path for path in files]))


def fitted_folder(run_id: str) -> Path:
    """Return where this machine keeps what a run's method fitted, until the run has finished."""
    return state_dir() / "fitted" / safe_name(run_id, what="run id")


def discard(run_id: str) -> None:
    """Delete what a run's method fitted, once it is safe in a finished run."""
    shutil.rmtree(fitted_folder(run_id), ignore_errors=True)
