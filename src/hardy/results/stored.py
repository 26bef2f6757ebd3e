"""What is known of a unit that has run, read from the store: a second ago or a year ago alike."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

import numpy as np
import pandas as pd

from hardy.data.open import open_dataset
from hardy.measure.records import SHARE, read_parquet
from hardy.plan.tracker import EXPERIMENT_TAG, FINGERPRINT_TAG, PastRun, Tracker
from hardy.plan.units import PlannedUnit
from hardy.spec import Resolved, resolve
from hardy.spec.experiment import Experiment
from hardy.tasks.base import Task
from hardy.tasks.build import build_task
from hardy.tasks.summary import meaningless

RECORDS = "records/records.parquet"
SPEC = "spec.yaml"


class StoredUnit:
    """A finished unit: its spec, its numbers and its records, each read when it is first asked for.

    Args:
        store: Where its run is.
        run: The run that holds it.
        planned: The unit as it was planned here; None where only the store knows of it.
        reused: Whether an earlier run of the same fingerprint stood in.
    """

    def __init__(
        self, store: Tracker, run: PastRun, planned: PlannedUnit | None = None, reused: bool = False
    ) -> None:
        self.store = store
        self.run = run
        self.planned = planned
        self.reused = reused

    @property
    def run_id(self) -> str:
        """The store's id of its run."""
        return self.run.run_id

    @property
    def tags(self) -> Mapping[str, str]:
        """Its run's tags."""
        return self.run.tags

    @cached_property
    def metrics(self) -> Mapping[str, float]:
        """Its run's metrics by name, but those without a meaning, which older runs have too."""
        votes = self.experiment.method.votes()
        return {
            name: value
            for name, value in self.run.metrics.items()
            if not meaningless(self.task, name, self.main, votes)
        }

    @property
    def fingerprint(self) -> str:
        """Digest of all that can change its numbers; empty for a run that is never reused."""
        return self.planned.fingerprint if self.planned else self.tags.get(FINGERPRINT_TAG, "")

    @cached_property
    def experiment(self) -> Experiment:
        """The resolved spec, as planned or as the run kept it."""
        if self.planned is not None:
            return self.planned.unit.experiment
        return resolve(str(self.store.artifact(self.run_id, SPEC))).units[0].experiment

    @property
    def name(self) -> str:
        """The unit's name."""
        return self.experiment.name

    @property
    def other(self) -> str:
        """Name of the experiment whose run stands in for it; empty where the run is its own."""
        ran = self.tags.get(EXPERIMENT_TAG, self.run.name)
        return ran if ran != self.name else ""

    @property
    def shift(self) -> str:
        """Label of the shift that its samples are under."""
        return self.experiment.data.shift_label

    @property
    def main(self) -> str:
        """The answer that it is about."""
        return str(self.experiment.method.kind)

    @property
    def baseline(self) -> str | None:
        """The answer that its own is compared with; None where there is none."""
        return self.experiment.method.baseline

    @cached_property
    def task(self) -> Task:
        """What its answers are; without names of classes, which no number needs."""
        return build_task(self.experiment.task)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Its per-sample records (see `hardy.measure.records`)."""
        return read_parquet(self.store.artifact(self.run_id, RECORDS))

    @property
    def answers(self) -> list[str]:
        """Names of the answers that its records hold, in their order."""
        return self.task.answers(self.frame)

    @property
    def warnings(self) -> Iterator[str]:
        """What its method warns of, a line each."""
        for name, text in self.experiment.method.warnings.items():
            total = self.metrics["samples"]
            count = round(self.metrics.get(f"{SHARE}{name}", 0) * total)
            if count:
                yield f"{self.name}: warning: {count} of {total:.0f} samples {text} ({name})"

    @cached_property
    def answered_digest(self) -> str:
        """Digest of the samples that its records are of."""
        if self.planned is not None:
            return self.planned.samples["answer"].digest
        held_out = self.experiment.method.roles()["answer"]
        if held_out is None:
            return self.tags["hardy.data_digest"]
        return open_dataset(held_out.data(self.experiment.data, self.experiment.seed)).digest

    @property
    def compared(self) -> bool:
        """Whether its records hold its own answer and another one to compare it with."""
        return self.task.compares(self.frame, self.main, self.baseline)

    def score(self, answer: str | None = None) -> np.ndarray:
        """Return an answer's scores (N,), higher is better; by default the run's own answer's."""
        return self.task.score(self.frame, answer or self.main)


def by_experiment(
    resolved: Resolved, units: Sequence[StoredUnit]
) -> Iterator[tuple[Resolved, list[StoredUnit]]]:
    """Yield each experiment of a suite, or the only one, with its units."""
    rest = iter(units)
    for experiment in resolved.experiments:
        yield experiment, list(islice(rest, len(experiment.units)))
