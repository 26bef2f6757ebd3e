"""Makes a version of a registered model from the runs of one experiment."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput

from hardy._version import __version__
from hardy.core.errors import RegistryError
from hardy.models.model import Model
from hardy.registry.bundle import Card, joint_fingerprint, write_bundle, write_weights
from hardy.registry.gates import DATA, KEY
from hardy.registry.package import save_pyfunc
from hardy.registry.spec import Policy
from hardy.registry.versions import FINGERPRINT_TAG, WEIGHTS_TAG, lock, versions
from hardy.results.stored import UnitResult
from hardy.spec.experiment import Experiment
from hardy.tasks.summary import summarise
from hardy.tracking.store import connect, translated

_METRICS = ("accuracy", "top5", "nll", "ece", "samples", "seconds_per_sample")


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


def known(results: Sequence[UnitResult], policy: Policy) -> Registered | None:
    """Return the version that these runs were registered as before, if any."""
    mark = joint_fingerprint([r.planned.fingerprint for r in results])
    return _known(connect(), policy.model, mark)


def register(
    results: Sequence[UnitResult],
    model: Model,
    classes: tuple[str, ...],
    policy: Policy,
    *,
    main: str,
    run_id: str,
) -> Registered:
    """Register the source model and the method of some runs, with their records as evidence.

    Args:
        results: Finished units of one model and one method.
        model: The source model, unadapted.
        classes: Class names in label order.
        policy: Names the registered model, and who may compete.
        main: The answer of the records that counts, such as `memo`.
        run_id: Run that the version belongs to; the parent where there are several units.

    Raises:
        RegistryError: If the runs may not compete, or are not of one model and one method.
        TrackingError: If the store refuses; nothing is left half-registered.
    """
    experiment = _only_experiment(results, policy)
    evidence = join_evidence(results)
    client = connect()
    mark = joint_fingerprint([r.planned.fingerprint for r in results])
    with lock(policy.model), tempfile.TemporaryDirectory(prefix="hardy-") as scratch:
        earlier = _known(client, policy.model, mark)
        if earlier is not None:
            return earlier
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        card = Card(
            experiment=experiment.name,
            model=experiment.model,
            method=experiment.method,
            main=main,
            classes=classes,
            model_indices=model.model_indices,
            class_texts=model.class_texts,
            preprocess=model.preprocess,
            seed=experiment.seed,
            precision=experiment.precision,
            weights_sha256=write_weights(model.network, folder),
            data_digests=tuple(sorted({r.planned.data_digest for r in results})),
            fingerprints=tuple(sorted(r.planned.fingerprint for r in results)),
        )
        write_bundle(folder, card, evidence)
        tags = _tags(card, summarise(evidence, main))
        return _publish(client, policy, card, folder, run_id, tags)


def join_evidence(results: Sequence[UnitResult]) -> pd.DataFrame:
    """Return the records of all units, with the digest of the data that each row comes from.

    Raises:
        RegistryError: If two units recorded the same sample under the same shift.
    """
    frames = [r.frame.assign(**{DATA: r.planned.data_digest}) for r in results]
    joined = pd.concat(frames, ignore_index=True)
    twice = int(joined.duplicated(KEY).sum())
    if twice:
        message = f"{twice} samples were recorded twice under the same shift"
        hint = "Register one seed and one setting at a time: narrow the matrix with --set."
        raise RegistryError(message, hint=hint)
    return joined


def _only_experiment(results: Sequence[UnitResult], policy: Policy) -> Experiment:
    """Return the experiment that stands for all units, once each is known to be a candidate."""
    if not results:
        message = f"there is no run to register as {policy.model!r}"
        raise RegistryError(message, hint="Run the experiment first.")
    experiments = [result.planned.unit.experiment for result in results]
    for experiment in experiments:
        _check_candidate(experiment, policy)
    first = experiments[0]
    for part in ("model", "method", "seed", "precision"):
        if any(getattr(e, part) != getattr(first, part) for e in experiments):
            message = f"the runs differ in {part}: a version is one model with one method"
            raise RegistryError(message, hint=f"Run one {part} at a time; see --set.")
    return first


def _check_candidate(experiment: Experiment, policy: Policy) -> None:
    globs = policy.candidates.experiments
    # A unit of a matrix is named after its experiment: `quickstart/contrast`.
    names = (experiment.name, experiment.name.rpartition("/")[0])
    if not any(fnmatchcase(name, glob) for name in names for glob in globs):
        message = (
            f"experiment {experiment.name!r} is not a candidate for {policy.model!r}, which takes "
            f"{', '.join(globs)}"
        )
        raise RegistryError(message, hint="Add it to candidates.experiments of the policy.")
    if experiment.data.dataset != policy.candidates.dataset:
        message = (
            f"experiment {experiment.name!r} was measured on {experiment.data.dataset}, the policy "
            f"of {policy.model!r} compares on {policy.candidates.dataset}"
        )
        raise RegistryError(message, hint="Compare on the same dataset, or use another policy.")


def _known(client: MlflowClient, model: str, mark: str) -> Registered | None:
    for version in versions(client, model):
        if version.tags.get(FINGERPRINT_TAG) == mark:
            return Registered(model, str(version.version), reused=True)
    return None


def _tags(card: Card, metrics: dict[str, float]) -> dict[str, str]:
    return {
        FINGERPRINT_TAG: card.fingerprint,
        WEIGHTS_TAG: card.weights_sha256,
        "hardy.experiment": card.experiment,
        "hardy.data_digest": card.data_digest,
        "hardy.method": card.method.kind,
        "hardy.model": card.model.name,
        "hardy.version": __version__,
        **{f"hardy.metric.{n}": f"{metrics[n]:.6g}" for n in _METRICS if n in metrics},
    }


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
        saved = save_pyfunc(bundle, bundle.parent / "model", run_id=run_id, model_id=model_id)
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
        run.info.experiment_id, name="model", source_run_id=run_id, params=params
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
