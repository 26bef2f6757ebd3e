import io

import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.imagenet import class_map, imagenet_classes, imagenet_synsets
from hardy.data.spec import DataSpec
from tests.data import carried


def jpeg(colour):
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, "JPEG")
    return stream.getvalue()


PHOTOGRAPH = jpeg("red")


def lay_out(root, folders, name="x.JPEG"):
    for folder in folders:
        path = root / folder
        path.mkdir(parents=True)
        (path / name).write_bytes(PHOTOGRAPH)


def opened(dataset, root, **fields):
    return carried.opened(DataSpec(dataset=dataset, root=str(root), **fields))


@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r"])
def test_the_200_classes_restrict_the_outputs(name, tmp_path):
    indices = class_map(name)
    lay_out(tmp_path / "set", [imagenet_synsets()[index] for index in indices])
    (tmp_path / "set" / "README.txt").write_text("left aside")
    found = opened(name, tmp_path / "set")
    assert found.model_indices == indices
    assert found.classes == tuple(imagenet_classes()[index] for index in indices)
    for sample in found.samples:
        synset = sample.id.split("/")[0]
        assert imagenet_synsets()[indices[sample.label]] == synset
    assert found.read(found.samples[0]).size == (4, 4)


@pytest.mark.parametrize("below", ["", "val"])
def test_imagenet_val_with_or_without_its_folder(below, tmp_path):
    lay_out(tmp_path / "set" / below, imagenet_synsets())
    found = opened("imagenet-val", tmp_path / "set")
    assert (len(found.samples), found.model_indices) == (1000, None)
    assert [s.label for s in found.samples] == list(range(1000))  # WordNet ids sort as outputs do


def test_imagenetv2s_folders_are_numbers(tmp_path):
    lay_out(tmp_path / "set" / "imagenetv2-matched-frequency-format-val", map(str, range(1000)))
    found = opened("imagenetv2", tmp_path / "set")
    assert all(str(sample.label) == sample.id.split("/")[0] for sample in found.samples)
    assert found.classes == imagenet_classes()


def test_imagenet_c_is_read_at_its_corruption_and_severity(tmp_path):
    lay_out(tmp_path / "set" / "fog" / "2", imagenet_synsets())
    found = opened("imagenet-c", tmp_path / "set", split="fog/2")
    assert found.samples[0].id == "fog/2/n01440764/x.JPEG"
    with pytest.raises(DataError, match="fog/3") as caught:
        opened("imagenet-c", tmp_path / "set", split="fog/3")
    assert "CORRUPTION/SEVERITY" in caught.value.hint


def test_another_layout_says_what_was_found_and_expected(tmp_path):
    lay_out(tmp_path / "part", ["n01440764", "n01443537", "n99999999"])
    with pytest.raises(DataError, match=r"found 2 of imagenet-val's 1000.*n99999999") as caught:
        opened("imagenet-val", tmp_path / "part")
    assert "dataset: folder" in caught.value.hint
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "ILSVRC2012_val_00000001.JPEG").write_bytes(PHOTOGRAPH)
    with pytest.raises(DataError, match="found 1 files and no class folders"):
        opened("imagenet-val", tmp_path / "flat")


def test_an_absent_set_says_where_to_get_it(tmp_path):
    with pytest.raises(DataError, match="does not exist") as caught:
        opened("imagenet-a", tmp_path / "nowhere")
    assert "github.com/hendrycks" in caught.value.hint
    assert "data.download: true" in caught.value.hint
