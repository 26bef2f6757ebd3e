"""A search whose trials take no time: what they come to follows from their values."""

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

from hardy.engine.progress import Reporter
from hardy.engine.search import run
from hardy.engine.search.end import Tested
from hardy.engine.search.job import STUDY_TAG, TRIAL_TAG, TrialJob
from hardy.plan.tracker import FINGERPRINT_TAG, Status
from hardy.plan.units import Planner, make_plan
from hardy.registry.stores import default_stores
from hardy.results.search.trial import Trial
from hardy.spec import resolve
from hardy.tracking.mlflow_tracker import MlflowTracker

SPEC = """\
name: toy
data:
  dataset: imagenet-sample
  partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}
  shift: {kind: gaussian_noise, severity: 3}
model:
  {kind: timm, name: test_efficientnet, weights: random, input: {size: 64, fit: squeeze}}
method: {kind: memo, views: {kind: cut, count: 4}, optimizer: {kind: sgd, lr: 0.01}}
explain: {gradcam: null, view_grids: 0}
compute: {device: cpu, processes: 1}
search:
  space:
    method.optimizer.lr: {kind: float, low: 0.0001, high: 1, log: true}
    method.views.count: {kind: int, low: 2, high: 32}
    method.select: [0.5, 1.0]
  objectives: [{metric: accuracy}]
  sampler: {kind: tpe, startup: 4}
  budget: {trials: 12}
  test_on: {part: test}
"""
FOLDER = "HARDY_TEST_TRIALS"
"""Environment variable: folder in which files say which trials die, and how often."""


FAILS = "HARDY_TEST_FAILS"
"""Environment variable: of so many trials one fails."""


@dataclass(frozen=True)
class Quick(TrialJob):
    """Writes a run of its own, as a trial's unit does, and nothing else."""

    def __call__(self, tracker, reporter):
        values, index = self.choice.values, self.choice.index
        self._die(f"before-{index}")
        tags = {STUDY_TAG: self.study, TRIAL_TAG: str(index), FINGERPRINT_TAG: f"{index:032x}"}
        child = tracker.start(f"toy/{index}", tags=tags, parent=self.parent)
        found = quality(values)
        child.metrics({"accuracy": found})
        self._die(f"within-{index}")
        child.end(Status.FINISHED)
        trial = Trial(index, values, "complete", (found,), runs=(child.run_id,), samples=10)
        if index % int(os.environ.get(FAILS, "5")) == 3:
            return replace(trial, state="failed", objectives=(), reason="one of five")
        return trial

    def _die(self, name):
        """Die as often as a file says, or once it is told to wait for the signal."""
        file = Path(os.environ.get(FOLDER, "/nowhere")) / name
        if file.exists() and (left := int(file.read_text())):
            file.write_text(str(left - 1))
            os.kill(os.getpid(), signal.SIGKILL)


def quality(values):
    """Return a height that falls off from a rate of 0.1."""
    distance = abs(values["method.optimizer.lr"] - 0.1)
    return 1 / (1 + distance) - 0.001 * values["method.views.count"]


def search(file, *, jobs=None, overrides=(), spec=SPEC):
    """Run the search of a file, made here, without a test at its end."""
    Path(file).write_text(spec)
    run.TrialJob = Quick
    run._Running._tested = lambda _, chosen, trials: Tested(chosen, "accuracy")
    tracker, stores = MlflowTracker(), default_stores()
    plan = make_plan(resolve(str(file), overrides), stores, tracker)
    planner = Planner(stores, tracker)
    return run.run_search(
        plan, tracker, Reporter(), planner, resume_command="hardy run toy", jobs=jobs
    )
