"""The lists of model names against the installed libraries; HARDY_UPDATE=1 rewrites them."""

import os
from pathlib import Path

import pytest

from hardy.models import names

FOLDER = Path(names.__file__).parent


def test_every_listed_timm_model_exists() -> None:
    timm = pytest.importorskip("timm")
    known = {*timm.list_models(), *timm.list_models(pretrained=True)}
    if os.environ.get("HARDY_UPDATE"):
        (FOLDER / "timm.txt").write_text("".join(f"{name}\n" for name in sorted(known)))
        names.timm_names.cache_clear()
    assert names.timm_names() <= known
    assert {"resnet50", "resnet50.a1_in1k", "tf_efficientnet_lite0"} <= names.timm_names()


def test_every_listed_torchvision_model_and_tag_exists() -> None:
    models = pytest.importorskip("torchvision.models")
    known = {
        name: tuple(tag.name for tag in models.get_model_weights(name))
        for name in sorted(models.list_models(module=models))
    }
    if os.environ.get("HARDY_UPDATE"):
        rows = "".join(" ".join([name, *tags]) + "\n" for name, tags in known.items())
        (FOLDER / "torchvision.txt").write_text(rows)
        names.torchvision_weights.cache_clear()
    listed = names.torchvision_weights()
    assert listed["resnet50"] == ("IMAGENET1K_V1", "IMAGENET1K_V2")
    for name, tags in listed.items():
        assert set(tags) <= set(known[name])
