"""Which samples a person should look at."""

from typing import Literal

import numpy as np
import pandas as pd

from hardy.measure.records import column
from hardy.tasks.classify.metrics import correct

Rule = Literal["flips", "uncertain", "first"]


def choose(
    frame: pd.DataFrame, main: str, baseline: str | None, rule: Rule, count: int
) -> list[int]:
    """Return positions of up to `count` rows, chosen by a rule and never by hand.

    `flips` takes the rows whose correctness differs between the baseline and the main answer, in
    order, then the most uncertain; `uncertain` the highest entropy of the main answer; `first` the
    first in order. Ties go to the earlier row.

    Raises:
        DataError: If the table is empty or lacks an answer that the rule needs.
    """
    if rule == "first":
        return list(range(min(count, len(frame))))
    uncertain: list[int] = np.argsort(-column(frame, f"{main}.entropy"), kind="stable").tolist()
    if rule == "uncertain" or baseline is None:
        return uncertain[:count]
    flipped = np.flatnonzero(correct(frame, main) != correct(frame, baseline)).tolist()
    return list(dict.fromkeys([*flipped, *uncertain]))[:count]
