"""`hardy embed`: features as a table, of a spec's model and of a registered one."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from hardy.cli.main import run
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.engine.embed import of_unit, write
from hardy.engine.progress import Reporter
from hardy.models import head
from hardy.models.build import build_model
from hardy.models.state import state_sha256
from hardy.plan.units import make_plan
from hardy.spec import resolve
from tests.plan.helpers import NO_STORES
from tests.registry.conftest import model, shelf, stub_package  # noqa: F401

TINY = "test_efficientnet.r160_in1k"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Photographs of two classes under noise, one of them broken, and a spec of them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, count in (("cat", 4), ("dog", 3)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for n in range(count):
            pixels = rng.integers(0, 256, (60, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / name / f"{n}.png")
    (tmp_path / "own" / "cat" / "1.png").write_bytes(b"no image")
    shift = {"kind": "gaussian_noise", "severity": 3}
    spec = {
        "name": "own",
        "data": {"dataset": "folder", "root": str(tmp_path / "own"), "shift": shift},
        "model": {"kind": "timm", "name": TINY, "weights": "random"},
        "method": {"kind": "source"},
        "compute": {"device": "cpu"},
        "seed": 3,
    }
    (tmp_path / "own.yaml").write_text(json.dumps(spec))
    return tmp_path


def read(out: Path = Path("f.parquet")) -> tuple[pa.Table, dict[str, str]]:
    table = pq.read_table(out)
    facts = pq.read_metadata(out).metadata
    return table, {k.decode(): v.decode() for k, v in facts.items() if k.startswith(b"hardy.")}


def features(table: pa.Table) -> np.ndarray:
    return np.stack(table["features"].to_numpy(zero_copy_only=False))


@pytest.mark.usefixtures("own")
def test_a_specs_model_looks_at_its_shifted_data(capsys):
    """1,000 outputs and two classes: features do not need them to fit."""
    assert run(["embed", "own.yaml", "--out", "f.parquet", "--batch", "4"]) == 0
    told = capsys.readouterr()
    assert told.out == "6 images, 1 left out: f.parquet\n"
    assert "left out: cat/1.png:" in told.err
    table, facts = read()
    assert table["id"].to_pylist() == [
        *("cat/0.png", "cat/2.png", "cat/3.png"),
        *("dog/0.png", "dog/1.png", "dog/2.png"),
    ]
    assert table["label"].to_pylist() == ["cat"] * 3 + ["dog"] * 3
    (unit,) = resolve("own.yaml").units
    spec = unit.experiment
    network = build_model(spec.model, seed=3)
    dataset = open_dataset(spec.data)
    one = SamplePipeline(dataset, network.preprocess, shift=spec.data.shift, seed=3)[2]
    plain = SamplePipeline(dataset, network.preprocess, seed=3)[2]
    with torch.no_grad():
        shifted, unshifted = (
            head.features(network.network, network.preprocess.normalise(each.pixels))[0]
            for each in (one, plain)
        )
    np.testing.assert_allclose(features(table)[1], shifted, rtol=1e-4, atol=1e-5)
    assert not np.allclose(features(table)[1], unshifted, rtol=1e-2)
    width = network.network.get_classifier().in_features
    assert table.schema.field("features").type == pa.list_(pa.float32(), width)
    assert facts["hardy.model"] == f"timm/{TINY}"
    assert facts["hardy.weights"] == f"timm/{TINY}:random"
    assert facts["hardy.state_sha256"] == state_sha256(network.network)
    assert facts["hardy.shift"] == "gaussian_noise-3"
    assert facts["hardy.skipped"] == "1"
    assert json.loads(facts["hardy.preprocess"])["interpolation"] == "bicubic"


@pytest.mark.usefixtures("own", "stub_package")
def test_a_registered_model_looks_at_files(shelf, capsys):  # noqa: F811
    uri = shelf.add(20).uri
    assert run(["embed", "--model", uri, "own/dog", "own/cat/0.png", "--out", "f.parquet"]) == 0
    assert capsys.readouterr().out == "4 images: f.parquet\n"
    table, facts = read()
    files = [*(f"own/dog/{n}.png" for n in range(3)), "own/cat/0.png"]
    assert table["id"].to_pylist() == files
    assert table.column_names == ["id", "features"]
    network, preprocess = shelf.model.network, shelf.model.preprocess
    plain = np.asarray(preprocess.geometry(Image.open(files[0]))).transpose(2, 0, 1)
    with torch.no_grad():
        expected = head.features(network, preprocess.normalise(torch.tensor(plain.copy())[None]))
    np.testing.assert_allclose(features(table)[0], expected[0], rtol=1e-4, atol=1e-5)
    assert facts["hardy.model"] == uri
    assert facts["hardy.weights"].startswith("sha256:")
    assert facts["hardy.state_sha256"] == state_sha256(network)


def test_the_file_is_whole_or_absent(own, monkeypatch):
    plan = make_plan(resolve("own.yaml"), NO_STORES, None)
    asked = of_unit(plan.units[0])
    calls = []

    def stops(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    real = head.features
    monkeypatch.setattr(head, "features", stops)
    (own / "f.parquet").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        write(asked, own / "f.parquet", Reporter(), batch=2)
    assert (own / "f.parquet").read_bytes() == b"before"
    assert not list(own.glob(".*.tmp"))


@pytest.mark.usefixtures("own")
def test_what_cannot_be_is_told(capsys, own):
    for arguments, status, said in (
        (["own.yaml", "own.yaml", "--out", "f"], 2, "give one SPEC, or --model and images"),
        (["--model", "models:/a/1", "x.png", "--set", "seed=1", "--out", "f"], 2, "for a SPEC"),
        (["own.yaml", "--set", "matrix={seed: [1, 2]}", "--out", "f"], 2, "is 2 runs"),
        (["own.yaml", "--set", "compute.device=mps", "--out", "f"], 2, "compute.device is mps"),
        (["own.yaml", "--out", "own.yaml/f.parquet"], 1, "cannot be written"),
        (["--model", "models:/a/1", "absent.png", "--out", "f"], 1, "absent.png: no such file"),
    ):
        assert run(["embed", *arguments]) == status, arguments
        assert said in capsys.readouterr().err
    for file in (own / "own").rglob("*.png"):
        file.write_bytes(b"no image")
    assert run(["embed", "own.yaml", "--out", "f.parquet"]) == 1
    assert "none of 7 images can be read" in capsys.readouterr().err
    assert not (own / "f.parquet").exists()


def test_the_benchmark_of_features_fits_on_some_and_tries_others():
    from benchmarks.features import probed
    from hardy.plan.units import make_plan
    from hardy.registry.stores import default_stores
    from hardy.spec import resolve

    few = ("data.shapes.count=40", "method.validate_on.samples=15", "model.kind=hardy")
    trained = (*few, "model.name=resnet26-gn8", "model.weights=random", "model.classes=6")
    spec = ("method={kind: supervised, validate_on: {split: test}}", "register=null")
    (unit,) = make_plan(
        resolve("clip-shapes/train", (*spec, *trained)), default_stores(), None
    ).units
    fitted, right, count = probed(unit)
    assert (fitted, count) == (40, 15)
    assert 0 <= right <= 15
