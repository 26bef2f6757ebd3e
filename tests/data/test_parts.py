import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hardy.core.errors import DataError, SpecError
from hardy.data.dataset import Dataset, Sample, read_file
from hardy.data.open import open_dataset, open_division
from hardy.data.parts import divide, draw, of_classes
from hardy.data.spec import ClassFilter, DataSpec, Partition, Shapes, Subset

CLASSES = ("Birman", "Bombay", "beagle", "pug")


def dataset_of(*sizes):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    samples = tuple(Sample(f"{n:04}", label, Path("x"), f"c{n}") for n, label in enumerate(labels))
    return Dataset("made", CLASSES[: len(sizes)], None, samples, read_file)


def labels(dataset):
    return Counter(sample.label for sample in dataset.samples)


def test_fraction_and_count_draw_the_same_samples():
    whole = dataset_of(30, 10)
    assert draw(whole, Subset(fraction=0.25)).samples == draw(whole, Subset(count=10)).samples


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0.01, 1), st.integers(0, 9))
def test_stratified_draws_keep_each_classs_share(sizes, fraction, seed):
    whole = dataset_of(*sizes)
    part = draw(whole, Subset(fraction=fraction, stratified=True, seed=seed))
    share = len(part.samples) / sum(sizes)
    found = labels(part)
    assert len(part.samples) == max(1, round(fraction * sum(sizes)))
    assert all(abs(found[n] - share * size) < 1 for n, size in enumerate(sizes))
    assert list(part.samples) == sorted(set(part.samples), key=lambda s: s.id)


@given(st.lists(st.integers(10, 40), min_size=1, max_size=4), st.booleans(), st.integers(0, 9))
def test_a_division_uses_every_sample_once(sizes, stratified, seed):
    whole = dataset_of(*sizes)
    fractions = {"train": 0.5, "val": 0.2, "test": 0.3}
    spec = Partition(fractions=fractions, part="val", stratified=stratified, seed=seed)
    division = divide(whole, spec)
    places = [place for part in division.places.values() for place in part]
    assert sorted(places) == list(range(len(whole.samples)))
    for name, fraction in fractions.items():
        groups = sizes if stratified else [sum(sizes)]
        assert abs(len(division.places[name]) - fraction * sum(sizes)) <= len(groups)


def test_published_sizes_come_out_exactly():
    spec = Partition(fractions={"train": 3180 / 3680, "val": 500 / 3680}, part="val")
    places = divide(dataset_of(3680), spec).places
    assert {name: len(part) for name, part in places.items()} == {"train": 3180, "val": 500}


def test_a_division_can_be_kept_with_a_run():
    whole = dataset_of(4, 6)
    division = divide(whole, Partition(fractions={"a": 0.5, "b": 0.5}, part="a"))
    stored = json.loads(json.dumps(division.as_json()))
    assert stored["digest"] == whole.digest
    assert stored["parts"]["b"]["places"] == list(division.places["b"])
    assert [s.id for s in division.part("b").samples] == stored["parts"]["b"]["ids"]


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="'val' of made's 3 is empty"):
        divide(dataset_of(3), Partition(fractions={"train": 0.9, "val": 0.1}, part="val"))


def test_classes_by_name_and_pattern_keep_their_labels():
    whole = dataset_of(2, 3, 4, 5)
    kept = of_classes(whole, ClassFilter(include=("Birman", "[a-z]*")))
    assert labels(kept) == {0: 2, 2: 4, 3: 5}
    assert labels(of_classes(whole, ClassFilter(exclude=("B*",)))) == {2: 4, 3: 5}
    assert of_classes(whole, ClassFilter(exclude=("pug",))).classes == CLASSES


def test_an_unknown_class_is_answered_with_a_near_one():
    with pytest.raises(DataError, match="no class 'birmann'") as caught:
        of_classes(dataset_of(1, 1), ClassFilter(include=("birmann",)))
    assert "Birman" in caught.value.hint
    with pytest.raises(DataError, match="no sample"):
        of_classes(dataset_of(1, 1), ClassFilter(exclude=("*",)))


def shapes(**fields):
    return DataSpec(dataset="shapes", shapes=Shapes(count=60), **fields)


def test_a_spec_takes_its_part_after_classes_and_before_the_subset():
    halves = {"fractions": {"train": 0.5, "val": 0.5}, "stratified": True}
    wanted = ClassFilter(include=("circle", "star"))
    parts = {
        name: shapes(classes=wanted, partition=Partition(**halves, part=name))
        for name in ("train", "val")
    }
    train, val = (open_dataset(spec) for spec in parts.values())
    assert labels(train) == labels(val) == {0: 5, 5: 5}
    assert not set(train.samples) & set(val.samples)
    assert open_division(parts["val"]).part("train").samples == train.samples
    few = parts["val"].model_copy(update={"subset": Subset(count=3)})
    assert set(open_dataset(few).samples) < set(val.samples)
    with pytest.raises(SpecError, match=r"data\.partition is missing"):
        open_division(shapes())


def test_all_that_chooses_samples_is_in_the_identity_and_nothing_else():
    plain = DataSpec(dataset="cifar10").identity()
    for field in (
        {"split": "train"},
        {"classes": ClassFilter(exclude=("cat",))},
        {"subset": Subset(count=3)},
        {"partition": Partition(fractions={"a": 0.5}, part="a")},
    ):
        assert DataSpec(dataset="cifar10", **field).identity() != plain
    aside = DataSpec(dataset="cifar10", download=True, expect_source_accuracy={"at_least": 0.5})
    assert aside.identity() == plain


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"subset": {"count": 1, "fraction": 0.5}}, "either count or fraction"),
        ({"subset": {}}, "either count or fraction"),
        ({"partition": {"fractions": {"a": 0.7, "b": 0.4}, "part": "a"}}, "add up to 1.1"),
        ({"partition": {"fractions": {"a": 0.7}, "part": "b"}}, "not among a"),
        ({"expect_source_accuracy": {"at_least": 0.9, "at_most": 0.1}}, "above at_most"),
        ({"split": "val"}, "which cifar10 has not; it has test, train"),
        ({"shapes": {}}, "cifar10 is not drawn"),
        ({"dataset": "imagenet-c"}, "needs data.split, such as gaussian_noise/1"),
        ({"dataset": "digits", "split": "train"}, "it is one whole"),
        ({"dataset": "imagenet-val", "download": True}, "no public address"),
    ],
)
def test_what_cannot_be_is_refused(fields, says):
    with pytest.raises(ValidationError, match=says):
        DataSpec.model_validate({"dataset": "cifar10", **fields})


def test_a_stored_corruption_is_named_as_a_shift():
    assert DataSpec(dataset="imagenet-c", split="fog/4").shift_label == "fog-4"
    assert DataSpec(dataset="cifar10").shift_label == "none"
