"""What a spec may expect, and which metric a policy may compete on."""

from pathlib import Path

import pytest

from hardy.spec import Diagnostics, load_policy
from hardy.spec.names import _answers
from hardy.tasks import TASKS
from hardy.tasks.names import DIRECTED, GENERAL, METRICS, expectable

# What specs could expect before a task named its own metrics.
ACCEPTED = [
    *("accuracy", "error", "top5", "nll", "ece", "entropy", "confidence"),
    *("seconds_per_sample", "samples", "delta/accuracy"),
    *("source/accuracy", "source/error", "view_ensemble/accuracy", "view_ensemble/error"),
    *("majority_vote/accuracy", "majority_vote/error", "zero_shot/accuracy", "zero_shot/error"),
    *("simple_ensemble/accuracy", "simple_ensemble/error"),
    *("mean/accuracy", "mean/error", "mean/source/accuracy", "mean/source/error"),
    *("mce", "source/mce"),
]


def test_what_could_be_expected_before_still_can() -> None:
    assert set(ACCEPTED) <= set(expectable(_answers()))


def test_every_metric_of_another_answer_may_be_expected() -> None:
    assert {"source/nll", "zero_shot/ece"} <= set(expectable(_answers()))


def test_only_what_has_a_direction_can_decide() -> None:
    undirected = {"entropy", "confidence", "samples", "pixel_entropy", "majority_miou"}
    assert set(METRICS) - set(DIRECTED) == undirected


def test_metrics_of_two_tasks_are_never_mixed_up() -> None:
    names = [name for task in TASKS for name in task.metrics]
    assert len(names) == len(set(names))
    assert not set(names) & set(GENERAL)
    assert "miou" not in expectable(_answers(), tasks=[TASKS[0]])


def policy(project: Path, metric: str) -> None:
    (project / "registry" / "one.yaml").write_text(
        f"model: one\ncandidates: {{experiments: ['*'], dataset: imagenet-sample}}\n{metric}\n"
    )
    load_policy("one")


@pytest.mark.parametrize(
    "metric",
    [
        "",
        "metric: {name: ece}",
        "metric: {name: ece, higher_is_better: false}",
        "metric: {name: accuracy, higher_is_better: true}",
    ],
)
def test_a_direction_may_be_left_to_the_catalogue(project: Path, metric: str) -> None:
    policy(project, metric)


@pytest.mark.parametrize(
    ("metric", "path", "column", "message"),
    [
        ("{name: nll, higher_is_better: true}", "higher_is_better", 39, "better where it is lower"),
        ("{name: accuracy, higher_is_better: false}", "higher_is_better", 44, "it is higher"),
        ("{higher_is_better: false}", "higher_is_better", 10, "no metric that it is"),
        ("{name: entropy}", "name", 16, "neither more nor less of entropy is better"),
        ("{name: mean/accuracy}", "name", 16, "there is no metric 'mean/accuracy'"),
    ],
)
def test_a_metric_that_cannot_decide_is_refused_at_its_place(
    project: Path, metric: str, path: str, column: int, message: str
) -> None:
    with pytest.raises(Diagnostics) as caught:
        policy(project, f"metric: {metric}")
    (fault,) = caught.value.faults
    assert (fault.line, fault.column, fault.path) == (3, column, f"metric.{path}")
    assert message in fault.message
