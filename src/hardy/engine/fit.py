"""Fitting: what a method learns before it answers, and the files that it becomes.

The files are written whole, first to this machine and then to the run, their manifest last. Every
process that answers reads them, this one too, so that one and several processes cannot differ, and
a run that was stopped while it answered learns nothing anew.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from hardy.core.cache import default_cache
from hardy.core.errors import WeightsError
from hardy.core.files import write_whole
from hardy.core.hashing import digest
from hardy.core.paths import safe_name, state_dir
from hardy.data.dataset import Dataset
from hardy.data.item import Targets
from hardy.data.loader import Images, all_broken, broken
from hardy.data.pipeline import BadSample, loader
from hardy.data.view_spec import Identity
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.device import spread
from hardy.engine.progress import Reporter
from hardy.engine.setup import Setup
from hardy.engine.train import Training, train
from hardy.methods.base import Method, Subject
from hardy.methods.base_spec import Role
from hardy.methods.fitting import Fits, Learner
from hardy.models.state import MANIFEST, manifest_of, read_fitted, write_fitted
from hardy.plan.tracker import Run

# Of those that were not learned from, beside what was learned: a run that goes on names them too.
_LEFT_OUT = "left-out.json"
_META = "left_out"


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
    """
    if not isinstance(setup.method, Fits) or "fit" not in setup.data:
        return None
    folder = fitted_folder(run.run_id)
    if not _is_whole(folder):
        found = setup.method.fit(_Work(setup, checkpoint, run, reporter))
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


class _Work:
    """What a method may ask of the engine: see `hardy.methods.fitting.Work`."""

    def __init__(self, setup: Setup, checkpoint: Checkpoint, run: Run, reporter: Reporter) -> None:
        self.seed = setup.experiment.seed
        self.device: torch.device = setup.fabric.device
        self.task = setup.task
        self._setup = setup
        self._checkpoint = checkpoint
        self._run = run
        self._reporter = reporter
        self._name = setup.experiment.name
        self._image_memory = setup.experiment.compute.image_memory * 10**6  # that is left

    @property
    def _workers(self) -> int:
        size, device = self._setup.model.preprocess.side, self.device.type
        return spread(self._setup.experiment, size, device).workers

    def data(self, role: Role) -> Dataset:
        """Return a role's samples."""
        return self._setup.data[role]

    def images(self, role: Role) -> Images:
        """Return a role's images in batches."""
        if self._setup.skips:
            what = {"fit": "training", "validate": "validation"}.get(role, role)
            self._reporter.unit(
                f"{self._name}: reads {what} samples", len(self._setup.data[role].samples)
            )
        found = Images(
            self._setup.pipeline(role, views=Identity()),
            self.device,
            budget=self._image_memory,
            workers=self._workers,
            skip=self._setup.skips,
            hear=lambda done: self._reporter.sample(done, ""),
        )
        self._image_memory -= found.room
        for item in found.left_out:
            self._setup.left_out.add(role, item)
        return found

    def subjects(self, role: Role) -> Iterator[tuple[Subject, Targets]]:
        """Yield a role's samples one by one."""
        bad: list[BadSample] = []
        with closing(loader(self._setup.pipeline(role), self._workers)) as samples:
            for item in samples:
                if isinstance(item, BadSample):
                    if not self._setup.skips:
                        raise broken(item)
                    bad.append(item)
                    self._setup.left_out.add(role, item)
                    continue
                with self._setup.fabric.autocast():
                    yield self._setup.subject(item), item.targets
        if len(bad) == len(self._setup.data[role].samples):
            raise all_broken(bad)

    def train(self, learner: Learner, fit: Images, validate: Images) -> None:
        """Train; the learner is left with the weights to keep."""
        parts = (self._setup.fabric, self._run, self._reporter, self._name)
        train(Training(learner, fit, validate, *parts), self._checkpoint)

    def kept(
        self,
        kind: str,
        key: Any,  # noqa: ANN401 - any JSON value
        make: Callable[[], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """Return what `make` gives, from the cache where the same was made before."""
        experiment = self._setup.experiment
        known_by = {
            "samples": self._setup.data["fit"].digest,
            "shift": experiment.data.shift_label,
            "weights": [located.identity for located in self._setup.located.values()],
            "model": experiment.model.identity(),
            "seed": experiment.seed,
            "precision": experiment.precision,
            "key": key,
            # Another run that may skip none is not to find what was made without some.
            **({"on_bad_sample": "skip"} if self._setup.skips else {}),
        }

        def made() -> bytes:
            tensors = _contiguous(make())
            beside = {_META: self._setup.left_out.dump()} if self._setup.skips else None
            return bytes(save(tensors, beside))

        content = default_cache().through(kind, digest(known_by), made, once=True)
        self._setup.left_out.read(_metadata(content).get(_META, "[]"))
        return dict(load(content))

    def log(self, values: Mapping[str, float]) -> None:
        """Log metrics of the run."""
        self._run.metrics(values)

    def say(self, news: str) -> None:
        """Tell the user."""
        self._reporter.say(f"{self._name}: {news}")


def _metadata(content: bytes) -> dict[str, str]:
    """Return what stands beside the tensors of a safetensors file's bytes."""
    size = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
