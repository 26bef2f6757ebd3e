"""A small project of its own for each test that asks for one."""

from pathlib import Path

import pytest

PARTS = """\
data: {dataset: imagenet-sample}
model: {kind: timm, name: resnet50}
method: {kind: memo, steps: 1}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with experiments/base/parts.yaml and one policy; the current directory."""
    (tmp_path / "MLproject").touch()
    (tmp_path / "experiments" / "base").mkdir(parents=True)
    (tmp_path / "experiments" / "base" / "parts.yaml").write_text(PARTS)
    (tmp_path / "registry").mkdir()
    (tmp_path / "registry" / "robust.yaml").write_text(
        "model: robust\ncandidates: {experiments: ['*'], dataset: imagenet-sample}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path
