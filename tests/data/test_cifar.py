import numpy as np
import psutil
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data import cifar
from hardy.data.cifar import CLASSES
from hardy.data.spec import DataSpec
from tests.data import carried


def opened(dataset, root, **fields):
    return carried.opened(DataSpec(dataset=dataset, root=str(root), **fields))


def write_binary(folder, per_batch=6, seed=0):
    """Write CIFAR-10's binary layout: a label, then 1,024 red, green and blue bytes a record."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    images = {}
    for name in [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]:
        pixels = rng.integers(0, 256, (per_batch, 32, 32, 3), np.uint8)
        labels = rng.integers(0, 10, per_batch, np.uint8)
        records = b"".join(
            bytes([label]) + b"".join(image[..., c].tobytes() for c in range(3))
            for image, label in zip(pixels, labels, strict=True)
        )
        (folder / name).write_bytes(records)
        images[name] = pixels, labels
    return images


def test_the_binary_version(tmp_path):
    images = write_binary(tmp_path / "set" / "cifar-10-batches-bin")
    test, train = (opened("cifar10", tmp_path / "set", split=split) for split in ("test", "train"))
    assert (len(test.samples), len(train.samples)) == (6, 30)
    pixels, labels = images["data_batch_3.bin"]
    sample = train.samples[12 + 4]
    assert (sample.id, sample.label) == ("data_batch_3/00004", labels[4])
    assert np.array_equal(np.asarray(train.read(sample)), pixels[4])
    assert test.classes == CLASSES
    assert test.digest != train.digest


def test_class_folders_and_the_default_part(tmp_path):
    for split in ("train", "test"):
        for name in CLASSES:
            path = tmp_path / "set" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (32, 32), "blue").save(path)
    found = opened("cifar10", tmp_path / "set")
    assert found.samples[3].id == "test/cat/0.png"
    assert [sample.label for sample in found.samples] == list(range(10))
    (tmp_path / "set" / "test" / "unicorn").mkdir()
    with pytest.raises(DataError, match="unicorn"):
        opened("cifar10", tmp_path / "set")


def test_the_pickled_version_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match="pickle") as caught:
        opened("cifar10", tmp_path)
    assert "cifar-10-binary" in caught.value.hint


def test_a_batch_cut_short_is_named(tmp_path):
    write_binary(tmp_path / "set")
    batch = tmp_path / "set" / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"test_batch\.bin: has 18437 bytes"):
        opened("cifar10", tmp_path / "set")


def test_a_file_that_is_read_is_not_held_in_memory(tmp_path):
    write_binary(tmp_path / "set")
    found = opened("cifar10", tmp_path / "set", split="train")
    for sample in found.samples:
        found.read(sample)
    held = [each.path for each in psutil.Process().memory_maps() if each.path.endswith(".bin")]
    assert not [path for path in held if path.startswith(str(tmp_path))]


def test_a_record_that_has_gone_since_is_named(tmp_path):
    write_binary(tmp_path / "set")
    found = opened("cifar10", tmp_path / "set", split="test")
    batch = tmp_path / "set" / "test_batch.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    assert found.read(found.samples[-2]).size == (32, 32)
    with pytest.raises(DataError, match=r"test_batch\.bin: ends before record 5"):
        found.read(found.samples[-1])
    batch.unlink()
    with pytest.raises(DataError, match=r"test_batch\.bin: cannot be read: No such file"):
        found.read(found.samples[0])


def test_stored_corruptions_by_severity(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_PER_SEVERITY", 4)
    root = tmp_path / "CIFAR-10-C"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    labels = np.tile(np.array([3, 8, 0, 6], np.uint8), 5)
    np.save(root / "fog.npy", pixels)
    np.save(root / "labels.npy", labels)
    found = opened("cifar10-c", tmp_path, split="fog/3")
    assert [sample.label for sample in found.samples] == [3, 8, 0, 6]
    assert np.array_equal(np.asarray(found.read(found.samples[1])), pixels[2 * 4 + 1])
    assert found.samples[1].id == "fog/3/00001"
    monkeypatch.setattr(cifar, "_PER_SEVERITY", 10_000)
    with pytest.raises(DataError, match="holds 20 images"):
        opened("cifar10-c", tmp_path, split="fog/3")


@pytest.mark.parametrize("version", ["v6", "v4"])
def test_cifar_10_1(version, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    np.save(tmp_path / f"cifar10.1_{version}_data.npy", pixels)
    np.save(tmp_path / f"cifar10.1_{version}_labels.npy", np.arange(5, dtype=np.int32))
    found = opened("cifar10.1", tmp_path, split=version)
    assert [sample.label for sample in found.samples] == list(range(5))
    assert np.array_equal(np.asarray(found.read(found.samples[4])), pixels[4])


def test_arrays_of_python_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "cifar10.1_v6_data.npy", np.array([object()]), allow_pickle=True)
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.arange(1))
    with pytest.raises(DataError, match="cannot be read as an array"):
        opened("cifar10.1", tmp_path)


def test_arrays_of_another_shape_say_what_was_expected(tmp_path):
    np.save(tmp_path / "cifar10.1_v6_data.npy", np.zeros((2, 3, 32, 32), np.uint8))
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.arange(2))
    with pytest.raises(DataError, match=r"\(2, 3, 32, 32\)") as caught:
        opened("cifar10.1", tmp_path)
    assert "N x 32 x 32 x 3" in caught.value.hint
