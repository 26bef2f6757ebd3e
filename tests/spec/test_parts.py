"""A method that needs parts of a dataset that is one whole: who gets which, where it is kept."""

import json
from typing import ClassVar, Self

import pytest
from PIL import Image
from pydantic import ValidationError

from hardy.core.errors import DataError
from hardy.data.held_out_spec import HeldOut
from hardy.data.open import open_dataset
from hardy.data.spec import OWN_PARTS, DataSpec
from hardy.engine.progress import Reporter
from hardy.engine.unit import _datasets, _note_inputs
from hardy.methods.evaluate.spec import SourceSpec
from hardy.plan.units import make_plan
from hardy.spec import Experiment, Unit, dump
from tests.engine.runs import KeptRun, set_up_of
from tests.plan.helpers import NO_STORES, resolved


class Trainer(SourceSpec):
    """Stands for any method that trains."""

    makes_head: ClassVar[bool] = True
    yields_weights: ClassVar[bool] = True

    validate_on: HeldOut | None = None
    answer_on: HeldOut | None = None

    @property
    def wants_parts(self) -> bool:
        return self.validate_on is None

    def on_parts(self, validate: HeldOut, answer: HeldOut) -> Self:
        return self.model_copy(update={"validate_on": validate, "answer_on": answer})

    def roles(self):
        return {"fit": None, "validate": self.validate_on, "answer": self.answer_on}


Trainer.__module__ = SourceSpec.__module__  # so that the engine finds a method to it


def experiment(data, method=None):
    parts = {"name": "own", "data": data, "model": {"kind": "hardy"}, "seed": 4}
    compute = {"compute": {"device": "cpu"}}
    return Experiment.model_validate(parts | compute | {"method": method or Trainer()})


@pytest.fixture
def photographs(tmp_path):
    def make(**counts):
        for name, count in counts.items():
            (tmp_path / "own" / name).mkdir(parents=True)
            for n in range(count):
                colour = (n * 9 % 256, len(name) * 20, 40)
                Image.new("RGB", (40, 36), colour).save(tmp_path / "own" / name / f"{n:02}.png")
        return {"dataset": "folder", "root": str(tmp_path / "own")}

    return make


def test_one_whole_is_divided_and_the_spec_says_so():
    found = experiment({"dataset": "folder", "root": "own"})
    assert found.data.partition == OWN_PARTS
    assert found.data.partition.part == "train"
    assert found.data.partition.seed == 0
    assert found.method.roles() == {
        "fit": None,
        "validate": HeldOut(part="val"),
        "answer": HeldOut(part="test"),
    }
    assert "fractions:\n      train: 0.7\n      val: 0.15\n      test: 0.15\n" in dump(found)
    again = experiment(found.data.model_dump(), found.method)
    assert again == found


def test_what_is_stated_and_what_needs_no_parts_stay():
    own = {"dataset": "folder", "root": "own"}
    assert experiment(own, SourceSpec()).data.partition is None
    halves = {"fractions": {"a": 0.5, "b": 0.5}, "part": "a"}
    stated = Trainer(validate_on=HeldOut(part="b"), answer_on=HeldOut(part="b"))
    found = experiment({**own, "partition": halves}, stated)
    assert found.method == stated
    assert found.data.partition.fractions == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ({"dataset": "cifar10"}, "data: {split: train}, write method: {validate_on: {split: test}"),
        ({"dataset": "camvid"}, "data: {split: train}, write method: {validate_on: {split: val}"),
        (
            {
                "dataset": "folder",
                "root": "own",
                "partition": {"fractions": {"fit": 0.5, "rest": 0.5}, "part": "fit"},
            },
            "data.partition, write method: {validate_on: {part: rest}",
        ),
    ],
)
def test_where_there_are_parts_the_lines_to_write_are_told(data, lines):
    with pytest.raises(ValidationError) as caught:
        experiment(data)
    assert lines in str(caught.value)


def test_the_division_is_stratified_stored_and_found_again(photographs):
    own = photographs(ant=20, bee=10)
    asked = experiment(own)
    (unit,) = make_plan(resolved(Unit(asked)), NO_STORES, None).units
    data = _datasets(unit)
    counts = {
        role: [sum(s.label == label for s in each.samples) for label in (0, 1)]
        for role, each in data.items()
    }
    # Ends of the shares: 14, 17, 20 and 7, 8.5 (to the even 8), 10.
    assert counts == {"fit": [14, 7], "validate": [3, 1], "answer": [3, 2]}
    setup, run = set_up_of(unit), KeptRun()
    assert setup.model.outputs() == 2
    _note_inputs(setup, run, Reporter())
    kept = json.loads(run.files["data/parts.json"])["parts"]
    for role, part in (("fit", "train"), ("validate", "val"), ("answer", "test")):
        assert kept[part]["ids"] == [sample.id for sample in data[role].samples]
    # A later experiment states the same partition, with the part that it wants.
    test = OWN_PARTS.model_copy(update={"part": "test"}).model_dump()
    later = open_dataset(DataSpec.model_validate({**own, "partition": test}))
    assert [s.id for s in later.samples] == kept["test"]["ids"]
    assert later.digest == data["answer"].digest


def test_a_class_of_too_few_is_told_with_how_many_it_needs(photographs):
    own = photographs(ant=20, bee=5, cat=6, dog=1)
    with pytest.raises(DataError) as caught:
        make_plan(resolved(Unit(experiment(own))), NO_STORES, None)
    assert caught.value.message == (
        "data.partition: each class of folder needs at least 6 images to be divided into "
        "train 70%, val 15%, test 15%; bee has 5, dog has 1"
    )
    assert "data.classes.exclude" in caught.value.hint
    kept = experiment({**own, "classes": {"exclude": ["bee", "dog"]}})
    assert make_plan(resolved(Unit(kept)), NO_STORES, None).units[0].samples["answer"].count == 4


@pytest.mark.parametrize("count", range(6, 40))
def test_as_many_as_are_asked_for_are_enough(count):
    from hardy.data.parts import _sizes

    assert all(_sizes(count, OWN_PARTS.fractions.values()))
    assert sum(_sizes(count, OWN_PARTS.fractions.values())) == count
