"""What `hardy run` does with a finished experiment that says `register:`."""

from collections.abc import Sequence
from dataclasses import replace

from hardy.core.errors import RegistryError
from hardy.data.open import open_dataset
from hardy.engine.supply import WEIGHTS
from hardy.methods.training_spec import TrainingSpec
from hardy.models.build import build_model
from hardy.plan.inputs import Located, Samples
from hardy.registry.promote import promote, prune
from hardy.registry.register import Registered, known, register
from hardy.registry.spec import Policy
from hardy.results.stored import UnitResult
from hardy.tracking import default_tracker


def compete(policy: Policy, results: Sequence[UnitResult], run_id: str) -> list[str]:
    """Register the results of a run, let the version compete, and say what came of it.

    Args:
        policy: The registered model and its gates.
        results: The run's finished units.
        run_id: The run that the version belongs to.

    Raises:
        RegistryError: If the runs may not compete.
        TrackingError: If the store refuses.
    """
    registered = known(results, policy) or _register(policy, results, run_id)
    verb = "is registered already as" if registered.reused else "registered as"
    verdict = promote(policy, registered.version)
    deleted = prune(policy)
    gone = [f"deleted old version(s) {', '.join(deleted)}"] if deleted else []
    return [f"{verb} {registered.uri}", *verdict.lines(), *gone]


def _register(policy: Policy, results: Sequence[UnitResult], run_id: str) -> Registered:
    planned = results[0].planned
    experiment, located = planned.unit.experiment, planned.located
    if isinstance(experiment.method, TrainingSpec):
        located = _trained(results)
        results = [_as_measured(result, experiment.method) for result in results]
    dataset = open_dataset(experiment.data)
    # Built anew: what the run's own model holds now is the method's business.
    model = build_model(
        experiment.model,
        dataset.model_indices,
        classes=dataset.classes,
        seed=experiment.seed,
        located=located,
    )
    main = experiment.method.kind
    return register(results, model, dataset.classes, policy, main=main, run_id=run_id)


def _trained(results: Sequence[UnitResult]) -> Located:
    """Return the weights that a training left.

    Raises:
        RegistryError: If there are several trainings.
    """
    if len(results) > 1:
        message = f"{len(results)} runs trained {len(results)} models: a version is one model"
        raise RegistryError(message, hint="Narrow the matrix to one run with --set.")
    run_id = results[0].run_id
    return Located(default_tracker().artifact(run_id, WEIGHTS), f"run:{run_id}")


def _as_measured(result: UnitResult, method: TrainingSpec) -> UnitResult:
    """Return a training's result with the samples that its records are of, not those it saw."""
    experiment = result.planned.unit.experiment
    dataset = open_dataset(method.validate_on.data(experiment.data, experiment.seed))
    samples = Samples(dataset.digest, len(dataset.samples))
    return replace(result, planned=replace(result.planned, samples=samples))
