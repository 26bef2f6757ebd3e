"""Runs that stand aside: smoke tests and reproductions, which nobody takes for results."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from hardy.plan.tracker import FINGERPRINT_TAG, PastRun, Run, Tracker

ASIDE_TAG = "hardy.aside"
ASIDE_FINGERPRINT_TAG = f"{ASIDE_TAG}.fingerprint"

Extra = Callable[[str], Mapping[str, str]]


class AsideTracker:
    """A tracker whose runs reuse no earlier run and are reused by no later one.

    Their fingerprint goes under another tag, so no search by fingerprint finds them, in
    whatever MLflow experiment they lie.

    Args:
        tracker: Writes the runs.
        kind: Why they stand aside: `smoke` or `reproduction`; the tag `hardy.aside`.
        extra: Tags of a run by its name.
    """

    def __init__(self, tracker: Tracker, kind: str, extra: Extra = lambda name: {}) -> None:
        self._tracker = tracker
        self._kind = kind
        self._extra = extra

    def find(self, fingerprint: str) -> PastRun | None:
        """Return None: every run is made anew."""
        return None

    def find_many(self, fingerprints: Iterable[str]) -> Mapping[str, PastRun]:
        """Return nothing, for the same reason."""
        return {}

    def mean(self, metric: str, tags: Mapping[str, str]) -> tuple[float, int] | None:
        """Return a metric's mean over the finished runs that have all the tags."""
        return self._tracker.mean(metric, tags)

    def get(self, run_id: str) -> PastRun:
        """Return a run by its id."""
        return self._tracker.get(run_id)

    def start(
        self,
        name: str,
        *,
        tags: Mapping[str, str],
        parent: str | None = None,
        resume: str | None = None,
    ) -> Run:
        """Start a run without the tag that it would be found by."""
        kept = {key: value for key, value in tags.items() if key != FINGERPRINT_TAG}
        kept[ASIDE_FINGERPRINT_TAG] = tags.get(FINGERPRINT_TAG, "")
        own = {ASIDE_TAG: self._kind, **self._extra(name)}
        return self._tracker.start(name, tags={**kept, **own}, parent=parent, resume=resume)

    def refer(self, run_id: str) -> None:
        """Note on the run that `mlflow run` made, if any, that its work is found in another."""
        self._tracker.refer(run_id)

    def artifact(self, run_id: str, path: str) -> Path:
        """Return a local copy of one artifact file."""
        return self._tracker.artifact(run_id, path)

    def link(self, run_id: str) -> str:
        """Return where a person sees the run."""
        return self._tracker.link(run_id)
