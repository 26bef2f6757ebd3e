"""Was the model trained on what it is now tried on? Asked along a chain of dependencies."""

from hardy.core.errors import DataError
from hardy.data.dataset import Dataset
from hardy.data.leaks import leaks
from hardy.data.open import open_dataset
from hardy.plan.units import PlannedUnit


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
