"""Makes a version of a registered model from the runs of one experiment, and lets it compete."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from hardy._version import __version__
from hardy.core.errors import ArtifactAbsent, RegistryError
from hardy.data.open import open_dataset
from hardy.engine.setup import model_on
from hardy.models.model import Model
from hardy.models.spec import ModelSpec
from hardy.models.state import FITTED as RUN_FITTED
from hardy.models.state import MANIFEST, manifest_of
from hardy.models.state import WEIGHTS as RUN_WEIGHTS
from hardy.models.weights import Located
from hardy.plan.tracker import EXPERIMENT_TAG
from hardy.plan.units import OWN_WEIGHTS, PlannedUnit
from hardy.registry.bundle import Card, copy_fitted, joint_fingerprint, write_bundle, write_weights
from hardy.registry.gates import DATA, KEY
from hardy.registry.package import save_pyfunc
from hardy.registry.promote import promote, prune
from hardy.registry.spec import Policy
from hardy.registry.versions import (
    FINGERPRINT_TAG,
    WEIGHTS_TAG,
    lock,
    versions,
)
from hardy.results.stored import StoredUnit
from hardy.spec.experiment import Experiment
from hardy.spec.policies import refusal
from hardy.tasks.base import Task
from hardy.tasks.build import task_on
from hardy.tasks.names import GENERAL
from hardy.tasks.summary import summarise
from hardy.tracking.heartbeat import HEARTBEAT_TAG, stamp
from hardy.tracking.store import connect, translated


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes:
        model: Name of the registered model.
        version: Its number, as text.
        reused: Whether an earlier version of the same fingerprint stood in.
    """

    model: str
    version: str
    reused: bool

    @property
    def uri(self) -> str:
        """What to hand to `mlflow.pyfunc.load_model` or `hardy predict`."""
        return f"models:/{self.model}/{self.version}"


def compete(policy: Policy, units: Sequence[StoredUnit], run_id: str) -> tuple[list[str], str]:
    """Register the units of a run, let the version compete, and say what came of it.

    Returns:
        Lines of text, and the address of the version: by the policy's alias where it holds that.

    Args:
        policy: The registered model and its gates.
        units: The run's finished units.
        run_id: The run that the version belongs to.

    Raises:
        RegistryError: If the runs may not compete.
        TrackingError: If the store refuses.
    """
    registered = known(units, policy) or _built_and_registered(policy, units, run_id)
    verb = "is registered already as" if registered.reused else "registered as"
    verdict = promote(policy, registered.version)
    deleted = prune(policy)
    gone = [f"deleted old version(s) {', '.join(deleted)}"] if deleted else []
    holds = verdict.is_holder or verdict.promoted
    uri = f"models:/{policy.model}@{policy.alias}" if holds else registered.uri
    return [f"{verb} {registered.uri}", *verdict.lines(), *gone], uri


def known(units: Sequence[StoredUnit], policy: Policy) -> Registered | None:
    """Return the version that these runs were registered as before, if any."""
    return _known(connect(), policy.model, joint_fingerprint([u.fingerprint for u in units]))


def _built_and_registered(policy: Policy, units: Sequence[StoredUnit], run_id: str) -> Registered:
    experiment = _only_experiment(units, policy)
    first = units[0]
    if first.planned is None:
        message = f"{first.name}: it is not known where the weights of run {first.run_id} are"
        raise RegistryError(message, hint="Run the experiment; a finished run is reused.")
    dataset = first.planned.own.dataset or open_dataset(experiment.data)
    task = task_on(experiment.task, dataset)
    # Built anew: what the run's own model holds now is the method's business.
    model = model_on(
        _model(experiment), _weights(first, first.planned), dataset, task, seed=experiment.seed
    )
    return register(units, model, task, policy, run_id=run_id, fitted=_fitted(first))


def _model(experiment: Experiment) -> ModelSpec:
    """Return the model part; what a run left is taken as a whole, whatever it began with."""
    if not experiment.method.yields_weights:
        return experiment.model
    return experiment.model.model_copy(update={"weights": experiment.model.weights.whole()})


def _weights(unit: StoredUnit, planned: PlannedUnit) -> Located:
    """Return the weights that a version holds: what its run left, or else what it began with."""
    if unit.experiment.method.yields_weights:
        return Located(unit.store.artifact(unit.run_id, RUN_WEIGHTS), f"run:{unit.run_id}")
    return planned.located[OWN_WEIGHTS]


def _fitted(unit: StoredUnit) -> Path | None:
    """Return the file of what the method fitted beside a network; None where there is none."""
    if "fit" not in unit.experiment.method.roles():
        return None
    try:
        files = manifest_of(unit.store.artifact(unit.run_id, MANIFEST))
    except ArtifactAbsent:
        if unit.experiment.method.yields_weights:
            return None  # a run from before there were manifests left its network alone
        raise
    return unit.store.artifact(unit.run_id, RUN_FITTED) if RUN_FITTED in files else None


def register(
    units: Sequence[StoredUnit],
    model: Model,
    task: Task,
    policy: Policy,
    *,
    run_id: str,
    fitted: Path | None = None,
) -> Registered:
    """Register the model and the method of some runs, with their records as evidence.

    Args:
        units: Finished units of one model and one method.
        model: The model as the version answers with it, unadapted.
        task: What an answer is, with the names of the dataset.
        policy: Names the registered model, and who may compete.
        run_id: Run that the version belongs to; the parent where there are several units.
        fitted: File of what the method fitted beside the network.

    Raises:
        RegistryError: If the runs may not compete, or are not of one model and one method.
        TrackingError: If the store refuses; nothing is left half-registered.
    """
    experiment = _only_experiment(units, policy)
    evidence = join_evidence(units)
    client = connect()
    fingerprints = tuple(sorted(unit.fingerprint for unit in units))
    with lock(policy.model), tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
        earlier = _known(client, policy.model, joint_fingerprint(fingerprints))
        if earlier is not None:
            return earlier
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        card = Card(
            experiment=experiment.name,
            model=experiment.model,
            method=experiment.method,
            main=units[0].main,
            task=experiment.task,
            names=task.names,
            void=task.void,
            model_indices=model.model_indices,
            class_texts=model.class_texts,
            preprocess=model.preprocess,
            seed=experiment.seed,
            precision=experiment.precision,
            weights_sha256=write_weights(model.network, folder),
            fitted_sha256=copy_fitted(fitted, folder),
            data_digests=tuple(sorted({unit.answered_digest for unit in units})),
            fingerprints=fingerprints,
        )
        write_bundle(folder, card, evidence)
        tags = _tags(card, summarise(task, evidence, card.main, votes=card.method.votes()))
        return _publish(client, policy, card, folder, run_id, tags)


def join_evidence(units: Sequence[StoredUnit]) -> pd.DataFrame:
    """Return the records of all units, with the digest of the data that each row comes from.

    Raises:
        RegistryError: If two units recorded the same sample under the same shift.
    """
    frames = [unit.frame.assign(**{DATA: unit.answered_digest}) for unit in units]
    joined = pd.concat(frames, ignore_index=True)
    twice = int(joined.duplicated(KEY).sum())
    if twice:
        message = f"{twice} samples were recorded twice under the same shift"
        hint = "Register one seed and one setting at a time: narrow the matrix with --set."
        raise RegistryError(message, hint=hint)
    return joined


def _only_experiment(units: Sequence[StoredUnit], policy: Policy) -> Experiment:
    """Return the experiment that stands for all units, once they may compete as one version."""
    if not units:
        message = f"there is no run to register as {policy.model!r}"
        raise RegistryError(message, hint="Run the experiment first.")
    experiments = [unit.experiment for unit in units]
    refused = refusal(policy, experiments)
    if refused is not None:
        message, expected = refused
        raise RegistryError(message, hint=f"It wants {expected}.")
    return experiments[0]


def _known(client: MlflowClient, model: str, mark: str) -> Registered | None:
    for version in versions(client, model):
        if version.tags.get(FINGERPRINT_TAG) == mark:
            return Registered(model, str(version.version), reused=True)
    return None


def _tags(card: Card, metrics: dict[str, float]) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: card.fingerprint,
        WEIGHTS_TAG: card.weights_sha256,
        EXPERIMENT_TAG: card.experiment,
        "hardy.data_digest": card.data_digest,
        "hardy.method": card.method.kind,
        "hardy.model": card.model.name,
        "hardy.version": __version__,
        **{f"hardy.metric.{n}": f"{metrics[n]:.6g}" for n in _tagged(card) if n in metrics},
    }


def _tagged(card: Card) -> list[str]:
    """Return the metrics that a version's tags state: those that one wants more of, or less."""
    directed = [n for n, m in card.task.metrics.items() if m.higher_is_better is not None]
    return [*directed, *GENERAL]


def _publish(
    client: MlflowClient,
    policy: Policy,
    card: Card,
    bundle: Path,
    run_id: str,
    tags: dict[str, str],
) -> Registered:
    """Upload the model, then make the version with all its tags in one step."""
    with translated(client.tracking_uri), _logged_model(client, run_id, card) as model_id:
        target, task = bundle.parent / "model", card.build_task()
        saved = save_pyfunc(bundle, target, task=task, run_id=run_id, model_id=model_id)
        client.log_model_artifacts(model_id, str(saved))
        logged = client.finalize_logged_model(model_id, "READY")
        if not client.search_registered_models(f"name='{policy.model}'"):
            client.create_registered_model(policy.model, description=policy.description)
        version = client.create_model_version(
            policy.model,
            source=logged.artifact_location,
            run_id=run_id,
            tags=tags,
            description=f"{card.method.kind} on {card.model.name}, from {card.experiment}",
            model_id=model_id,
        )
        with _deleted_on_failure(client, policy.model, str(version.version)):
            client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return Registered(policy.model, str(version.version), reused=False)


@contextmanager
def _logged_model(client: MlflowClient, run_id: str, card: Card) -> Iterator[str]:
    """Make a logged model that is deleted again if the block fails."""
    run = client.get_run(run_id)
    params = {"model": card.model.name, "method": card.method.kind}
    model = client.create_logged_model(
        run.info.experiment_id,
        name="model",
        source_run_id=run_id,
        params=params,
        tags={HEARTBEAT_TAG: stamp()},  # whose it is, should this process be killed
    )
    try:
        yield model.model_id
    except BaseException:
        client.delete_logged_model(model.model_id)
        raise


@contextmanager
def _deleted_on_failure(client: MlflowClient, model: str, version: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        client.delete_model_version(model, version)
        raise
