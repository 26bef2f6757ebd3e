"""A search's test samples: planned from the first, and seen by no trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardy.core.errors import DataError
from hardy.data.leaks import leaks
from hardy.spec import Resolved, Unit
from hardy.spec.search.units import tested

if TYPE_CHECKING:
    from hardy.plan.units import PlannedUnit


def tests_of(resolved: Resolved) -> list[Unit]:
    """Return a search's units on its test samples."""
    search = resolved.search
    if search is None:
        return []
    return [tested(search, unit, f"{unit.experiment.name}/test") for unit in resolved.units]


def check_unseen(trial: PlannedUnit, test: PlannedUnit) -> None:
    """Make sure that no trial sees an image of the test samples.

    Raises:
        DataError: If one does; the message names it.
    """
    name, unseen = trial.unit.experiment.name, test.samples["answer"].dataset
    seen = {f"to {role}": each.dataset for role, each in trial.samples.items()}
    seen |= {f"as {other} was trained on it": each for other, each in trial.trained_on.items()}
    for why, dataset in seen.items():
        found = leaks(dataset, unseen) if dataset is not None and unseen is not None else []
        if found:
            other, own = found[0]
            message = (
                f"{len(found)} test images of {name} are among those that its trials see, such as "
                f"{own}, which is {other} ({why})"
            )
            hint = "Give search.test_on another split, or another part of data.partition."
            raise DataError(message, hint=hint)
