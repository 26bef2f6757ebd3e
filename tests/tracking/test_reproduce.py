import json
from pathlib import Path

import pandas as pd
import pytest

from hardy.measure.records import write_parquet
from hardy.plan.tracker import Status
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.reproduce import judge

TAGS = {
    "hardy.fingerprint": "f" * 32,
    "hardy.weights": "sha256:aa",
    "hardy.state_sha256": "bb",
    "hardy.data_digest": "cc",
    "hardy.device": "cpu",
    "hardy.threads": "1",
}
SPEC = """\
name: unit
data: {dataset: imagenet-sample}
model: {kind: timm, name: resnet50}
method: {kind: memo}
"""
ENVIRONMENT = {"python": "3.11.0", "packages": {"torch": "2.10.0"}, "hardware": {"cpu": "x"}}


@pytest.fixture
def tracker(store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowTracker:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    return MlflowTracker()


def make(tracker: MlflowTracker, folder: Path, confidence: float = 0.5, **changes: object) -> str:
    environment = ENVIRONMENT | {k: v for k, v in changes.items() if k in ENVIRONMENT}
    run = tracker.start("unit", tags=TAGS | {f"hardy.{k}": str(v) for k, v in changes.items()})
    frame = pd.DataFrame({"sample": ["a"], "dataset": ["d"], "shift": ["none"]})
    write_parquet(frame.assign(**{"memo.confidence": confidence}), folder / "records.parquet")
    run.artifact(folder / "records.parquet", "records/records.parquet")
    run.text(json.dumps(environment), "environment.json")
    run.text(SPEC, "spec.yaml")
    run.metrics({"confidence": confidence, "seconds_per_sample": 1.0})
    run.end(Status.FINISHED)
    return run.run_id


def test_the_same_again(tracker: MlflowTracker, tmp_path: Path) -> None:
    found = judge(tracker, make(tracker, tmp_path), make(tracker, tmp_path), 0.0)
    assert not found.drift.drifted
    assert found.differences == ()


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        ({"weights": "sha256:ab", "state_sha256": "bc"}, ["weights", "weights"]),
        ({"data_digest": "cd", "fingerprint": "e" * 32}, ["data"]),
        ({"fingerprint": "e" * 32}, ["version of a part"]),
        ({"device": "cuda", "packages": {"torch": "2.11.0"}}, ["device", "package"]),
        ({"python": "3.12.0", "state_sha256": "bc"}, ["weights", "python"]),
        ({"threads": "2"}, ["device"]),
        ({"git_dirty": "dd"}, ["hardy"]),
        ({}, []),
    ],
)
def test_the_likeliest_cause_comes_first(
    tracker: MlflowTracker, tmp_path: Path, changes: dict[str, object], causes: list[str]
) -> None:
    then, now = make(tracker, tmp_path), make(tracker, tmp_path, 0.625, **changes)
    found = judge(tracker, then, now, 0.1)
    assert found.drift.drifted
    known = [each for each in found.differences if each.fact != "uncommitted changes"]
    dirty = [each for each in found.differences if each.fact == "uncommitted changes"]
    assert [each.cause for each in known] == [cause for cause in causes if cause != "hardy"]
    assert bool(dirty) == ("hardy" in causes)
    assert not judge(tracker, then, now, 0.125).drift.drifted
