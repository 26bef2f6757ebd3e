"""What the engine asks of a store of runs; `hardy.tracking` gives MLflow's answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from hardy.models.weights import Located

Scalar = bool | int | float | str | None

# Tags that mean something to hardy wherever they are read.
EXPERIMENT_TAG = "hardy.experiment"
FINGERPRINT_TAG = "hardy.fingerprint"
FAILURE_TAG = "hardy.failure"
# The step after which a search stopped a run for good: it neither goes on nor holds numbers.
PRUNED_TAG = "hardy.pruned"
# What a sample's time depends on, in words: see `hardy.plan.measured.work_label`.
WORK_TAG = "hardy.work"
# Threads of one operation, and whether that is since other jobs ran beside it.
THREADS_TAG = "hardy.threads"
SHARED_TAG = "hardy.shared"


class Status(StrEnum):
    """How a run ended, in MLflow's words."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True)
class PastRun:
    """A run of the past, as the plan and the registry need it.

    Attributes:
        run_id: The store's id.
        name: The run's name.
        finished: Whether it ended well.
        busy: Whether another living process is writing it now: leave it alone.
        metrics: Last value of each metric.
        tags: The run's tags.
    """

    run_id: str
    name: str
    finished: bool
    busy: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def best_of(runs: Iterable[PastRun]) -> PastRun | None:
    """Return the first finished run, else the first busy one, else the first that may go on."""
    known = [run for run in runs if PRUNED_TAG not in run.tags]
    order = sorted(known, key=lambda run: (not run.finished, not run.busy))
    return order[0] if order else None


class Run(Protocol):
    """A run that is being written. Metrics are buffered; an artifact is whole or absent.

    Every method raises a TrackingError if the store fails.
    """

    @property
    def run_id(self) -> str:
        """The store's id."""

    def params(self, values: Mapping[str, Scalar]) -> None:
        """Log parameters under dotted keys; a value logged before is left as it is."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Buffer metrics; a NaN or an infinity is refused with a TrackingError naming it."""

    def last_step(self, metric: str) -> int:
        """Return the last step at which the store has a metric; 0 where it has none."""

    def flush(self, *, wait: bool = True) -> bool:
        """Write what is buffered; return whether the store has it.

        Args:
            wait: Whether to wait for a store that does not answer; without, what is buffered stays.
        """

    def dataset(self, name: str, digest: str, source: Mapping[str, Any], context: str) -> None:
        """Link the run to the data it saw.

        Args:
            name: The dataset's name.
            digest: Digest of its manifest, 36 characters at most.
            source: How to get at the data again, as a JSON value.
            context: What the run did with them: `train`, `eval`.
        """

    def text(self, content: str, path: str) -> None:
        """Write a text artifact at `path`, relative, with forward slashes."""

    def artifact(self, file: Path, path: str) -> None:
        """Copy a finished local file to the artifact `path`, its file name included."""

    def note(self, markdown: str) -> None:
        """Set the description that the UI shows."""

    def end(self, status: Status, reason: str = "") -> None:
        """Flush and end the run; the reason of a failure becomes a tag. A second end is none."""


class Finder(Protocol):
    """Looks into a store of runs.

    Every method raises a TrackingError if the store fails.
    """

    def find_many(self, fingerprints: Iterable[str]) -> Mapping[str, PastRun]:
        """Return what `Tracker.find` returns, by fingerprint, for those that have a run."""

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        """Return a metric's mean over the finished runs that have all the tags, and their number.

        None where no such run has the metric; at most the newest 100 runs are looked at.
        """


class Stores(Protocol):
    """Where weights lie that runs and registered models hold."""

    def run_file(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file of a run; do not change it.

        Raises:
            TrackingError: If the run or the artifact is absent.
        """

    def version(self, name: str, which: str) -> Located:
        """Return a local copy of the weights of a registered version.

        Args:
            name: The registered model.
            which: A version's number, or an alias.

        Raises:
            RegistryError: If there is no such version, or its weights are not the registered ones.
        """


class Tracker(Finder, Protocol):
    """A store of runs."""

    def find(self, fingerprint: str) -> PastRun | None:
        """Return the newest finished run of a fingerprint, else a busy one, else the newest."""

    def get(self, run_id: str) -> PastRun:
        """Return a run by its id.

        Raises:
            TrackingError: If there is none.
        """

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parent: str | None = None,
        resume: str | None = None,
    ) -> Run:
        """Start a run (joining the one that `mlflow run` made, at the top level) or resume one.

        Args:
            name: The run's name.
            tags: Identifying tags; a child also gets those of its parent.
            parent: Id of the run to nest under.
            resume: Id of the unfinished run to go on with.

        Raises:
            TrackingError: If the run to resume is absent, or another process is writing it.
        """

    def refer(self, run_id: str) -> None:
        """Note on the run that `mlflow run` made, if any, that its work is found in another."""

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file; do not change it.

        Raises:
            ArtifactAbsent: If the run has none of that name.
            TrackingError: If the run is absent, or the store does not answer.
        """

    def link(self, run_id: str) -> str:
        """Return where a person sees the run: an address, or the command that shows it."""
