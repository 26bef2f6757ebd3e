import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.masks import CAMVID
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import OUTSIDE, Preprocess
from hardy.data.spec import DataSpec
from tests.data import carried


def opened(root, dataset="folder", **fields):
    return carried.opened(DataSpec(dataset=dataset, root=str(root), **fields))


def put(folder, name="a", size=(6, 4), labels=(0, 1, 2)):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(folder / "images" / f"{name}.jpg")
    values = np.resize(np.array(labels, np.uint8), (size[1], size[0]))
    Image.fromarray(values).save(folder / "masks" / f"{name}.png")
    return values


def test_images_and_masks_with_a_label_table(tmp_path):
    values = put(tmp_path / "set")
    (tmp_path / "set" / "labels.txt").write_text("ground\nvoid\nhouse\n")
    found = opened(tmp_path / "set")
    assert (found.mask_classes, found.void) == (("ground", "void", "house"), 1)
    assert found.classes == ()
    assert np.array_equal(np.asarray(found.read_mask(found.samples[0])), values)


def test_a_palettes_indices_are_the_labels(tmp_path):
    values = put(tmp_path / "set")
    (tmp_path / "set" / "labels.txt").write_text("a\nb\nc\n")
    mask = Image.fromarray(values, "P")
    mask.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200])
    mask.save(tmp_path / "set" / "masks" / "a.png")
    found = opened(tmp_path / "set")
    assert np.array_equal(np.asarray(found.read_mask(found.samples[0])), values)


@pytest.mark.parametrize(("names", "padded"), [("a\nb\nvoid\n", 2), ("a\nb\nc\n", OUTSIDE)])
def test_what_a_mask_is_padded_with_is_no_class(tmp_path, names, padded):
    put(tmp_path / "set", size=(8, 4), labels=(0, 1))
    (tmp_path / "set" / "labels.txt").write_text(names)
    half = (0.5,) * 3
    preprocess = Preprocess(8, None, "bilinear", half, half, fit="pad")
    item = SamplePipeline(opened(tmp_path / "set"), preprocess, target="mask")[0]
    (mask,) = item.targets.mask.numpy()
    assert (mask[:2] == padded).all()
    assert (mask[6:] == padded).all()
    assert set(np.unique(mask[2:6])) == {0, 1}


def test_the_digest_follows_masks_and_labels(tmp_path):
    for name, labels, table in (
        ("one", (0, 1), "a\nb"),
        ("two", (1, 0), "a\nb"),
        ("three", (0, 1), "a\nc"),
    ):
        put(tmp_path / name, labels=labels)
        (tmp_path / name / "labels.txt").write_text(table)
    assert len({opened(tmp_path / name).digest for name in ("one", "two", "three")}) == 3


def test_camvid_knows_its_labels_and_parts(tmp_path):
    for split in ("train", "val", "test"):
        put(tmp_path / "set" / split, labels=(0, 11))
    found = opened(tmp_path / "set", "camvid", split="val")
    assert found.mask_classes == CAMVID
    assert (found.void, len(CAMVID)) == (11, 12)
    assert found.samples[0].id == "val/images/a.jpg"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda root: (root / "labels.txt").unlink(), r"no labels\.txt"),
        (lambda root: (root / "labels.txt").write_text("a\na\n"), "different names"),
        (lambda root: (root / "labels.txt").write_text("a\n\nb\nc\n"), "line 2 is empty"),
        (lambda root: (root / "labels.txt").write_text("a\nb\nb\n"), "'b' is there 2 times"),
        (lambda root: (root / "labels.txt").write_bytes(b"a\nstra\xdfe\n"), "no text in UTF-8"),
        (lambda root: (root / "masks" / "a.png").unlink(), "there is no mask"),
        (
            lambda root: (root / "masks" / "b.png").write_bytes(b""),
            r"b\.png: there is no image .*images/b\.\*",
        ),
        (
            lambda root: Image.new("RGB", (6, 4)).save(root / "images" / "a.png"),
            r"is the mask of .*a\.jpg and .*a\.png",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, spoil, says):
    put(tmp_path / "set")
    (tmp_path / "set" / "labels.txt").write_text("a\nb\nc\n")
    spoil(tmp_path / "set")
    with pytest.raises(DataError, match=says):
        opened(tmp_path / "set")


def test_a_label_table_as_windows_saves_it(tmp_path):
    put(tmp_path / "set")
    (tmp_path / "set" / "labels.txt").write_bytes(b"\xef\xbb\xbfvoid\r\nb\r\nc\r\n\r\n")
    found = opened(tmp_path / "set")
    assert (found.mask_classes, found.void) == (("void", "b", "c"), 0)


def test_a_mask_with_an_unknown_label_or_with_colours_is_named(tmp_path):
    put(tmp_path / "set", labels=(0, 7))
    (tmp_path / "set" / "labels.txt").write_text("a\nb\n")
    found = opened(tmp_path / "set")
    with pytest.raises(DataError, match=r"a\.png: holds the label 7"):
        found.read_mask(found.samples[0])
    Image.new("RGB", (6, 4)).save(tmp_path / "set" / "masks" / "a.png")
    with pytest.raises(DataError, match=r"a\.png: a mask of mode RGB"):
        found.read_mask(found.samples[0])
