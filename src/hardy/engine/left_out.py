"""Samples that are broken and that the spec says to leave out: counted, and named one by one."""

import json
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from hardy.data.item import BadSample
from hardy.methods.base_spec import Role
from hardy.tasks.report import as_csv

ARTIFACT = "data/skipped.csv"
"""Where a run names them."""

_NAMED = 5


@dataclass
class LeftOut:
    """What `data.on_bad_sample: skip` left out of a unit.

    Attributes:
        reasons: Why, by what the sample was for and its id.
    """

    reasons: dict[tuple[Role, str], str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.reasons)

    def add(self, role: Role, item: BadSample) -> None:
        """Take note of a sample."""
        self.reasons[role, item.id] = item.reason

    def csv(self) -> str:
        """Return a row a sample: `id`, `role` and `reason`."""
        rows = [(id_, role, reason) for (role, id_), reason in self.reasons.items()]
        return as_csv(pd.DataFrame(rows, columns=["id", "role", "reason"]))

    def line(self) -> str:
        """Say how many were left out of what, and name the first."""
        counts = Counter(role for role, _ in self.reasons)
        told = ", ".join(f"{count} to {role}" for role, count in counts.items())
        what = "broken sample" if len(self) == 1 else "broken samples"
        names = [id_ for _, id_ in self.reasons]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return (
            f"{len(self)} {what} left out ({told}): {', '.join(names[:_NAMED])}{more}; {ARTIFACT} "
            "of the run says why"
        )

    def dump(self) -> str:
        """Return all as JSON, for `read`."""
        return json.dumps([[*key, reason] for key, reason in self.reasons.items()])

    def read(self, text: str) -> None:
        """Take what `dump` gave."""
        self.reasons |= {(role, id_): reason for role, id_, reason in json.loads(text)}
