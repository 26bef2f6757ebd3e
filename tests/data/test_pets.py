import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.cifar import CLASSES
from hardy.data.spec import ClassFilter, DataSpec
from tests.data import carried

BREEDS = ("Abyssinian", "american_bulldog", "Bombay", "Maine_Coon", "pug")


def opened(root, dataset="oxford-iiit-pet", **fields):
    return carried.opened(DataSpec(dataset=dataset, root=str(root), **fields))


@pytest.fixture
def oxford(tmp_path):
    """The layout of the published archives, with the files that are to be left aside."""
    root = tmp_path / "oxford-iiit-pet"
    for folder in ("images", "annotations/trimaps"):
        (root / folder).mkdir(parents=True)
    (root / "images" / "Abyssinian_101.mat").touch()
    (root / "annotations" / "trimaps" / "._Abyssinian_1.png").touch()
    rows = {"trainval": [], "test": []}
    for label, breed in enumerate(BREEDS):
        for number, part in ((1, "trainval"), (2, "trainval"), (10, "test")):
            name = f"{breed}_{number}"
            Image.new("RGB", (6, 4), (label * 40, number, 0)).save(root / f"images/{name}.jpg")
            trimap = np.array([[1, 2, 3, 1, 1, 2]] * 4, np.uint8)
            Image.fromarray(trimap).save(root / f"annotations/trimaps/{name}.png")
            species = 1 if breed[0].isupper() else 2
            rows[part].append(f"{name} {label + 1} {species} {label + 1}")
    for part, lines in rows.items():
        (root / "annotations" / f"{part}.txt").write_text("#a comment\n" + "\n".join(lines))
    return tmp_path


def test_breeds_labels_and_trimaps(oxford):
    found = opened(oxford, split="trainval")
    assert found.classes == BREEDS
    assert len(found.samples) == 10
    assert all(found.classes[s.label] == s.id.rpartition("_")[0] for s in found.samples)
    mask = np.asarray(found.read_mask(found.samples[0]))
    assert mask[0].tolist() == [0, 1, 2, 0, 0, 1]
    assert found.mask_classes == ("pet", "background", "border")
    assert len(opened(oxford).samples) == 5
    assert len(opened(oxford, split="all").samples) == 15


def test_the_imbalance_experiment_keeps_labels(oxford):
    kept = ClassFilter(include=("Maine_Coon", "Bombay", "[a-z]*"))
    found = opened(oxford, split="trainval", classes=kept)
    assert {s.id.rpartition("_")[0] for s in found.samples} == set(BREEDS) - {"Abyssinian"}
    assert found.classes == BREEDS
    assert found.digest != opened(oxford, split="trainval").digest


def test_what_a_list_names_must_be_there(oxford):
    (oxford / "oxford-iiit-pet" / "images" / "pug_10.jpg").unlink()
    with pytest.raises(DataError, match=r"pug_10\.jpg: the list names it"):
        opened(oxford)
    (oxford / "oxford-iiit-pet" / "annotations" / "test.txt").write_text("../etc 1 1 1")
    with pytest.raises(DataError, match="cannot read the line"):
        opened(oxford)


def put(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 7), colour).save(path)


def four_sources(root):
    for part in ("train", "test"):
        for name in CLASSES:
            put(root / "cifar10" / part / name / "0.png")
    for breed, count in (("n02085620-Chihuahua", 3), ("n02085782-Japanese_spaniel", 4)):
        for number in range(count):
            put(root / "stanford-dogs" / "Images" / breed / f"{number}.jpg")
    for number in range(2):
        put(root / "cats_and_dogs_filtered" / "train" / "cats" / f"cat.{number}.jpg")
        put(root / "cats_and_dogs_filtered" / "train" / "dogs" / f"dog.{number}.jpg")
        put(root / "PetImages" / "Cat" / f"{number}.jpg")
        put(root / "PetImages" / "Dog" / f"{number}.jpg")
    (root / "PetImages" / "Cat" / "666.jpg").touch()


def test_the_mix_of_four_sources_is_balanced_at_120_pixels(tmp_path):
    four_sources(tmp_path)
    found = opened(tmp_path, "pets-pretrain")
    labels = [sample.label for sample in found.samples]
    # Cats: 1 of CIFAR-10, 2 of Google's, 2 of Microsoft's. Dogs: 1 and 7, of which 5 are drawn.
    assert (labels.count(0), labels.count(1)) == (5, 5)
    assert all("cat" in s.id.lower() for s in found.samples if s.label == 0)
    assert not any("666" in s.id or "test/" in s.id for s in found.samples)
    assert {found.read(sample).size for sample in found.samples} == {(120, 120)}
    assert opened(tmp_path, "pets-pretrain").digest == found.digest


def test_every_missing_source_is_named(tmp_path):
    four_sources(tmp_path)
    for name in ("stanford-dogs", "PetImages"):
        (tmp_path / name).rename(tmp_path / f"no-{name}")
    with pytest.raises(DataError, match="found no Stanford Dogs, Microsoft PetImages"):
        opened(tmp_path, "pets-pretrain")
