import shutil

import numpy as np
import pytest
from PIL import Image

from hardy.data import files
from hardy.data.folder import open_dataset
from hardy.data.leaks import leaks


@pytest.fixture
def two(tmp_path):
    rng = np.random.default_rng(0)
    for place in ("train/cat/0", "train/cat/1", "train/dog/2", "test/cat/3", "test/dog/4"):
        path = tmp_path / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    return tmp_path / "train", tmp_path / "test"


@pytest.mark.parametrize("limits", [(1 << 20, 1 << 20), (1, 1), (1, 1 << 20), (1 << 20, 1)])
def test_a_copy_is_found_under_another_name_and_class(two, monkeypatch, limits):
    train, test = two
    shutil.copy(train / "cat/1.png", test / "dog/other.png")

    def opened():
        found = []
        for root, limit in zip(two, limits, strict=True):
            monkeypatch.setattr(files, "HASHED_BYTES", limit)
            found.append(open_dataset(root))
        return found

    assert leaks(*opened()) == [("cat/1.png", "dog/other.png")]
    (test / "dog/other.png").unlink()
    assert leaks(*opened()) == []


def test_every_pair_is_named(two):
    train, _ = two
    shutil.copy(train / "cat/1.png", train / "dog/same.png")
    whole = open_dataset(train)
    pairs = leaks(whole, whole)
    assert ("cat/1.png", "dog/same.png") in pairs
    assert len(pairs) == 4 + 2


def test_without_opening_a_file_the_same_file_is_found_and_a_copy_by_its_digest_alone(
    two, monkeypatch
):
    train, test = two
    shutil.copy(train / "cat/1.png", test / "dog/other.png")
    small = [open_dataset(root) for root in two]
    monkeypatch.setattr(files, "HASHED_BYTES", 1)
    large = [open_dataset(root) for root in two]
    monkeypatch.setattr("hardy.data.leaks.file_sha256", None)  # nothing is read
    assert leaks(*small, opened=False) == [("cat/1.png", "dog/other.png")]
    assert leaks(*large, opened=False) == []
    assert len(leaks(large[0], large[0], opened=False)) == 3
