"""The weights of a registered version, for experiments that begin with them."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

from hardy.core.errors import RegistryError
from hardy.core.hashing import file_sha256
from hardy.core.paths import safe_name, state_dir
from hardy.plan.inputs import Located
from hardy.registry.bundle import CARD, WEIGHTS, read_card
from hardy.registry.versions import WEIGHTS_TAG, check_origin, fetched, find, parse
from hardy.tracking.store import connect


def locate_version(uri: str) -> Located:
    """Return a local copy of a version's weights, kept below the home under its SHA-256.

    Args:
        uri: `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        RegistryError: If there is no such version, or its weights are not the registered ones.
        TrackingError: If the store cannot be reached.
    """
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
