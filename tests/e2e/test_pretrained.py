"""What a pretraining leaves is what another task's training begins with, tensor by tensor."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hardy.cli.main import run

BASE = """
name: travel/{name}
task: {task}
data:
  dataset: shapes
  split: train
  shapes: {{count: 12, size: 32, masks: trimap}}
  partition: {{fractions: {{fit: 0.75, val: 0.25}}, part: fit}}
  shift: {shift}
model:
  kind: segmenter
  name: vqvae
  hidden: 8
  residual: 4
  layers: 1
  codes: 9
  code_dim: 2
  input: {{size: 32}}
  weights: {weights}
method:
  kind: supervised
  epochs: 2
  batch: 4
  keep: last
  tune: {tune}
  loss: {{{term}: 1, commitment: 0.25}}
  validate_on: {{part: val}}
  answer_on: {{split: test, samples: 3}}
compute: {{processes: 1}}
explain: {{gradcam: null, view_grids: 0}}
"""
PRETRAINED = {"task": "reconstruct", "shift": "{kind: mask}", "term": "mse"}
TUNED = {"task": "segment", "shift": "null", "term": "cross_entropy"}


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_encoder_codes_and_decoder_of_a_pretraining_travel(
    tmp_path: Path, isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project" / "experiments" / "travel"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "MLproject").touch()
    first = BASE.format(name="first", weights="random", tune="all", **PRETRAINED)
    weights = '{from: "experiment:travel/first", partial: true}'
    second = BASE.format(name="second", weights=weights, tune="[head.*]", **TUNED)
    (folder / "first.yaml").write_text(first)
    (folder / "second.yaml").write_text(second)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")

    assert run(["run", "travel/second"]) == 0
    found = [load_file(file) for file in isolated_home.rglob("artifacts/weights/*.safetensors")]
    assert len(found) == 2
    before, after = sorted(found, key=lambda tensors: "head.weight" in tensors)
    own = {"head.weight", "head.bias"}
    assert after.keys() - before.keys() == own
    assert before.keys() - after.keys() == {"decoder.up.1.weight", "decoder.up.1.bias"}
    # All else is what the pretraining left, since the head alone learned: codes, too.
    assert all(torch.equal(after[name], before[name]) for name in after.keys() - own)
    assert int(before["codebook.steps_tracked"]) == 6
