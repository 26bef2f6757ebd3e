"""What a search adds to each trial: `python -m benchmarks.search [--trials N] [--jobs N]`.

Trials that do nothing but write a run of their own (tags, the parameters of a real experiment, two
metrics) go through the whole search: values chosen, study, workers, MLflow, the child run. What a
trial takes is the time between two that end, once every worker has ended some: the start of the
workers is apart. The halves show whether it grows with the number of trials. Beside it stand Optuna
with MLflow's own storage of studies and, where optuna-integration is installed, with its callback:
in one process, as both serialise trials.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import optuna

from hardy.engine.progress import Reporter
from hardy.engine.search import run
from hardy.engine.search.end import Tested
from hardy.engine.search.job import STUDY_TAG, TRIAL_TAG, TrialJob
from hardy.engine.unit import leaves
from hardy.plan.tracker import FINGERPRINT_TAG, Status, Tracker
from hardy.plan.units import Planner, make_plan
from hardy.registry.stores import default_stores
from hardy.results.search.trial import Trial
from hardy.spec import resolve
from hardy.tracking import default_finder
from hardy.tracking.mlflow_tracker import MlflowTracker
from hardy.tracking.store import connect

SPEC = """\
name: benchmark
data:
  dataset: imagenet-sample
  partition: {fractions: {tune: 0.5, test: 0.5}, part: tune}
model: {kind: timm, name: test_efficientnet, weights: random}
method: {kind: memo, optimizer: {kind: sgd, lr: 0.01}}
search:
  space:
    method.optimizer.lr: {kind: float, low: 0.0001, high: 1, log: true}
    method.select: {kind: float, low: 0.1, high: 1}
  objectives: [{metric: accuracy}]
  budget: {trials: 1}
  test_on: {part: test}
  ahead: 8
"""


@dataclass(frozen=True)
class Empty(TrialJob):
    """Writes a run as a trial's unit does, and computes nothing."""

    def __call__(self, tracker: Tracker, reporter: Reporter) -> Trial:
        """Return a value that follows from the trial's."""
        index, value = self.choice.index, quality(self.choice.values)
        tags = {STUDY_TAG: self.study, TRIAL_TAG: str(index), FINGERPRINT_TAG: f"{index:032x}"}
        child = tracker.start(f"benchmark/{index}", tags=tags, parent=self.parent)
        child.params(leaves(self.units[0].unit.experiment))
        child.metrics({"accuracy": value, "samples": 1.0})
        child.end(Status.FINISHED)
        return Trial(index, self.choice.values, "complete", (value,), runs=(child.run_id,))


def quality(values: Any) -> float:
    """Return something to look for."""
    return 1 / (1 + abs(values["method.optimizer.lr"] - 0.1)) - abs(values["method.select"] - 0.5)


@contextmanager
def home() -> Iterator[Path]:
    """Give a folder to an empty store."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="hardy-") as folder:
        os.environ |= {
            "HARDY_HOME": folder,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ |= before


def hardy(trials: int, jobs: int) -> list[float]:
    """Return when each trial of a search ended."""
    ended: list[float] = []
    take = run._Running._take

    def noted(self: run._Running, trial: Trial) -> None:
        take(self, trial)
        ended.append(perf_counter())

    with home() as folder:
        file = folder / "benchmark.yaml"
        file.write_text(SPEC)
        run.TrialJob = Empty  # type: ignore[misc]
        run._Running._take = noted  # type: ignore[method-assign]
        run._Running._tested = lambda _, chosen, trials: Tested(chosen, "accuracy")  # type: ignore[method-assign]
        tracker, stores = MlflowTracker(), default_stores()
        resolved = resolve(str(file), [f"search.budget.trials={trials}"])
        plan = make_plan(resolved, stores, tracker)
        planner = Planner(stores, default_finder())
        run.run_search(plan, tracker, Reporter(), planner, resume_command="", jobs=jobs)
        run._Running._take = take  # type: ignore[method-assign]
    return ended


def plainly(
    trials: int, optimize: Callable[[optuna.Study | None, Callable[..., float]], None]
) -> list[float]:
    """Return when each trial ended that Optuna's own loop carries out."""
    ended: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("method.optimizer.lr", 1e-4, 1, log=True)
        select = trial.suggest_float("method.select", 0.1, 1)
        ended.append(perf_counter())
        return quality({"method.optimizer.lr": lr, "method.select": select})

    optimize(objective)
    return ended


def mlflow_storage(trials: int) -> list[float]:
    """Return when trials ended whose study MLflow itself keeps, a run a trial."""
    from mlflow.optuna.storage import MlflowStorage

    def optimize(objective: Callable[..., float]) -> None:
        experiment = connect().create_experiment("studies")
        storage = MlflowStorage(experiment_id=experiment)
        optuna.create_study(study_name="benchmark", storage=storage).optimize(objective, trials)

    with home():
        return plainly(optimize)


def callback(trials: int) -> list[float]:
    """Return when trials ended that optuna-integration's callback writes."""
    from optuna_integration.mlflow import MLflowCallback

    def optimize(objective: Callable[..., float]) -> None:
        told = MLflowCallback(os.environ["MLFLOW_TRACKING_URI"], metric_name="accuracy")
        optuna.create_study(study_name="benchmark").optimize(objective, trials, callbacks=[told])

    with home():
        return plainly(optimize)


def shown(title: str, ended: Sequence[float], skip: int) -> None:
    """Print seconds a trial: of all, of each half, and the median distance."""
    times = ended[skip:]
    apart = [b - a for a, b in pairwise(times)]
    half = len(apart) // 2
    means = [1e3 * sum(part) / len(part) for part in (apart, apart[:half], apart[half:])]
    print(
        f"{title}: {means[0]:.0f} ms a trial over {len(apart)}; first half {means[1]:.0f}, "
        f"second {means[2]:.0f}; median {1e3 * median(apart):.0f}"
    )


def main() -> None:
    """Run all and print a line each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--trials", type=int, default=200)
    asked.add_argument("--jobs", type=int, default=4)
    asked.add_argument("--others", type=int, default=60, help="trials of Optuna with MLflow's own")
    given = asked.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    shown(f"hardy, {given.jobs} workers", hardy(given.trials, given.jobs), 2 * given.jobs)
    if given.others:
        shown("Optuna, MLflow's own storage", mlflow_storage(given.others), 2)
        try:
            shown("Optuna, callback", callback(given.others), 2)
        except ImportError:
            print(
                "Optuna, callback: needs optuna-integration: pip install optuna-integration[mlflow]"
            )


if __name__ == "__main__":
    main()
