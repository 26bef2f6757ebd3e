from pathlib import Path

import pytest

from hardy.core.errors import TrackingError
from hardy.plan.tracker import Status
from hardy.tracking import lookup
from hardy.tracking.lookup import find_run
from hardy.tracking.mlflow_tracker import MlflowTracker


@pytest.fixture
def run_id(store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    run = MlflowTracker().start("unit", tags={})
    run.end(Status.FINISHED)
    return run.run_id


def test_a_run_by_its_id_or_its_beginning(run_id: str) -> None:
    for length in (6, 12, 32):
        assert find_run(run_id[:length]) == run_id


@pytest.mark.parametrize("reference", ["", "abcde", "%%%%%%", "ABCDEF", "f" * 33, "quickstart"])
def test_what_can_be_no_run_is_refused(reference: str) -> None:
    with pytest.raises(TrackingError, match="is no run id"):
        find_run(reference)


def test_an_unknown_run(run_id: str) -> None:
    other = "0" if run_id[0] != "0" else "1"
    with pytest.raises(TrackingError, match="no runs whose ids begin with"):
        find_run(other * 6)


def test_no_store_is_no_run_and_makes_none(isolated_home: Path) -> None:
    with pytest.raises(TrackingError, match="no runs"):
        find_run("abcdef")
    assert list(isolated_home.iterdir()) == []


def test_a_beginning_that_two_runs_share(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    monkeypatch.setattr(lookup, "_search", lambda condition: ["abcdef1", "abcdef2"])
    with pytest.raises(TrackingError, match="2 runs whose ids begin with abcdef") as caught:
        find_run("abcdef")
    assert "more characters" in caught.value.hint
