from pathlib import Path

import pytest

from hardy.plan.tracker import FINGERPRINT_TAG, Status, Tracker
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.scratch import AsideTracker

MARK = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return MlflowTracker()


def test_its_runs_are_found_by_nobody_and_it_finds_none(tracker: MlflowTracker) -> None:
    aside: Tracker = AsideTracker(tracker, "smoke", lambda name: {"hardy.reproduces": name})
    parent = aside.start("above", tags={FINGERPRINT_TAG: "f" * 32})
    unit = aside.start("unit", tags={FINGERPRINT_TAG: MARK, "a": "b"}, parent=parent.run_id)
    unit.end(Status.FINISHED)
    parent.end(Status.FINISHED)
    assert tracker.find(MARK) is None
    assert tracker.find("f" * 32) is None
    tags = aside.get(unit.run_id).tags
    assert FINGERPRINT_TAG not in tags
    assert tags["hardy.aside"] == "smoke"
    assert tags["hardy.aside.fingerprint"] == MARK
    assert tags["hardy.reproduces"] == "unit"
    assert tags["a"] == "b"

    tracker.start("unit", tags={FINGERPRINT_TAG: MARK}).end(Status.FINISHED)
    assert tracker.find(MARK) is not None
    assert aside.find(MARK) is None
    assert aside.find_many([MARK]) == {}
