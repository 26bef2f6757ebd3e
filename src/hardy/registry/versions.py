"""Reading the model registry: versions, aliases, and the files of a version."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion

from hardy.core.catalog import did_you_mean
from hardy.core.errors import RegistryError, SpecError
from hardy.core.paths import safe_name, state_dir
from hardy.measure.records import read_parquet
from hardy.registry.bundle import CARD, EVIDENCE, Card, read_card
from hardy.registry.verdict import Evidence
from hardy.spec import load_policy
from hardy.spec.policies import policy_names
from hardy.tracking.moved import beside
from hardy.tracking.store import local_database, translated

FINGERPRINT_TAG = "hardy.fingerprint"
WEIGHTS_TAG = "hardy.weights_sha256"

_LOCK_SECONDS = 300
_PAGE = 200


def lock(model: str) -> FileLock:
    """Return the lock under which this machine changes a registered model."""
    path = state_dir() / f"registry-{safe_name(model, what='registered model')}.lock"
    return FileLock(path, timeout=_LOCK_SECONDS)


def versions(client: MlflowClient, model: str) -> list[ModelVersion]:
    """Return all versions of a model, the newest first; none if there is no such model."""
    filter_string = f"name='{safe_name(model, what='registered model')}'"
    found: list[ModelVersion] = []
    token: str | None = None
    with translated(client.tracking_uri):
        while True:
            page = client.search_model_versions(filter_string, max_results=_PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                return sorted(found, key=lambda version: -int(version.version))


def aliases(client: MlflowClient, model: str) -> dict[str, str]:
    """Return the version number by alias of a model that exists."""
    with translated(client.tracking_uri):
        return {k: str(v) for k, v in client.get_registered_model(model).aliases.items()}


def model_tags(client: MlflowClient, model: str) -> dict[str, str]:
    """Return the tags of a model that exists."""
    with translated(client.tracking_uri):
        return dict(client.get_registered_model(model).tags)


def find(client: MlflowClient, model: str, reference: str | None = None) -> ModelVersion:
    """Find a version by number or alias; the newest if neither is given.

    Raises:
        RegistryError: If there is no such model, version or alias; the hint names near ones.
    """
    held = {str(version.version): version for version in versions(client, model)}
    if not held:
        raise _unknown_model(client, model)
    number = next(iter(held)) if reference is None else reference
    if number not in held:
        names = aliases(client, model)
        number = names.get(number, number)
        if number not in held:
            raise _unknown_reference(model, number, names, list(held))
    return held[number]


def _unknown_model(client: MlflowClient, model: str) -> RegistryError:
    with translated(client.tracking_uri):
        known = [m.name for m in client.search_registered_models(max_results=_PAGE)]
    if model in known:
        message = f"the registered model {model!r} has no version"
        return RegistryError(message, hint="Run an experiment with `register:` to make one.")
    listing = f"Registered models: {', '.join(known) or 'none yet'}."
    message = f"there is no registered model {model!r}"
    return RegistryError(message, hint=_maker(model) or did_you_mean(model, known) or listing)


def _maker(model: str) -> str:
    """Say which experiments register a model, if a policy of the project does."""
    for name in policy_names():
        try:
            policy = load_policy(name)
        except SpecError:
            continue  # another model's fault is no reason to say nothing of this one
        if policy.model == model:
            makers = ", ".join(policy.candidates.experiments)
            return f"A run of {makers} registers it: start one with `hardy run`."
    return ""


def _unknown_reference(
    model: str, reference: str, names: dict[str, str], numbers: list[str]
) -> RegistryError:
    kind = "version" if reference.isdecimal() else "alias"
    message = f"the registered model {model!r} has no {kind} {reference!r}"
    listing = f"Aliases: {', '.join(names) or 'none'}. Versions: {', '.join(numbers)}."
    return RegistryError(message, hint=did_you_mean(reference, names) or listing)


@contextmanager
def fetched(client: MlflowClient, version: ModelVersion) -> Iterator[Path]:
    """Give a temporary local copy of a version's bundle."""
    with tempfile.TemporaryDirectory(prefix="hardy-") as folder:
        uri = client.tracking_uri
        with translated(uri):
            root = client.get_model_version_download_uri(version.name, version.version)
            source = beside(f"{root.rstrip('/')}/artifacts", local_database(uri))
            download_artifacts(artifact_uri=source, dst_path=folder, tracking_uri=uri)
        found = next(iter(sorted(Path(folder).rglob(CARD))), None)
        if found is None:
            message = f"version {version.version} of {version.name!r} holds no {CARD}"
            raise RegistryError(message, hint="It was not registered by hardy.")
        yield found.parent


def evidence(client: MlflowClient, version: ModelVersion) -> Evidence:
    """Read the records that a version is judged by."""
    with fetched(client, version) as folder:
        card = read_card(folder / CARD)
        frame = read_parquet(folder / EVIDENCE)
        return Evidence(str(version.version), card.main, frame, card.build_task())


def check_origin(card: Card, version: ModelVersion) -> None:
    """Check that the files of a version are those that were registered.

    Raises:
        RegistryError: If the registry's tag names other weights than the card.
    """
    tagged = version.tags.get(WEIGHTS_TAG)
    if tagged != card.weights_sha256:
        message = (
            f"version {version.version} of {version.name!r}: the registry says that its weights "
            f"have SHA-256 {tagged}, its files say {card.weights_sha256}"
        )
        raise RegistryError(message, hint="The files were exchanged: do not use this version.")


_REFERENCE = re.compile(r"models:/(?P<model>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")


def parse(uri: str) -> tuple[str, str]:
    """Split `models:/NAME@ALIAS` or `models:/NAME/VERSION` into the name and what follows.

    Raises:
        RegistryError: If it has another form.
    """
    match = _REFERENCE.fullmatch(uri)
    if match is None:
        message = f"{uri!r} does not name a registered model"
        raise RegistryError(message, hint="Write models:/NAME@ALIAS or models:/NAME/VERSION.")
    return match["model"], match["version"] or match["alias"]
