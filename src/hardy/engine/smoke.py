"""The whole way with one sample of each unit."""

from dataclasses import replace

from hardy.data.spec import Subset
from hardy.spec import Resolved, Unit
from hardy.spec.experiment import Experiment


def smoke(resolved: Resolved) -> Resolved:
    """Return the same units on one sample each, with a picture of each kind at most.

    A method that cannot learn from one has the fewest that it can. What yields their weights is
    cut down likewise. Nothing is registered: one sample proves no model.
    """
    return replace(
        resolved,
        units=tuple(map(_unit, resolved.units)),
        members=tuple(map(smoke, resolved.members)),
        search=None,  # its spec alone
    )


def _unit(unit: Unit) -> Unit:
    needs = {path: _unit(source) for path, source in unit.needs.items()}
    return replace(unit, experiment=_one_sample(unit.experiment), needs=needs)


def _one_sample(experiment: Experiment) -> Experiment:
    whole = experiment.data.subset
    few = experiment.method.fewest
    subset = Subset(count=few, seed=whole.seed if whole else 0)
    pictures = experiment.explain
    gradcam = pictures.gradcam
    if gradcam is not None:
        gradcam = gradcam.model_copy(update={"count": min(gradcam.count, 1)})
    # A band of accuracies means nothing on one sample.
    data = {"subset": subset, "expect_source_accuracy": None}
    # Neither does a map, or how samples lie to each other.
    alone = {"similarity": None, "embedding": None, "latents": None}
    drawn = {"gradcam": gradcam, "view_grids": min(pictures.view_grids, 1), **alone}
    return experiment.model_copy(
        update={
            "data": experiment.data.model_copy(update=data),
            "method": experiment.method.shortest(),
            "explain": pictures.model_copy(update=drawn),
            "register_as": None,
            "compute": experiment.compute.model_copy(update={"devices": None, "nodes": None}),
        }
    )
