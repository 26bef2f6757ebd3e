"""A root that holds a dataset's published folder, as its archive unpacks, is read as it is."""

import pytest

from hardy.cli.main import run
from hardy.core.errors import DataError
from hardy.data.cards import DATASETS
from hardy.data.imagenet import class_map, imagenet_classes, imagenet_synsets
from hardy.data.open import dataset_if_there, dataset_root, open_dataset
from hardy.data.spec import DataSpec
from tests.data.test_imagenet_sets import lay_out

# Folders of ImageNetV2's three archives; the first is what others call ImageNetV2.
FORMAT_VAL = {
    "imagenetv2": "imagenetv2-matched-frequency-format-val",
    "imagenetv2-threshold0.7": "imagenetv2-threshold0.7-format-val",
    "imagenetv2-top-images": "imagenetv2-top-images-format-val",
}
NUMBERS = [str(index) for index in range(1000)]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a root called `datasets`, named by a relative HARDY_DATA."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARDY_DATA", "datasets")
    return tmp_path / "datasets"


@pytest.mark.parametrize("name", FORMAT_VAL)
def test_imagenetv2_lies_directly_under_the_root(name, root):
    lay_out(root / FORMAT_VAL[name], NUMBERS, "0.jpeg")
    found = open_dataset(DataSpec(dataset=name))
    assert found.classes == imagenet_classes()
    assert found.model_indices is None
    # As text, 10 comes before 2: the label is the number itself.
    assert [int(s.id.split("/")[0]) for s in found.samples] == [s.label for s in found.samples]
    assert {s.label for s in found.samples} == set(range(1000))
    assert found.samples[2].id == "10/0.jpeg"


def test_the_three_sets_of_imagenetv2_are_told_apart(root):
    for number, (name, folder) in enumerate(FORMAT_VAL.items()):
        lay_out(root / folder, NUMBERS, f"{number}.jpeg")
        assert DATASETS[name].folder == folder
    roots = {name: dataset_root(DataSpec(dataset=name)) for name in FORMAT_VAL}
    assert roots == {name: root / folder for name, folder in FORMAT_VAL.items()}
    digests = {open_dataset(DataSpec(dataset=name)).digest for name in FORMAT_VAL}
    assert len(digests) == 3


def test_both_sets_of_the_published_root_pass_the_check(root, capsys):
    """The root of MEMO-TPT-DL2024: ImageNet-A beside ImageNetV2, each as it unpacks."""
    lay_out(root / "imagenet-a", [imagenet_synsets()[i] for i in class_map("imagenet-a")], "x.jpg")
    (root / "imagenet-a" / "README.txt").write_text("left aside")
    lay_out(root / FORMAT_VAL["imagenetv2"], NUMBERS, "0.jpeg")
    assert run(["data", "check", "imagenet-a", "--decode"]) == 0
    out = capsys.readouterr().out
    for words in ("200 samples", "200 of 1,000 outputs", "decoded   200 of 200"):
        assert words in out
    assert run(["data", "check", "imagenetv2"]) == 0
    out = capsys.readouterr().out
    for words in ("1000 samples", "1000: tench", FORMAT_VAL["imagenetv2"]):
        assert words in out


def test_the_name_of_the_dataset_comes_before_the_published_one(root):
    """What `download: true` fetched stays what is read, whatever is put beside it later."""
    lay_out(root / FORMAT_VAL["imagenetv2"], NUMBERS, "0.jpeg")
    assert dataset_root(DataSpec(dataset="imagenetv2")) == root / FORMAT_VAL["imagenetv2"]
    lay_out(root / "imagenetv2", NUMBERS, "1.jpeg")
    assert dataset_root(DataSpec(dataset="imagenetv2")) == root / "imagenetv2"
    inner = root / "imagenetv2" / FORMAT_VAL["imagenetv2"]
    inner.mkdir()
    assert dataset_root(DataSpec(dataset="imagenetv2")) == inner


def test_what_is_there_by_its_published_name_is_not_fetched(root, monkeypatch):
    monkeypatch.setattr("hardy.data.open.fetch_all", lambda *_: pytest.fail("fetched"))
    lay_out(root / FORMAT_VAL["imagenetv2"], NUMBERS, "0.jpeg")
    assert len(open_dataset(DataSpec(dataset="imagenetv2", download=True)).samples) == 1000


def test_an_absent_set_names_both_places(root):
    spec = DataSpec(dataset="imagenetv2")
    assert dataset_if_there(spec) is None
    with pytest.raises(DataError, match=r"neither .* nor .* exists") as caught:
        open_dataset(spec)
    assert str(root / "imagenetv2") in caught.value.message
    assert str(root / FORMAT_VAL["imagenetv2"]) in caught.value.message


def test_a_stated_root_is_the_only_place_looked_at(root, tmp_path):
    lay_out(root / FORMAT_VAL["imagenetv2"], NUMBERS, "0.jpeg")
    elsewhere = DataSpec(dataset="imagenetv2", root=str(tmp_path / "elsewhere"))
    with pytest.raises(DataError) as caught:
        open_dataset(elsewhere)
    assert FORMAT_VAL["imagenetv2"] not in caught.value.message
    assert open_dataset(DataSpec(dataset="imagenetv2", root=str(root))).samples


def test_a_folder_whose_name_does_not_tell_is_left_aside(root):
    """`val` may be anything's: it is looked for below the dataset's own name alone."""
    lay_out(root / "val", ["n01440764"])
    assert dataset_if_there(DataSpec(dataset="imagenet-val")) is None
