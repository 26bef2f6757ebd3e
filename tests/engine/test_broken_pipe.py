"""A reader that goes away, as `head` does: progress stops the run, results do not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hardy.cli import run as verb
from hardy.core.errors import Interrupted
from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.engine.signals import Stopped
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

SPECS = {
    "answers": """\
name: try
data: {dataset: shapes, split: test, shapes: {count: 60, size: 32}, subset: {count: 8}}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: memo, views: {kind: cut, count: 2}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
""",
    "training": """\
name: try
data: {dataset: shapes, split: train, shapes: {count: 60, size: 32}}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method: {kind: supervised, epochs: 3, batch: 16, validate_on: {split: test}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
""",
}


@contextmanager
def unread(name: str) -> Iterator[None]:
    """Make `stdout` or `stderr` a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    before = getattr(sys, name)
    with os.fdopen(writing, "w") as stream:
        setattr(sys, name, stream)
        try:
            yield
        finally:
            setattr(sys, name, before)
            # What is left in the buffer is not to be written once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_progress_that_nobody_reads_stops_once() -> None:
    with unread("stderr"):
        reporter = Reporter()
        with pytest.raises(Stopped) as caught:
            reporter.say("a line")
        assert caught.value.number == 13
        reporter.say("another one")  # while the run is ended


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", list(SPECS))
def test_the_run_is_stopped_and_no_failure(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "try.yaml").write_text(SPECS[kind])
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    tracker = MlflowTracker()
    plan = make_plan(resolve(str(tmp_path / "try.yaml")), default_stores(), tracker)
    with unread("stderr"), pytest.raises(Interrupted, match="SIGPIPE") as caught:
        run_plan(plan, tracker, Reporter(), resume_command="hardy run try")
    assert (caught.value.exit_status, caught.value.hint) == (141, "hardy run try")
    past = tracker.find(plan.units[0].fingerprint)
    assert past is not None
    assert (past.finished, past.busy) == (False, False)
    assert tracker._client.get_run(past.run_id).info.status == "KILLED"


def test_results_that_nobody_reads_leave_nothing_undone() -> None:
    with unread("stdout"):
        console = verb._Results()
        console.print("a table")
        console.print("another one")
        print("what other libraries say", flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [[], ["--jobs", "2"]])
def test_training_piped_to_head(isolated_home: Path, tmp_path: Path, jobs: list[str]) -> None:
    text = SPECS["training"] + "matrix: {seed: [0, 1]}\n"
    (tmp_path / "try.yaml").write_text(text.replace("epochs: 3", "epochs: 500"))
    words = [sys.executable, "-m", "hardy", "run", str(tmp_path / "try.yaml"), *jobs]
    hardy = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert hardy.stdout is not None
    assert hardy.stdout.readline()
    hardy.stdout.close()
    assert hardy.wait(timeout=300) == 141
    runs = MlflowTracker()._client.search_runs(["1"])
    assert {run.info.status for run in runs} == {"KILLED"}
