"""Which samples a person should look at."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from hardy.explain.spec import Chosen

Rule = Literal["flips", "uncertain", "first"]


def choose(
    rule: Rule, count: int, uncertainty: np.ndarray, change: np.ndarray | None = None
) -> list[int]:
    """Return positions of up to `count` samples, chosen by a rule and never by hand.

    `flips` takes the samples whose score changed, the largest change first, then the most
    uncertain; `uncertain` the most uncertain; `first` the first in order. Ties go to the earlier
    sample.

    Args:
        rule: The rule.
        count: How many.
        uncertainty: Of the answer that is shown, (N,).
        change: By how much its score differs from the baseline's, (N,); None for no baseline.
    """
    if rule == "first":
        return list(range(min(count, len(uncertainty))))
    uncertain: list[int] = _falling(uncertainty)
    if rule == "uncertain" or change is None:
        return uncertain[:count]
    sizes = np.abs(np.asarray(change, np.float64))
    changed = [place for place in _falling(sizes) if sizes[place] > 0]
    return list(dict.fromkeys([*changed, *uncertain]))[:count]


def places_of(chosen: Chosen, samples: Sequence[str]) -> list[int]:
    """Return the positions of samples that are chosen by id, each once, in that order.

    Args:
        chosen: The ids; those of broken samples, which were left out, have no position.
        samples: The ids of the samples that were answered.
    """
    known = {each: place for place, each in enumerate(samples)}
    return [known[each] for each in dict.fromkeys(chosen.ids) if each in known]


def _falling(values: np.ndarray) -> list[int]:
    places: list[int] = np.argsort(-values, kind="stable").tolist()
    return places
