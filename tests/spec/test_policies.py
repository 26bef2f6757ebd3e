"""Policies: gates that nothing can pass, aliases that nobody gives, and who is no candidate."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from hardy.cli.main import cli
from hardy.cli.main import run as command
from hardy.registry.spec import Policy
from hardy.spec import Diagnostics, check_policies, load_policy, resolve
from hardy.spec.policies import not_taken
from hardy.tasks.names import METRICS

HEAD = "model: one\ncandidates: {experiments: ['*'], dataset: imagenet-sample}\n"
USE = "extends: base/parts.yaml\nname: try/use\nregister: one\n"


@pytest.fixture(autouse=True)
def in_the_project(project: Path) -> Path:
    return project


def write(project: Path, text: str, name: str = "one") -> None:
    (project / "registry" / f"{name}.yaml").write_text(text)


def faults(project: Path, text: str):
    write(project, text)
    with pytest.raises(Diagnostics) as caught:
        load_policy("one")
    return caught.value.faults


@pytest.mark.parametrize(
    ("gate", "path", "said"),
    [
        ("{metric: accuracy, at_least: 2}", "at_least", "accuracy is never more than 1"),
        ("{metric: ece, at_most: -0.1}", "at_most", "ece is never less than 0"),
        ("{metric: nll, at_most: -1}", "at_most", "nll is never less than 0"),
        ("{metric: accuracy, at_least: 0.9, at_most: 0.8}", "metric", "at least 0.9 and at most"),
    ],
)
def test_a_gate_that_nothing_can_pass_is_a_fault(project, gate, path, said):
    (fault,) = faults(project, f"{HEAD}gates:\n  - {gate}\n")
    assert said in fault.message
    assert fault.line == 4
    assert fault.path.startswith("gates.0")
    assert path in fault.path or path == "metric"


@pytest.mark.parametrize("gate", ["accuracy, at_least: 1", "nll, at_least: 3", "ece, at_most: 0"])
def test_a_bound_at_the_end_of_the_range_is_none(project, gate):
    write(project, f"{HEAD}gates:\n  - {{metric: {gate}}}\n")
    load_policy("one")


def test_every_metric_of_a_classifier_has_its_range():
    assert METRICS["accuracy"].range == METRICS["ece"].range == (0, 1)
    assert METRICS["nll"].range == (0, None)


def test_an_alias_that_no_policy_of_the_model_gives_is_a_fault(project):
    (fault,) = faults(project, f"{HEAD}gates:\n  - {{better_than: champoin}}\n")
    assert fault.message.startswith("no policy of 'one' gives the alias 'champoin'")
    assert (fault.line, fault.suggestion.partition(" or ")[0]) == (4, "champion")


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_the_policys_own_alias_and_the_challengers_can_be_beaten(project, alias):
    write(project, f"{HEAD}gates:\n  - {{better_than: {alias}}}\n")
    load_policy("one")


def test_another_policy_of_the_model_may_give_the_alias(project):
    gate = f"{HEAD}gates:\n  - {{better_than: nightly}}\n"
    assert len(faults(project, gate)) == 1
    write(project, HEAD.replace("one", "other") + "alias: nightly\n", "other")
    assert len(faults(project, gate)) == 1  # it is of another model
    write(project, HEAD + "alias: nightly\n", "nightly")
    load_policy("one")


def test_a_broken_policy_beside_it_is_no_hindrance(project):
    write(project, "model: [\n", "broken")
    write(project, f"{HEAD}gates:\n  - {{better_than: champion}}\n")
    load_policy("one")
    write(project, f"{HEAD}gates:\n  - {{better_than: staging}}\n")
    load_policy("one")  # the broken one may give it
    with pytest.raises(Diagnostics):
        load_policy("broken")


def refused(project: Path, use: str, policy: str = HEAD) -> str:
    write(project, policy)
    (project / "experiments" / "use.yaml").write_text(use)
    done = CliRunner().invoke(cli, ["validate", "use"])
    assert done.exit_code == 2, done.output
    return done.output


def test_validate_says_who_is_no_candidate(project):
    told = refused(project, USE, HEAD.replace("['*']", "[other]"))
    assert "experiments/use.yaml:3:11: register: experiment 'try/use' is no candidate of" in told
    told = refused(project, USE + "data: {dataset: imagenet-a}\n")
    assert "was measured on imagenet-a, 'one' compares on imagenet-sample" in told


@pytest.mark.parametrize(
    ("axis", "said"),
    [
        ("seed: [0, 1]", "the runs differ in seed: a version is one model with one method"),
        ("method.steps: [1, 2]", "the runs differ in method"),
    ],
)
def test_validate_says_that_runs_are_not_one_version(project, axis, said):
    assert said in refused(project, f"{USE}matrix: {{{axis}}}\n")


def test_several_fitted_runs_are_not_one_version(project):
    model = "{kind: open_clip, name: hardy-shapes, weights: random}"
    use = (
        f"name: use\ndata: {{dataset: shapes, split: train}}\nmodel: {model}\nregister: one\n"
        "method: {kind: contrastive, validate_on: {split: test}}\n"
        "matrix: {data.shapes.count: [9, 8]}\n"
    )
    told = refused(project, use, HEAD.replace("imagenet-sample", "shapes"))
    assert "2 runs trained 2 models: a version is one model" in told
    one = use.replace("[9, 8]", "[9]")
    (project / "experiments" / "use.yaml").write_text(one)
    done = CliRunner().invoke(cli, ["validate", "use"])
    assert done.exit_code == 0, done.output


def test_a_fault_of_the_policy_is_told_with_its_place(project):
    told = refused(project, USE, f"{HEAD}gates:\n  - {{metric: accuracy, at_least: 2}}\n")
    assert "registry/one.yaml:4:34: gates.0.at_least: no version can pass" in told


def test_run_refuses_before_anything_is_computed_and_plan_says_so(project, capsys):
    write(project, HEAD.replace("['*']", "[other]"))
    (project / "experiments" / "use.yaml").write_text(USE)
    assert command(["run", "use"]) == 2
    assert "is no candidate of 'one'" in capsys.readouterr().err
    assert command(["plan", "use"]) == 0
    assert "`hardy run` refuses: experiments/use.yaml:3: register:" in capsys.readouterr().out
    check_policies(resolve("use", ["register=null"]))


def test_a_unit_of_a_matrix_is_a_candidate_by_its_experiments_name():
    candidates = {"experiments": ["quick"], "dataset": "d"}
    policy = Policy.model_validate({"model": "m", "candidates": candidates})
    assert not_taken(policy, "quick/contrast", "d") is None
    assert "no candidate" in not_taken(policy, "quicker/contrast", "d")[0]
    assert "measured on e" in not_taken(policy, "quick/contrast", "e")[0]


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("gates: [{metric: samples, at_least: 9, by: interval}]", "gates.0.by", "no interval"),
        (
            "metric: {name: nll}\ngates: [{better_than: champion, test: mcnemar}]",
            "gates.0.test",
            "counts right and wrong; the policy's metric is nll",
        ),
        (
            "metric: {name: seconds_per_sample}\ngates: [{better_than: champion}]",
            "gates.0.better_than",
            "which is no answer's",
        ),
        (
            "gates: [{metric: ece, at_most: 0.1}, {metric: accuracy, at_least: 0.9}, "
            "{metric: accuracy, at_most: 0.8}]",
            "gates.2",
            "accuracy is at least 0.9 and at most 0.8",
        ),
    ],
)
def test_gates_that_cannot_be_met_are_faults(project, text, path, said):
    (fault,) = faults(project, f"{HEAD}{text}\n")
    assert fault.path == path
    assert said in fault.message


@pytest.mark.parametrize(
    "text",
    [
        "metric: {name: error}\ngates: [{better_than: champion, test: mcnemar}]",
        "metric: {name: nll}\ngates: [{better_than: champion}]",
        "gates: [{metric: accuracy, at_least: 0.8}, {metric: accuracy, at_most: 0.9}]",
        "gates: [{metric: ece, at_most: 0.1, by: interval}]",
    ],
)
def test_gates_that_can_be_met_are_none(project, text):
    write(project, f"{HEAD}{text}\n")
    load_policy("one")
