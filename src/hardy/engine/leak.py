"""Is anything tried on what it was trained or fitted on? Asked by the images' content."""

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset
from hardy.data.held_out_spec import HeldOut
from hardy.data.leaks import leaks
from hardy.data.open import open_dataset
from hardy.plan.units import PlannedUnit
from hardy.spec.experiment import Experiment


def check_leaks(planned: PlannedUnit, dataset: Dataset) -> None:
    """Compare a unit's samples with those of every unit that its weights come from, by content.

    Args:
        planned: The unit; `needs` leads to what its weights were trained by.
        dataset: Its samples, opened.

    Raises:
        DataError: If an image is in both; the message names one.
    """
    source = planned.needs
    while source is not None:
        experiment = source.unit.experiment
        found = leaks(open_dataset(experiment.data), dataset)
        if found:
            trained, tried = found[0]
            message = (
                f"{len(found)} images of {planned.unit.experiment.name} are among those that "
                f"{experiment.name} was trained on, such as {tried} ({trained} there)"
            )
            hint = "Give the two disjoint parts of the data: data.split or data.partition."
            raise DataError(message, hint=hint)
        source = source.needs


def open_apart(held_out: HeldOut, experiment: Experiment, own: Dataset) -> Dataset:
    """Open an experiment's held-out samples.

    Args:
        held_out: Which they are.
        experiment: Whose.
        own: Its other samples.

    Raises:
        DataError: If an image is among both; the message names one.
    """
    dataset = open_dataset(held_out.data(experiment.data, experiment.seed))
    found = leaks(own, dataset)
    if found:
        used, held = found[0]
        message = (
            f"{len(found)} held-out images of {experiment.name} are among its other samples, such "
            f"as {held} ({used} there)"
        )
        hint = "Give another split, or another part of data.partition."
        raise DataError(message, hint=hint)
    return dataset
