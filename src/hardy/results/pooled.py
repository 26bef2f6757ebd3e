"""The samples of several units as one table: what a matrix is measured on as a whole.

A metric of all samples together is no mean of the units' metrics where it is no mean over samples:
the calibration error of 60 samples is less than the mean of three errors of 20. Plain names are
those of all samples together, in a parent's metrics, in tables and in the gates of the registry;
a mean over units is called so.
"""

from collections.abc import Sequence

import pandas as pd

from hardy.measure.records import BASE
from hardy.results.stored import StoredUnit
from hardy.spec.policies import ALIKE


def pooled(units: Sequence[StoredUnit]) -> pd.DataFrame | None:
    """Return the records of units together; None where they are not one model's on more samples.

    They are where the units differ in their data alone, and none saw what another saw.
    """
    first = units[0].experiment
    if any(
        getattr(unit.experiment, part) != getattr(first, part) for unit in units for part in ALIKE
    ):
        return None
    frame = joined(units)
    return None if frame.duplicated(list(BASE)).any() else frame


def joined(units: Sequence[StoredUnit]) -> pd.DataFrame:
    """Return the records of units below each other, in order."""
    return pd.concat([unit.frame for unit in units], ignore_index=True)
