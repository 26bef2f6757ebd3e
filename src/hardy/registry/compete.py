"""What `hardy run` does with a finished experiment that says `register:`."""

from collections.abc import Sequence

from hardy.data.open import open_dataset
from hardy.engine.results import UnitResult
from hardy.models.build import build_classifier
from hardy.registry.promote import promote, prune
from hardy.registry.register import Registered, known, register
from hardy.registry.spec import Policy


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
    experiment = planned.unit.experiment
    dataset = open_dataset(experiment.data)
    # Built anew: what the run's own classifier holds now is the method's business.
    classifier = build_classifier(
        experiment.model, dataset.model_indices, seed=experiment.seed, located=planned.located
    )
    main = experiment.method.kind
    return register(results, classifier, dataset.classes, policy, main=main, run_id=run_id)
