"""What a run of an experiment is measured by, before it runs: what a search may go by."""

from collections.abc import Mapping

from hardy.spec.experiment import Experiment
from hardy.tasks.names import GENERAL


def run_metrics(experiment: Experiment) -> Mapping[str, bool | None]:
    """Return the names of a run's metrics, each with whether more of it is better; None: neither.

    What compares an answer with its baseline is left out: whether a run has it, its task's code
    alone tells.
    """
    task, method = experiment.task, experiment.method
    *others, main = method.answer_names()
    votes = method.votes()
    found: dict[str, bool | None] = {}
    for prefix, answer in [("", main), *((f"{other}/", other) for other in others)]:
        for name, metric in task.metrics.items():
            if metric.of_votes or answer not in votes:
                found[prefix + name] = metric.higher_is_better
    better = task.metrics[task.headline].higher_is_better
    found |= {f"{task.headline}.low": better, f"{task.headline}.high": better}
    found |= {f"share/{name}": False for name in method.warnings}
    found |= {name: metric.higher_is_better for name, metric in GENERAL.items()}
    if method.yields_weights:  # its speed would be that of the training
        found = {name: each for name, each in found.items() if "second" not in name}
    return found
