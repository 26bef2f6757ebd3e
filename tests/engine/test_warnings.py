"""What a method warns of: counted from the records, however a run came to them, and said."""

import signal
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from hardy.core.errors import Interrupted
from hardy.engine.progress import Reporter
from hardy.engine.runner import run_plan
from hardy.engine.signals import Stopped
from hardy.measure.records import shares
from hardy.methods import METHODS
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

SPEC = """\
name: try
data: {dataset: shapes, split: test, shapes: {count: 60, size: 32}, subset: {count: 8}}
model: {kind: hardy, name: resnet26-gn8, weights: random, classes: 6}
method:
  kind: memo_plus
  views: {kind: cut, count: 2}
  segmenter: {kind: superpixels, segments: 3, sigma: 0}
  policy: {min_area: 460, keep: largest}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu}
"""


def test_the_share_is_of_all_samples_and_what_no_record_has_is_left_out() -> None:
    frame = pd.DataFrame({"a": [True, False, True, False, False], "b": [True] * 5})
    assert shares(frame, ["a", "b", "c"]) == {"share/a": 0.4, "share/b": 1.0}
    # Some records are of a version that did not know the detail.
    frame["a"] = pd.Series([np.nan, np.nan, True, False, True], dtype=object)
    assert shares(frame, ["a"]) == {"share/a": 0.4}
    assert shares(frame, []) == {}


def test_names_of_details_are_whole_words() -> None:
    for method in METHODS:
        for name, text in method.warnings.items():
            assert name.isidentifier()
            assert not set("[]") & set(text)  # the console would take them for markup


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_counts_them_and_warns_whenever_it_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    (tmp_path / "try.yaml").write_text(SPEC)
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    resolved = resolve(str(tmp_path / "try.yaml"), [f"compute.processes={processes}"])
    sample = Reporter.sample

    def stop_at_the_third(self: Reporter, done: int, news: str) -> None:
        sample(self, done, news)
        if done == 3:
            raise Stopped(signal.SIGINT)

    said = []
    for stopped in (True, False, False):  # killed, gone on with, reused
        text = StringIO()
        plan = make_plan(resolved, default_stores(), MlflowTracker())
        with monkeypatch.context() as patch:
            if stopped:
                patch.setattr(Reporter, "sample", stop_at_the_third)
            with pytest.raises(Interrupted) if stopped else nullcontext():
                (unit,) = run_plan(
                    plan, MlflowTracker(), Reporter(Console(file=text)), resume_command=""
                )[1]
        said.append([line for line in text.getvalue().splitlines() if "warning" in line])
    flags = unit.frame["degenerate_masks"]
    assert (unit.reused, len(flags)) == (True, 8)
    assert flags.sum() == 6  # of one the whole is the only mask, of five none is large enough
    assert unit.metrics["share/degenerate_masks"] == flags.sum() / 8
    assert said == [[], list(unit.warnings), list(unit.warnings)]
    (line,) = said[1]
    assert line.startswith(f"try: warning: {flags.sum()} of 8 samples have no masked image")
