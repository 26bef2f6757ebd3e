"""What two runs of the same spec recorded, compared; and what may explain a difference.

The second run is an ordinary run of the first one's resolved spec. Nothing here computes: both
sides are read from the store, so the comparison is of what was kept.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hardy.core.errors import TrackingError
from hardy.measure.drift import Drift, compare
from hardy.plan.tracker import FINGERPRINT_TAG, THREADS_TAG, PastRun, Tracker
from hardy.results.stored import StoredUnit
from hardy.tracking.scratch import ASIDE_FINGERPRINT_TAG

REPRODUCES_TAG = "hardy.reproduces"

ENVIRONMENT = "environment.json"
WEIGHTS, DATA, CODE = "weights", "data", "version of a part"
_LIKELIEST = (WEIGHTS, DATA, CODE, "device", "package", "hardy", "python", "machine")
"""Causes, the likeliest first: other weights or data explain more than another Python."""


@dataclass(frozen=True)
class Difference:
    """A fact about two runs in which they differ.

    Attributes:
        cause: One of `weights`, `data`, `version of a part`, `device`, `package`, `hardy`,
            `python`, `machine`.
        fact: What it is about, such as `torch`.
        then: The first run's value; empty if unknown.
        now: The second run's value; empty if unknown.
    """

    cause: str
    fact: str
    then: str
    now: str


@dataclass(frozen=True)
class Reproduction:
    """A run, the run that repeated it, and what came of it.

    Attributes:
        then: The first run.
        now: The second run.
        drift: Their numbers, compared.
        differences: What else differs between the two, the likeliest cause first.
    """

    then: PastRun
    now: PastRun
    drift: Drift
    differences: tuple[Difference, ...]


def judge(tracker: Tracker, then: str, now: str, tolerance: float) -> Reproduction:
    """Compare two finished units by what the store holds of them.

    Args:
        tracker: The store.
        then: Id of the first run.
        now: Id of the run that repeated it.
        tolerance: Largest absolute difference that is no drift.

    Raises:
        TrackingError: If a run or one of its artifacts is absent.
        DataError: If the records cannot be read.
    """
    first, second = (StoredUnit(tracker, tracker.get(run_id)) for run_id in (then, now))
    drift = compare(
        (first.metrics, first.frame),
        (second.metrics, second.frame),
        tolerance,
        # What jumps with rounding plays a part only where rounding is let pass.
        first.task.following if tolerance else (),
    )
    found = differences(tracker, first.run, second.run)
    return Reproduction(first.run, second.run, drift, tuple(found))


def differences(tracker: Tracker, then: PastRun, now: PastRun) -> list[Difference]:
    """Return the facts beside the spec in which two runs differ, the likeliest cause first."""
    before, after = facts(tracker, then), facts(tracker, now)
    found = [
        Difference(*key, before.get(key, ""), after.get(key, ""))
        for key in dict.fromkeys([*before, *after])
        if before.get(key, "") != after.get(key, "")
    ]
    if {WEIGHTS, DATA} & {each.cause for each in found}:
        # The fingerprint is made of them too: it says nothing more.
        found = [each for each in found if each.cause != CODE]
    return sorted(found, key=lambda each: _LIKELIEST.index(each.cause))


def facts(tracker: Tracker, run: PastRun) -> dict[tuple[str, str], str]:
    """Return what a run recorded of its inputs, code and machine, by cause and fact."""
    return dict(_facts(run.tags, _environment(tracker, run)))


def _facts(
    tags: Mapping[str, str], environment: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, str], str]]:
    mark = tags.get(FINGERPRINT_TAG) or tags.get(ASIDE_FINGERPRINT_TAG, "")
    yield (WEIGHTS, "file or name"), tags.get("hardy.weights", "")
    yield (WEIGHTS, "tensors' sha256"), tags.get("hardy.state_sha256", "")
    yield (DATA, "digest"), tags.get("hardy.data_digest", "")
    yield (CODE, "fingerprint"), mark
    yield ("device", "kind"), tags.get("hardy.device", "")
    yield ("device", "threads of an operation"), tags.get(THREADS_TAG, "")
    hardware = environment.get("hardware", {})
    yield ("device", "GPUs"), ", ".join(hardware.get("gpus", []))
    for name, version in environment.get("packages", {}).items():
        yield ("package", name), str(version)
    yield ("hardy", "version"), tags.get("hardy.version", "")
    yield ("hardy", "commit"), tags.get("mlflow.source.git.commit", "")
    yield ("hardy", "uncommitted changes"), tags.get("hardy.git_dirty", "")
    yield ("python", "version"), str(environment.get("python", ""))
    yield ("machine", "platform"), str(environment.get("platform", ""))
    yield ("machine", "processor"), str(hardware.get("cpu", ""))


def _environment(tracker: Tracker, run: PastRun) -> Mapping[str, Any]:
    file = tracker.artifact(run.run_id, ENVIRONMENT)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        message = f"{ENVIRONMENT} of the run {run.run_id} is damaged: {error}"
        raise TrackingError(message, hint="Compare with another run.") from error
    return content if isinstance(content, dict) else {}
