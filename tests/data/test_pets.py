import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.cifar import CLASSES
from hardy.data.leaks import check_apart
from hardy.data.loader import Images
from hardy.data.open import open_dataset, open_division
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import ClassFilter, DataSpec
from hardy.spec import resolve
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


def experiments_data(name, root):
    """Return a shipped experiment's data and method, of this folder."""
    found = resolve(name).units[0].experiment
    return found.data.model_copy(update={"root": str(root / "oxford-iiit-pet")}), found.method


def test_the_shipped_filter_keeps_three_breeds_of_cats_and_all_dogs_and_is_not_tested_on(oxford):
    data, _ = experiments_data("ssl-pets/table-2/class-imbalance-training", oxford)
    # The folder has no Birman, whose absence would be told.
    with pytest.raises(DataError, match="no class 'Birman'"):
        open_dataset(data)
    for index, path in enumerate(sorted((oxford / "oxford-iiit-pet/images").glob("pug_*.jpg"))):
        name = f"Birman_{index}"
        Image.new("RGB", (6, 4), (9, index * 40, 200)).save(path.with_stem(name))
        trimap = oxford / "oxford-iiit-pet/annotations/trimaps" / f"{path.stem}.png"
        trimap.with_stem(name).write_bytes(trimap.read_bytes())
        part = "test" if index == 2 else "trainval"
        with (oxford / f"oxford-iiit-pet/annotations/{part}.txt").open("a") as file:
            file.write(f"\n{name} 6 1 6")
    whole = data.model_copy(update={"partition": None})
    kept = {s.id.rpartition("_")[0] for s in open_dataset(whole).samples}
    assert kept == {"american_bulldog", "Birman", "Bombay", "Maine_Coon", "pug"}
    division = open_division(data)
    assert sum(map(len, division.places.values())) == 10
    tested, _ = experiments_data("ssl-pets/table-2/class-imbalance", oxford)
    breeds = {s.id.rpartition("_")[0] for s in open_dataset(tested).samples}
    assert breeds == {*BREEDS, "Birman"}
    check_apart("imbalance", {"answer": open_dataset(tested)}, {"training": open_dataset(data)})


def test_a_stratified_division_is_the_next_experiments_too(oxford):
    """A training keeps its division; who answers later for `part: test` meets the same images."""
    root = oxford / "oxford-iiit-pet"
    for breed in BREEDS:
        for number in range(11, 34):
            name, source = f"{breed}_{number}", f"{breed}_1"
            colour = (BREEDS.index(breed) * 40, number * 7, 99)
            Image.new("RGB", (6, 4), colour).save(root / f"images/{name}.jpg")
            trimap = root / f"annotations/trimaps/{source}.png"
            trimap.with_stem(name).write_bytes(trimap.read_bytes())
            with (root / "annotations/trainval.txt").open("a") as file:
                label = BREEDS.index(breed) + 1
                file.write(f"\n{name} {label} 1 {label}")
    data, method = experiments_data("ssl-pets/benchmarks/linknet", oxford)
    stored = open_division(data).as_json()
    assert stored == open_division(data).as_json()
    later = data.model_copy(
        update={"partition": data.partition.model_copy(update={"part": "test"})}
    )
    answered = open_dataset(later)
    assert [s.id for s in answered.samples] == stored["parts"]["test"]["ids"]
    own = open_dataset(method.answer_on.data(data, seed=1))
    assert [s.id for s in own.samples] == [s.id for s in answered.samples]
    # 26 of each of five breeds: .56, .24 and .2 of them, to the nearest image.
    for part, count in (("train", 15), ("val", 6), ("test", 5)):
        ids = stored["parts"][part]["ids"]
        breeds = [id_.rpartition("_")[0] for id_ in ids]
        assert all(abs(breeds.count(breed) - count) <= 1 for breed in BREEDS)
    trained = open_dataset(data)
    check_apart("later", {"answer": answered}, {"linknet": trained})
    with pytest.raises(DataError):
        check_apart("later", {"answer": trained}, {"linknet": trained})


def test_trimaps_come_with_their_photographs_through_the_loader(oxford):
    found = opened(oxford, split="trainval")
    geometry = Preprocess(24, None, "bilinear", (0.0,) * 3, (1.0,) * 3, fit="squeeze")
    pipeline = SamplePipeline(found, geometry, target="mask")
    source = Images(pipeline, torch.device("cpu"), budget=10**7, workers=2)
    order = [3, 9, 0, 5]
    (batch,) = source.batches(order, 4, 1)
    assert batch.ids == tuple(found.samples[place].id for place in order)
    assert batch.targets.label.tolist() == [found.samples[place].label for place in order]
    # 1 2 3 1 1 2 of six columns, minus one, each four wide at 24 pixels.
    row = torch.tensor([0, 1, 2, 0, 0, 1]).repeat_interleave(4)
    assert torch.equal(batch.targets.mask, row.expand(4, 24, 24))
    for image, place in zip(batch.inputs, order, strict=True):
        levels = image.float().mean((1, 2))
        assert levels[0] == pytest.approx(found.samples[place].label * 40, abs=3)


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
