"""The best trial's experiment, as a spec."""

from dataclasses import replace

import pytest

from hardy.results.search.best import best_yaml
from hardy.results.search.study import best
from hardy.spec import resolve
from tests.results.search.examples import TWO, spec, trials


@pytest.mark.parametrize(
    "reference", ["quickstart", "cifar10/memo", "ensemble/imagenet-sample-fitted"]
)
def test_it_resolves_to_the_same_experiment(reference, tmp_path) -> None:
    given = resolve(reference).units[-1].experiment
    trial = best(trials(TWO), ["max", "min"])
    text = best_yaml(given, "search/memo", TWO, trial, "it is better")
    file = tmp_path / "best.yaml"
    file.write_text(text, encoding="utf-8")
    (unit,) = resolve(str(file)).units
    assert unit.experiment == given
    assert unit.experiment.identity() == given.identity()


def test_it_says_where_it_comes_from() -> None:
    given = resolve("quickstart").units[0].experiment
    trial = best(trials(TWO), ["max", "min"])
    lines = best_yaml(given, "search/memo", TWO, trial, "it is better").splitlines()
    (low, high), _ = trial.intervals
    assert lines[0] == f"# Trial {trial.index} of the search search/memo."
    measured = f"{trial.objectives[0]!r}, 95 % interval {low:.4g} to {high:.4g}"
    assert lines[1] == f"# accuracy on the tuning samples: {measured}"
    assert lines[2].startswith("# ece on the tuning samples: 0.")
    assert lines[3] == "# Tested: it is better."
    assert f"# method.lr: {trial.values['method.lr']!r}" in lines
    assert lines[3 + len(trial.values) + 1].startswith("name: ")


def test_no_label_ends_the_comment() -> None:
    search = spec({"a": ["x\n\nname: other", "\u2028y"], "b": [["\n"]]})
    given = resolve("quickstart").units[0].experiment
    for label in search.space["a"].labels:
        trial = replace(
            trials(TWO)[0], values={"a": label, "b": search.space["b"].labels[0]}, intervals=()
        )
        lines = best_yaml(given, "n", search, trial, "").splitlines()
        assert lines[5].startswith("name: ")
