"""The best trial as a spec that runs as it is."""

from hardy.results.search.trial import Trial
from hardy.results.search.words import interval, number, value_text
from hardy.spec.dump import dump
from hardy.spec.experiment import Experiment
from hardy.spec.search.spec import SearchSpec


def best_yaml(
    experiment: Experiment, name: str, spec: SearchSpec, trial: Trial, verdict: str
) -> str:
    """Return a trial's experiment as a spec, with comments that say where it comes from.

    Args:
        experiment: What the trial ran; with several seeds, that of the first.
        name: The search's.
        spec: What was searched.
        trial: The trial.
        verdict: What its test came to.
    """
    lines = [f"Trial {trial.index} of the search {name}."]
    for place, objective in enumerate(spec.objectives):
        bounds = interval(trial, place)
        text = f"{objective.metric} on the tuning samples: {number(trial.objectives[place])}"
        lines.append(
            f"{text}, 95 % interval {bounds[0]:.4g} to {bounds[1]:.4g}" if bounds else text
        )
    lines += [f"Tested: {verdict}."]
    lines += [
        f"{path}: {value_text(spec, path, trial.values[path])}"
        for path in spec.space
        if path in trial.values
    ]
    return "".join(f"# {line}\n" for line in lines) + dump(experiment)
