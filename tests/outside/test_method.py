"""A method added by the files that CONTRIBUTING names: it fits, answers, is listed and planned."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from hardy.data.held_out_spec import HeldOut
from hardy.data.open import open_dataset
from hardy.data.spec import DataSpec

SHAPES = {"count": 60, "size": 32}


def records(tree) -> list[pd.DataFrame]:
    found = sorted(tree.home.rglob("records.parquet"), key=lambda file: file.stat().st_mtime)
    return [pd.read_parquet(file) for file in found]


@pytest.mark.slow
def test_a_method_from_outside(tree):
    tree.add_folder("methods", "prior")
    tree.add_line("methods", "prior", "PriorSpec", "METHODS")
    tree.add_file("prior.yaml", "experiments/prior.yaml")
    core = {name for name in tree.changed() if "/methods/prior/" not in name}
    assert core == {"src/hardy/methods/__init__.py", "experiments/prior.yaml"}

    assert "Reweigh the classes" in tree.hardy("list", "methods")
    assert "prior: to run" in tree.hardy("plan", "prior")
    told = tree.hardy("run", "prior", "--set", "compute.processes=2")
    assert "prior" in told
    # What it fitted is a file of the run, and the processes that answered had it.
    (fitted,) = tree.home.rglob("fitted.safetensors")
    assert fitted.parent.name == "weights"
    tree.hardy("run", "prior", "--again", "--set", "compute.processes=1")
    two, one = records(tree)
    timeless = [name for name in one if not name.startswith("ms.")]
    pd.testing.assert_frame_equal(one[timeless], two[timeless])
    own = DataSpec.model_validate({"dataset": "shapes", "split": "test", "shapes": SHAPES})
    counted = open_dataset(HeldOut(split="train", samples=25).data(own, 0))
    counts = np.bincount([sample.label for sample in counted.samples], minlength=6) + 1
    log_prior = np.log(counts / counts.sum())
    assert len(set(counts)) > 1
    assert (two["prior.confidence"] != two["source.confidence"]).all()
    # Of each sample the two probabilities of its class are known: they follow from the formula.
    ratio = two["prior.label_probability"] / two["source.label_probability"]
    weight = np.exp(log_prior[two["label"]])
    normaliser = weight / ratio  # Σ_y p(y|x) π(y), the same for all classes of one image
    assert normaliser.between(np.exp(log_prior.min()), np.exp(log_prior.max())).all()
    # A registered version has it too, and answers by it.
    tree.add_file("prior-policy.yaml", "registry/prior.yaml")
    tree.hardy("run", "prior", "--set", "register=prior")
    image = tree.root / "shape.png"
    dataset = open_dataset(own)
    dataset.read(dataset.samples[0]).save(image)
    asked = ("predict", "--model", "models:/prior/1", "--format", "json", str(image))
    plain, weighed = (
        {each["name"]: each["confidence"] for each in json.loads(tree.hardy(*words))[0]["top"]}
        for words in (
            (*asked, "--param", "top_k=6"),
            (*asked, "--param", "top_k=6", "--adapt"),
        )
    )
    expected = {name: p * counts[dataset.classes.index(name)] for name, p in plain.items()}
    total = sum(expected.values())
    assert weighed == pytest.approx({name: p / total for name, p in expected.items()}, rel=1e-4)
    with closing(sqlite3.connect(tree.home / "mlflow.db")) as store:
        metrics = dict(store.execute("select key, value from latest_metrics"))
    assert metrics["accuracy"] == (two["prior.prediction"] == two["label"]).mean()
    assert "source/accuracy" in metrics
