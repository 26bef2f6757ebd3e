"""What a version is judged by, and what came of it, in words."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from hardy.tasks.base import Task
from hardy.tasks.summary import summarise


@dataclass(frozen=True)
class Evidence:
    """The records that a version is judged by.

    Attributes:
        version: Number of the version, as text.
        main: The answer of the records that counts.
        frame: Per-sample records of all its runs, with the column `data_digest`.
        task: What its answers are.
    """

    version: str
    main: str
    frame: pd.DataFrame
    task: Task

    def metrics(self) -> dict[str, float]:
        """Return all metrics over all records, those of samples pooled over all runs."""
        return summarise(self.task, self.frame, self.main)


@dataclass(frozen=True)
class GateResult:
    """One gate's answer: the gate in words, whether it holds, and why."""

    gate: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the gates say of a version.

    Attributes:
        model: Name of the registered model.
        version: The candidate.
        alias: The alias it competes for.
        holder: Version that holds the alias now, if any.
        gates: One result a gate.
        metric: The policy's metric, in words, of both.
        promoted: Whether the alias was moved (never where this was a dry run).
    """

    model: str
    version: str
    alias: str
    holder: str | None
    gates: tuple[GateResult, ...]
    metric: str = ""
    promoted: bool = False

    @property
    def is_holder(self) -> bool:
        """Whether the version holds the alias already."""
        return self.version == self.holder

    @property
    def passed(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a JSON value, for a tag."""
        return asdict(self) | {"passed": self.passed}

    def lines(self) -> list[str]:
        """Return the verdict as lines of text, gate by gate."""
        return [
            f"{self.model} version {self.version}, candidate for {self.alias} "
            f"(held by {f'version {self.holder}' if self.holder else 'nobody'})",
            *([f"  {self.metric}"] if self.metric else []),
            *(f"  {'pass' if g.passed else 'FAIL'}  {g.gate}: {g.reason}" for g in self.gates),
            f"  {self._outcome()}",
        ]

    def _outcome(self) -> str:
        if self.is_holder:
            return f"version {self.version} is already {self.alias}"
        if self.promoted:
            return f"version {self.version} is now {self.alias}"
        if self.passed:
            return f"every gate holds: version {self.version} may become {self.alias}"
        return f"not promoted: {sum(not g.passed for g in self.gates)} gate(s) failed"
