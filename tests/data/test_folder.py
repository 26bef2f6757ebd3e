import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data import files
from hardy.data.folder import open_dataset


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    return folder


def put(root, *names, colour="red"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(path)


def texts(root, *names):
    root.mkdir()
    for name in names:
        (root / name).write_text("no image")


def test_classes_are_the_sorted_folders_and_samples_are_sorted(root):
    put(root, "dog/b.png", "dog/a.JPEG", "cat/z.webp", "ant/1.gif")
    (root / "README.txt").write_text("left aside")
    (root / ".cache").mkdir()
    found = open_dataset(root)
    assert found.classes == ("ant", "cat", "dog")
    assert found.model_indices is None
    assert [(s.id, s.label) for s in found.samples] == [
        ("ant/1.gif", 0),
        ("cat/z.webp", 1),
        ("dog/a.JPEG", 2),
        ("dog/b.png", 2),
    ]
    assert found.read(found.samples[3]).getpixel((0, 0)) == (255, 0, 0)


def test_wordnet_ids_are_imagenets_classes(root):
    put(root, "n02108422/a.png", "n01440764/b.png")
    found = open_dataset(root)
    assert found.classes == ("tench", "bull mastiff")
    assert found.model_indices == (0, 243)
    assert [s.label for s in found.samples] == [0, 1]


def test_an_unknown_wordnet_id_is_named(root):
    put(root, "n02108422/a.png", "n99999999/b.png")
    with pytest.raises(DataError, match="n99999999"):
        open_dataset(root)


def test_numbers_are_sorted_as_numbers(root):
    put(root, *(f"{label}/x.png" for label in range(12)))
    found = open_dataset(root)
    assert found.classes == tuple(str(label) for label in range(12))
    assert all(str(s.label) == s.id.split("/")[0] for s in found.samples)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "found 0 files and no class folders"),
        (lambda root: texts(root, "a.txt", "b.jpg.md"), "found 2 files and no class folders"),
        (lambda root: put(root, "a/x.png", "b/c/y.png"), "no image in this class folder, but c"),
        (lambda root: (root / "a").mkdir(parents=True), "no image in this class folder, but noth"),
    ],
)
def test_another_layout_says_what_was_found_and_expected(root, make, says):
    make(root / "data")
    with pytest.raises(DataError, match=says) as caught:
        open_dataset(root / "data")
    assert caught.value.hint


def test_images_alone_have_no_classes(root):
    put(root, "b.png", "a.png", ".hidden.png")
    (root / "notes.txt").write_text("left aside")
    found = open_dataset(root)
    assert (found.classes, found.model_indices) == ((), None)
    assert [sample.id for sample in found.samples] == ["a.png", "b.png"]
    assert found.read(found.samples[0]).mode == "RGB"
    (root / "a.png").unlink()
    assert open_dataset(root).digest != found.digest
    (root / "cat").mkdir()
    assert open_dataset(root).classes == ()
    put(root, "cat/x.png")  # with a class folder, what lies beside it is left aside
    assert open_dataset(root).classes == ("cat",)


def test_the_digest_follows_content_names_and_labels_but_not_the_place(root):
    put(root / "one", "a/x.png", "b/y.png")
    put(root / "two", "a/x.png", "b/y.png")
    put(root / "recoloured", "a/x.png")
    put(root / "recoloured", "b/y.png", colour="blue")
    put(root / "renamed", "a/x.png", "b/z.png")
    put(root / "relabelled", "a/x.png", "c/y.png")
    digests = {p.name: open_dataset(p).digest for p in root.iterdir()}
    assert digests["one"] == digests["two"]
    assert len(set(digests.values())) == 4


def test_a_big_set_counts_files_by_name_and_size(root, monkeypatch):
    monkeypatch.setattr(files, "HASHED_BYTES", 1)
    put(root, "a/x.png")
    size = (root / "a/x.png").stat().st_size
    assert open_dataset(root).samples[0].content == f"{size} bytes"
