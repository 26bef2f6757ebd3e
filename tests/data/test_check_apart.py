import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from hardy.engine.leak import check_leaks
from hardy.plan.inputs import Located, Samples
from hardy.plan.units import PlannedUnit
from hardy.spec import Unit, resolve


def folder(root, colours):
    for index, colour in enumerate(colours):
        path = root / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)
    return DataSpec(dataset="folder", root=str(root))


def planned(data, name, needs=None):
    experiment = resolve("quickstart").units[0].experiment
    changed = experiment.model_copy(update={"data": data, "name": name})
    return PlannedUnit(
        Unit(changed), "f" * 32, Samples("", None), Located(None, "random"), None, needs
    )


@pytest.fixture
def train(tmp_path):
    return planned(folder(tmp_path / "train", [(i, 0, 0) for i in range(6)]), "trained")


def test_disjoint_parts_pass(tmp_path, train):
    data = folder(tmp_path / "test", [(0, i + 1, 0) for i in range(4)])
    check_leaks(planned(data, "tried", train), open_dataset(data))


@pytest.mark.parametrize("links", [1, 2])
def test_a_shared_image_is_found_along_the_whole_chain(tmp_path, train, links):
    data = folder(tmp_path / "test", [(0, 9, 0), (0, 8, 0), (3, 0, 0)])
    between = planned(folder(tmp_path / "other", [(0, 0, 7), (0, 0, 8)]), "between", train)
    unit = planned(data, "tried", train if links == 1 else between)
    with pytest.raises(DataError, match="1 images of tried are among those that trained") as caught:
        check_leaks(unit, open_dataset(data))
    assert "class0/2.png" in caught.value.message


def test_parts_of_one_dataset_do_not_overlap(tmp_path):
    spec = folder(tmp_path / "all", [(i, i, 0) for i in range(20)])
    parts = {"fractions": {"train": 0.5, "val": 0.5}, "seed": 1}
    halves = [
        DataSpec.model_validate(spec.model_dump() | {"partition": parts | {"part": part}})
        for part in ("train", "val")
    ]
    check_leaks(planned(halves[1], "tried", planned(halves[0], "trained")), open_dataset(halves[1]))
    with pytest.raises(DataError):
        check_leaks(planned(halves[0], "x", planned(halves[0], "y")), open_dataset(halves[0]))
