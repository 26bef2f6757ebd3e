"""One trial of a search, as it is told of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hardy.spec.search.spec import Scalar

State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Trial:
    """One trial.

    Attributes:
        index: Its place among the search's trials; 0 has the spec's own values.
        values: The searched values by path: labels of categorical ones; those whose conditions
            hold.
        state: What became of it.
        objectives: A value for each objective, the mean over the seeds; empty unless complete.
        intervals: For each objective, lower and upper bound of its 95 % interval; NaN where there
            is none.
        constraints: For each constraint, by how much it is missed; at most 0 where it is held.
        reports: What it reported on its way, by step.
        marks: What the pruner noted of it.
        runs: Ids of its units' runs, one a seed.
        samples: Samples that were answered for.
        seconds: Time that it took.
        reason: Why it failed.
    """

    index: int
    values: Mapping[str, Scalar]
    state: State
    objectives: tuple[float, ...] = ()
    intervals: tuple[tuple[float, float], ...] = ()
    constraints: tuple[float, ...] = ()
    reports: Mapping[int, float] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    samples: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def feasible(self) -> bool:
        """Whether it is complete and holds every constraint."""
        return self.state == "complete" and all(missed <= 0 for missed in self.constraints)
