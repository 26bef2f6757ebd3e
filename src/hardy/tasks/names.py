"""The names of the metrics, light enough to check a spec with."""

from collections.abc import Container, Iterable, Mapping

from hardy.tasks import TASKS
from hardy.tasks.base_spec import Metric, TaskBase

GENERAL: Mapping[str, Metric] = {
    "seconds_per_sample": Metric("mean time that a sample took, in seconds", False, (0, None)),
    "samples": Metric("number of samples", None, (0, None)),
}
"""What every run has, whatever its task."""

METRICS: Mapping[str, Metric] = {
    name: metric
    for named in (*(task.metrics for task in TASKS), GENERAL)
    for name, metric in named.items()
}
"""Metrics of all tasks by name. What several tasks have is named for one meaning and direction."""

DIRECTED: tuple[str, ...] = tuple(
    name for name, metric in METRICS.items() if metric.higher_is_better is not None
)
"""Metrics of which more is better, or less: those that a policy can compete on."""


def expectable(
    answers: Iterable[str],
    votes: Container[str] = (),
    tasks: Iterable[type[TaskBase]] = TASKS,
) -> tuple[str, ...]:
    """Return what a spec may expect: a run's metrics, and those that a matrix's runs have together.

    Args:
        answers: Names of the answers that the methods give, beside each run's own.
        votes: Those that are shares of votes.
        tasks: What the answers may be.
    """
    others, names = list(answers), list[str]()
    for task in tasks:
        own = list(task.metrics)
        names += own
        names += [
            f"{answer}/{name}"
            for answer in others
            for name, metric in task.metrics.items()
            if metric.of_votes or answer not in votes
        ]
        names += [f"delta/{own[0]}", "delta/score", *task.joint]
    return tuple(dict.fromkeys([*names, *GENERAL]))
