"""Nothing is tried on what was learnt from: roles of one unit, and what its weights came from."""

import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.leaks import check_apart
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec


def spec_of(root, colours):
    for index, colour in enumerate(colours):
        path = root / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    return DataSpec(dataset="folder", root=str(root))


@pytest.fixture
def folder(tmp_path):
    return lambda name, colours: open_dataset(spec_of(tmp_path / name, colours))


@pytest.fixture
def train(folder):
    return folder("train", [(i, 0, 0) for i in range(6)])


@pytest.fixture
def others(folder):
    return folder("others", [(0, i + 1, 0) for i in range(4)])


def test_disjoint_samples_pass(train, others):
    check_apart("tried", {"fit": others, "answer": train})
    check_apart("tried", {"answer": others}, {"trained": train})


def test_a_shared_image_of_two_roles_is_named_with_both_places(folder, train):
    mixed = folder("mixed", [(0, 9, 0), (0, 8, 0), (3, 0, 0)])
    with pytest.raises(DataError) as caught:
        check_apart("trained", {"fit": train, "validate": mixed})
    assert caught.value.message == (
        "1 held-out images of trained are among its other samples, such as class0/2.png "
        "(to validate), which is class1/3.png (to fit)"
    )


def test_one_set_may_be_for_several_roles(tmp_path, train, others):
    again = open_dataset(DataSpec(dataset="folder", root=str(tmp_path / "others")))
    assert again is not others
    check_apart("trained", {"fit": train, "validate": others, "answer": others})
    check_apart("trained", {"fit": train, "validate": others, "answer": again})


@pytest.mark.parametrize("role", ["validate", "answer"])
def test_what_was_trained_on_is_not_tried(folder, train, others, role):
    mixed = folder("mixed", [(0, 9, 0), (0, 8, 0), (3, 0, 0)])
    with pytest.raises(DataError, match="1 images of tried are among those that trained") as caught:
        check_apart("tried", {role: mixed}, {"other": others, "trained": train})
    assert "class0/2.png (class1/3.png there)" in caught.value.message


def test_it_may_be_fitted_on_again(train, others):
    check_apart("adapted", {"fit": train, "answer": others}, {"trained": train})


def test_parts_of_one_dataset_do_not_overlap(tmp_path):
    spec = spec_of(tmp_path / "all", [(i, i, 0) for i in range(20)])
    parts = {"fractions": {"train": 0.5, "val": 0.5}, "seed": 1}
    train, val = (
        open_dataset(DataSpec.model_validate(spec.model_dump() | {"partition": parts | part}))
        for part in ({"part": "train"}, {"part": "val"})
    )
    check_apart("tried", {"answer": val}, {"trained": train})
    with pytest.raises(DataError):
        check_apart("tried", {"answer": train}, {"trained": train})
