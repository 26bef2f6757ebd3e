"""Suites: their members' units, names, overrides; and weights that another experiment yields."""

from pathlib import Path

import pytest

from hardy.methods.evaluate.spec import SourceSpec
from hardy.spec import Diagnostics, named_suites, resolve

PLAIN = "extends: base/parts.yaml\n"


@pytest.fixture
def family(project: Path) -> Path:
    folder = project / "experiments"
    (folder / "one.yaml").write_text(PLAIN + "name: one\nmatrix: {seed: [0, 1]}\n")
    (folder / "two.yaml").write_text(PLAIN + "name: two\nregister: robust\n")
    (folder / "suites").mkdir()
    (folder / "suites" / "both.yaml").write_text(
        "name: both\ndescription: Both.\nsuite:\n  - one\n  - two\n"
        "  - {experiment: two, set: [seed=5, method.steps=2], name: longer}\n"
    )
    return folder


@pytest.mark.usefixtures("family")
def test_a_suite_is_the_units_of_its_members() -> None:
    suite = resolve("suites/both")
    assert [u.experiment.name for u in suite.units] == ["one/0", "one/1", "two", "two/longer"]
    assert [member.name for member in suite.members] == ["one", "two", "two/longer"]
    assert [len(member.units) for member in suite.experiments] == [2, 1, 1]
    assert (suite.name, suite.description) == ("both", "Both.")
    longer = suite.units[3].experiment
    assert (longer.seed, longer.method.steps, longer.register_as) == (5, 2, "robust")


@pytest.mark.usefixtures("family")
def test_overrides_reach_every_member_after_its_own() -> None:
    suite = resolve("suites/both", ["seed=7"])
    assert [u.experiment.name for u in suite.units] == ["one", "two", "two/longer"]
    assert {u.experiment.seed for u in suite.units} == {7}
    assert suite.units[2].experiment.method.steps == 2


@pytest.mark.usefixtures("family")
def test_a_plain_experiment_has_no_members() -> None:
    one = resolve("one")
    assert one.members == ()
    assert one.experiments == (one,)


def test_suites_are_named(family: Path) -> None:
    assert named_suites() == [("suites/both", "Both.", family / "suites" / "both.yaml")]


def test_a_fault_points_into_the_member_and_notes_the_suite(family: Path) -> None:
    (family / "two.yaml").write_text(PLAIN + "name: two\nsed: 1\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("suites/both")
    (fault,) = caught.value.faults
    assert (fault.file, fault.line) == ("experiments/two.yaml", 3)
    assert fault.note == "in the suite at experiments/suites/both.yaml:5"


def test_a_fault_in_what_a_member_extends_notes_both(family: Path) -> None:
    (family / "base" / "parts.yaml").write_text("data: {dataset: no}\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("suites/both")
    notes = {fault.note for fault in caught.value.faults if fault.path == "data.dataset"}
    assert notes == {
        "extended by experiments/one.yaml:1, in the suite at experiments/suites/both.yaml:4"
    }


@pytest.fixture
def trained(family: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the method `source` yield weights, as a method that trains would."""
    monkeypatch.setattr(SourceSpec, "yields_weights", True)
    source = PLAIN + "method: {kind: source}\n"
    (family / "train.yaml").write_text(source + "name: train\n")
    (family / "tune.yaml").write_text(source + "name: tune\nmodel: {weights: 'experiment:train'}\n")
    (family / "use.yaml").write_text(PLAIN + "name: use\nmodel: {weights: 'experiment:tune'}\n")
    return family


@pytest.mark.usefixtures("trained")
def test_a_unit_knows_what_it_needs() -> None:
    (use,) = resolve("use").units
    tune = use.needs["model.weights"]
    assert tune.experiment.name == "tune"
    train = tune.needs["model.weights"]
    assert train.experiment.name == "train"
    assert not train.needs


@pytest.mark.usefixtures("trained")
def test_units_share_what_they_need_and_overrides_stay_out_of_it() -> None:
    units = resolve("use", ["matrix={seed: [3, 4]}"]).units
    (first, second) = (unit.needs["model.weights"] for unit in units)
    assert first is second
    assert first.experiment.seed == 0


@pytest.mark.parametrize(
    ("reference", "circle"),
    [
        ("train", "train -> tune -> train"),
        ("tune", "tune -> train -> tune"),
        ("use", "tune -> train -> tune"),
    ],
)
def test_a_circle_is_named(trained: Path, reference: str, circle: str) -> None:
    text = (trained / "train.yaml").read_text()
    (trained / "train.yaml").write_text(text + "model: {weights: 'experiment:tune'}\n")
    with pytest.raises(Diagnostics) as caught:
        resolve(reference)
    (fault,) = caught.value.faults
    assert fault.message == f"the weights make a circle: {circle}"


@pytest.mark.usefixtures("trained")
def test_its_own_plain_run_is_no_circle() -> None:
    (unit,) = resolve("train", ["model.weights=experiment:train"]).units
    assert unit.needs["model.weights"].experiment.name == "train"
    assert not unit.needs["model.weights"].needs


def test_a_method_that_trains_nothing_is_told_when_validating(family: Path) -> None:
    (family / "use.yaml").write_text(PLAIN + "name: use\nmodel: {weights: 'experiment:two'}\n")
    with pytest.raises(Diagnostics) as caught:
        resolve("use")
    (fault,) = caught.value.faults
    assert (fault.line, fault.path) == (3, "model.weights")
    assert "its method memo trains none" in fault.message
