"""Is anything tried on what it was trained or fitted on? Asked by the images' content."""

from hardy.data.dataset import Dataset
from hardy.data.held_out_spec import HeldOut
from hardy.data.leaks import check_apart
from hardy.data.open import open_dataset
from hardy.plan.units import PlannedUnit
from hardy.spec.experiment import Experiment


def check_leaks(planned: PlannedUnit, dataset: Dataset) -> None:
    """Compare a unit's samples with those that its weights were fitted on."""
    check_apart(planned.unit.experiment.name, {"answer": dataset}, planned.trained_on)


def open_apart(held_out: HeldOut, experiment: Experiment, own: Dataset) -> Dataset:
    """Open an experiment's held-out samples, which are to be others than its own."""
    dataset = open_dataset(held_out.data(experiment.data, experiment.seed))
    check_apart(experiment.name, {"fit": own, "validate": dataset})
    return dataset
