"""The registered version as others meet it: by MLflow alone, in a script and over HTTP."""

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from hardy.core.errors import WeightsError
from hardy.registry.load import load
from tests.contracts.serving import post, serving

SCRIPT = """
import sys
import mlflow
import numpy as np

model = mlflow.pyfunc.load_model(sys.argv[1])
images = np.zeros((2, 40, 60, 3), dtype=np.uint8)
print(model.predict(images, params={"adapt": True, "views": 3}).to_json(orient="records"))
import hardy
print(hardy.__file__)
"""


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 70, 3), dtype=np.uint8)


@pytest.fixture
def uri(shelf, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    registered = shelf.add(20)
    mlflow.set_tracking_uri(shelf.client.tracking_uri)
    return registered.uri


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def test_loads_by_mlflow_and_takes_every_kind_of_input(uri, images, tmp_path, recwarn):
    model = mlflow.pyfunc.load_model(uri)
    assert not recwarn.list
    paths = [tmp_path / f"{i}.png" for i in range(len(images))]
    for path, pixels in zip(paths, images, strict=True):
        path.write_bytes(png(pixels))
    encoded = [png(pixels) for pixels in images]
    texts = [base64.b64encode(data).decode() for data in encoded]
    expected = model.predict(images)
    assert list(expected.columns) == ["label", "class_index", "confidence", "top", "entropy"]
    for given in (
        list(images),
        paths,
        encoded,
        [Image.fromarray(pixels) for pixels in images],
        pd.DataFrame({"image": texts}),
        pd.DataFrame({"image": paths}),
        {"image": np.array(texts)},
        images.astype(np.int64),
        images / 255,
        images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255),
        np.concatenate([images, images[..., :1]], 3),
    ):
        pd.testing.assert_frame_equal(model.predict(given), expected)
    pd.testing.assert_frame_equal(model.predict(images[0]), expected[:1])


def test_the_loader_without_mlflow_code_agrees_with_mlflow(uri, images):
    params = {"adapt": True, "views": 2, "top_k": 3, "seed": 5}
    ours = load(uri).predict([Image.fromarray(p) for p in images], **params)
    theirs = mlflow.pyfunc.load_model(uri).predict(images, params=params)
    pd.testing.assert_frame_equal(ours, theirs)


def test_text_is_never_a_path(uri, images, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(images[0]))
    model = mlflow.pyfunc.load_model(uri)
    with pytest.raises(MlflowException, match="not base64"):
        model.predict(pd.DataFrame({"image": [str(secret)]}))


@pytest.mark.slow
def test_a_plain_script_uses_the_code_beside_the_model(uri, isolated_home, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    done = subprocess.run(
        [sys.executable, str(script), uri],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    answers, where = done.stdout.strip().splitlines()[-2:]
    assert [set(row) for row in json.loads(answers)] == [
        {"label", "class_index", "confidence", "top", "entropy"}
    ] * 2
    assert Path(where).is_relative_to(isolated_home)


def test_damaged_weights_are_refused(uri, isolated_home):
    (weights,) = isolated_home.rglob("weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="SHA-256"):
        load(uri)
    with pytest.raises(WeightsError, match="SHA-256"):
        mlflow.pyfunc.load_model(uri)


@pytest.fixture
def server(uri, tmp_path):
    with serving(uri, mlflow.get_tracking_uri(), tmp_path) as address:
        yield address


@pytest.mark.slow
def test_serves_over_http(server, uri, images):
    text = base64.b64encode(png(images[0])).decode()
    expected = load(uri).predict([Image.fromarray(images[0])], top_k=2)
    for body in (
        {"dataframe_records": [{"image": text}]},
        {"dataframe_split": {"columns": ["image"], "data": [[text]]}},
        {"inputs": {"image": [text]}},
        {"instances": [text]},
    ):
        status, answer = post(server, body | {"params": {"top_k": 2}})
        assert status == 200, answer
        (row,) = answer["predictions"]
        assert row["label"] == expected["label"][0]
        assert row["confidence"] == pytest.approx(expected["confidence"][0], rel=1e-5)
        assert len(row["top"]) == 2
    status, answer = post(
        server, {"inputs": images[:2].tolist(), "params": {"adapt": True, "views": 2}}
    )
    assert status == 200, answer
    assert len(answer["predictions"]) == 2
    for path in ("/etc/hostname", "/etc/passwd", "etcpasswd"):
        status, answer = post(server, {"dataframe_records": [{"image": path}]})
        assert status == 400
        assert "not base64" in answer["message"] or "cannot be decoded" in answer["message"]
