"""Where weights lie that experiments begin with: runs, and registered versions.

MLflow is met at the first question, so that a plan without such weights does not wait for it.
"""

import os
import shutil
from functools import cached_property
from pathlib import Path
from uuid import uuid4

from hardy.core.errors import RegistryError
from hardy.core.hashing import file_sha256
from hardy.core.paths import safe_name, state_dir
from hardy.models.weights import Located
from hardy.plan.tracker import Finder, Stores, Tracker
from hardy.tracking import default_finder, default_tracker


def default_stores() -> Stores:
    """Return hardy's own store of runs and its registry."""
    return MlflowStores()


class MlflowStores:
    """Runs and registered models in MLflow, each asked once for a thing."""

    @cached_property
    def finder(self) -> Finder:
        """What looks into the store of runs."""
        return default_finder()

    @cached_property
    def _tracker(self) -> Tracker:
        return default_tracker()

    def run_file(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file of a run; do not change it.

        Raises:
            TrackingError: If the run or the artifact is absent.
        """
        return self._tracker.artifact(run_id, path)

    def version(self, name: str, which: str) -> Located:
        """Return a local copy of the weights of a registered version.

        Raises:
            RegistryError: If there is no such version, or its weights are not the registered ones.
            TrackingError: If the store cannot be reached.
        """
        return locate_version(f"models:/{name}/{which}")


def locate_version(uri: str) -> Located:
    """Return a local copy of a version's weights, kept below the home under its SHA-256.

    Args:
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        RegistryError: If there is no such version, or its weights are not the registered ones.
        TrackingError: If the store cannot be reached.
    """
    from hardy.registry.bundle import CARD, WEIGHTS, read_card
    from hardy.registry.versions import WEIGHTS_TAG, check_origin, fetched, find, parse
    from hardy.tracking.store import connect

    client = connect()
    version = find(client, *parse(uri))
    tagged = safe_name(version.tags.get(WEIGHTS_TAG, "untagged"), what="digest of weights")
    kept = state_dir() / "weights" / f"{tagged}.safetensors"
    if not _is_sound(kept, tagged):
        with fetched(client, version) as folder:
            check_origin(read_card(folder / CARD), version)
            _keep(folder / WEIGHTS, kept)
    if not _is_sound(kept, tagged):
        message = f"{uri}: the weights do not have the SHA-256 {tagged} that the registry states"
        raise RegistryError(message, hint="The files were exchanged: do not use this version.")
    return Located(kept, f"sha256:{tagged}")


def _is_sound(file: Path, sha256: str) -> bool:
    return file.is_file() and file_sha256(file) == sha256


def _keep(source: Path, target: Path) -> None:
    """Copy a file to its place at once: a reader sees all of it or nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{uuid4().hex}")
    shutil.copyfile(source, draft)
    os.replace(draft, target)  # noqa: PTH105 - atomic on every system
