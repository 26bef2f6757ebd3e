"""A method that trains, added by the files that CONTRIBUTING names: killed, resumed, served."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from hardy.core.hashing import file_sha256
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec
from tests.outside.conftest import ROOT

SHAPES = {"count": 64, "size": 32}
FITTED = ("weights.safetensors", "fitted.safetensors")


def by_age(tree, name):
    return sorted(tree.home.rglob(f"artifacts/*/{name}"), key=lambda file: file.stat().st_mtime)


@pytest.mark.slow
def test_a_trainer_from_outside(tree):
    tree.add_folder("methods", "teacher")
    tree.add_line("methods", "teacher", "TeacherSpec", "METHODS")
    tree.add_file("teacher.yaml", "experiments/teacher.yaml")
    core = {name for name in tree.changed() if "/methods/teacher/" not in name}
    assert core == {"src/hardy/methods/__init__.py", "experiments/teacher.yaml"}

    assert "follows its own slower copy" in tree.hardy("list", "methods")
    assert "teacher: to run" in tree.hardy("plan", "teacher")
    # Killed at its 7th step of 12, and on from the 6th; answered by two processes.
    killing = str(ROOT / "tests" / "e2e" / "killing.py")
    tree.run(killing, "step", "7", "run", "teacher", "--set", "compute.processes=2", status=-9)
    assert "6 carried over" in tree.hardy("run", "teacher", "--set", "compute.processes=2")
    tree.hardy("run", "teacher", "--again", "--set", "compute.processes=1")
    for name in FITTED:
        resumed, whole = by_age(tree, name)
        assert file_sha256(resumed) == file_sha256(whole)
    two, one = (pd.read_parquet(file) for file in by_age(tree, "records.parquet"))
    timeless = [name for name in one if not name.startswith("ms.")]
    pd.testing.assert_frame_equal(one[timeless], two[timeless])
    assert not np.allclose(one["target.confidence"], one["teacher.confidence"])

    query = "select step, value from metrics where key = ? and run_uuid = ? order by step"
    with closing(sqlite3.connect(tree.home / "mlflow.db")) as store:
        ids = [row[0] for row in store.execute("select run_uuid from runs order by start_time")]
        for name in ("train/pull", "train/used", "validation/pull", "codes/spread"):
            killed, straight = (store.execute(query, (name, each)).fetchall() for each in ids)
            assert killed == straight
            assert [step for step, _ in killed] == [1, 2, 3]

    # A version of it answers as the network does.
    tree.add_file("teacher-policy.yaml", "registry/teacher.yaml")
    tree.hardy("run", "teacher", "--set", "register=teacher")
    own = DataSpec.model_validate({"dataset": "shapes", "split": "test", "shapes": SHAPES})
    dataset = open_dataset(own)
    sample = next(each for each in dataset.samples if each.id == one["sample"][0])
    dataset.read(sample).save(tree.root / "shape.png")
    asked = ("predict", "--model", "models:/teacher/1", "--format", "json")
    (told,) = json.loads(tree.hardy(*asked, str(tree.root / "shape.png")))
    assert told["top"][0]["confidence"] == pytest.approx(one["teacher.confidence"][0], rel=1e-4)
    assert told["top"][0]["name"] == dataset.classes[one["teacher.prediction"][0]]
