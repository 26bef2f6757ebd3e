import json

import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.cards import DATASETS
from hardy.data.coop import LAYOUTS
from hardy.data.spec import DataSpec
from tests.data import carried

LAND = ("Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road")
LAND += ("Industrial Buildings", "Pasture_Land", "Permanent Crop Land", "Residential Buildings")
LAND += ("River", "Sea or Lake")
FILE = "split_zhou_EuroSAT.json"


def opened(root, dataset="eurosat", **fields):
    return carried.opened(DataSpec(dataset=dataset, root=str(root), **fields))


def rows(count, name="{}.jpg", names=LAND):
    """Every class once, the highest label first, so that the order of the file shows."""
    return [[name.format(label), label, names[label]] for label in reversed(range(count))]


def put(root, parts, *, folder="2750", file=FILE):
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path, label, _ in (row for part in parts.values() for row in part):
        (root / folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), (label, 0, 0)).save(root / folder / path, "PNG")
    (root / file).write_text(json.dumps(parts))


@pytest.fixture
def land(tmp_path):
    parts = {
        "train": rows(10, "a/train_{}.jpg"),
        "val": rows(4, "val_{}.jpg"),
        "test": rows(10, "test_{}.jpg"),
    }
    put(tmp_path, parts)
    return tmp_path, parts


def rewrite(root, parts):
    (root / FILE).write_text(json.dumps(parts))
    return root


def test_a_part_is_sorted_and_has_the_classes_of_all_parts(land):
    root, _ = land
    found = opened(root)
    assert [s.id for s in found.samples] == [f"2750/test_{label}.jpg" for label in range(10)]
    assert [s.label for s in found.samples] == list(range(10))
    assert [np.asarray(found.read(s))[0, 0, 0] for s in found.samples] == list(range(10))
    assert found.classes[5] == "Pasture Land"
    assert found.model_indices is None
    few = opened(root, split="val")
    assert (len(few.samples), few.classes) == (4, found.classes)
    assert len({opened(root, split=part).digest for part in ("train", "val", "test")}) == 3


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_set_has_its_folder_and_its_number_of_classes(name, tmp_path):
    folder, file = LAYOUTS[name]
    count = DATASETS[name].classes
    names = [f"class_{label}" for label in range(count)]
    seen = [["x/0.jpg", 0, "class_0"]]
    put(tmp_path, {"test": seen}, folder=folder, file=file)
    parts = {"train": rows(count, "x/{}.jpg", names), "val": [], "test": seen}
    (tmp_path / file).write_text(json.dumps(parts))  # the photographs of other parts may lack
    found = opened(tmp_path, name)
    assert [s.path for s in found.samples] == [tmp_path / folder / "x/0.jpg"]
    assert found.classes == tuple(f"class {label}" for label in range(count))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (["../out.jpg", 0, LAND[0]], r"\.\./out\.jpg leaves the folder"),
        (["/etc/passwd", 0, LAND[0]], "/etc/passwd leaves the folder"),
        (["gone.jpg", 0, LAND[0]], r"2750/gone\.jpg: split_zhou_EuroSAT\.json names it"),
        (["test_0.jpg", 0, LAND[0]], r"names test_0\.jpg twice"),
        (["test_0.jpg", 0, "Tundra"], "label 0 is 'Annual Crop Land' and 'Tundra'"),
        (["test_0.jpg", 10, "Tundra"], "found 11 classes, expected eurosat's 10; label 10 is unk"),
        (["test_0.jpg", "0", LAND[0]], r'cannot read the entry \["test_0\.jpg", "0"'),
        (["test_0.jpg", True, LAND[1]], r'cannot read the entry \["test_0\.jpg", true'),
        (["test_0.jpg", 0, " "], r"cannot read the entry"),
        (["test_0.jpg", 0], r"cannot read the entry"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(land, entry, message):
    root, parts = land
    parts["test"].append(entry)
    with pytest.raises(DataError, match=message) as caught:
        opened(rewrite(root, parts))
    assert FILE in caught.value.message
    assert caught.value.hint


def test_a_gap_in_the_labels_is_found(land):
    root, parts = land
    without = {name: [row for row in part if row[1] != 3] for name, part in parts.items()}
    with pytest.raises(DataError, match="found 9 classes, expected eurosat's 10; label 3 is miss"):
        opened(rewrite(root, without))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is no JSON"),
        ("[]", "found no list 'train'"),
        ('{"train": [], "val": []}', "found no list 'test'"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_split_file_is_an_error(land, text, message):
    root, _ = land
    (root / FILE).unlink()
    if text is not None:
        (root / FILE).write_text(text)
    with pytest.raises(DataError, match=message):
        opened(root)


@pytest.fixture
def aircraft(tmp_path):
    """The folder that the publisher's archive holds."""
    root = tmp_path / "fgvc-aircraft-2013b" / "data"
    (root / "images").mkdir(parents=True)
    variants = ["F/A-18", "707-320", "DC-3_x", *(f"An-{n}" for n in range(97))]
    (root / "variants.txt").write_text("\n".join(variants) + "\n")
    lists = {"train": ["3 An-1"], "val": ["4 An-2"], "test": ["2 707-320", "1 F/A-18"]}
    for part, lines in lists.items():
        (root / f"images_variant_{part}.txt").write_text("\n".join(lines) + "\n")
        for number in (line.split()[0] for line in lines):
            Image.new("RGB", (5, 4)).save(root / "images" / f"{number}.jpg")
    return tmp_path, root


def test_aircraft_has_lists_of_its_own(aircraft):
    above, root = aircraft
    found = opened(above, "fgvc-aircraft")
    assert [(s.id, s.label) for s in found.samples] == [("images/1.jpg", 0), ("images/2.jpg", 1)]
    assert found.classes[:3] == ("F/A-18", "707-320", "DC-3_x")  # as the publisher writes them
    assert opened(root, "fgvc-aircraft").digest == found.digest
    assert [s.id for s in opened(above, "fgvc-aircraft", split="val").samples] == ["images/4.jpg"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("images_variant_test.txt", "1 Concorde", "'Concorde' is not among the classes"),
        ("images_variant_test.txt", "../1 F/A-18", r"\.\./1\.jpg leaves the folder"),
        ("images_variant_test.txt", "9 F/A-18", r"images/9\.jpg: images_variant_test\.txt names"),
        ("variants.txt", "F/A-18\n707-320", "found 2 classes, expected fgvc-aircraft's 100"),
        ("variants.txt", "F/A-18\nF/A-18", r"variants\.txt: names a class twice"),
    ],
)
def test_a_wrong_list_of_aircraft_is_named(aircraft, file, text, message):
    above, root = aircraft
    (root / file).write_text(text)
    with pytest.raises(DataError, match=message):
        opened(above, "fgvc-aircraft")
