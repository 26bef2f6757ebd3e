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


def test_every_listed_open_clip_model_and_tag_exists() -> None:
    open_clip = pytest.importorskip("open_clip")
    known = {
        name: tuple(open_clip.list_pretrained_tags_by_model(name))
        for name in sorted(open_clip.list_models())
        if name != names.OWN_CLIP and _is_plain(open_clip.get_model_config(name))
    }
    if os.environ.get("HARDY_UPDATE"):
        rows = "".join(" ".join([name, *tags]) + "\n" for name, tags in known.items())
        (FOLDER / "open_clip.txt").write_text(rows)
        names.open_clip_tags.cache_clear()
    listed = dict(names.open_clip_tags())
    assert listed.pop(names.OWN_CLIP) == ()
    assert "openai" in listed["ViT-B-16"]
    assert "ViT-B-16-SigLIP" not in listed
    for name, tags in listed.items():
        assert set(tags) <= set(known[name])


def _is_plain(config: dict) -> bool:
    """Whether a model is a CLIP, and needs nothing of Hugging Face's for its texts."""
    text = config["text_cfg"]
    needs = {"hf_model_name", "hf_tokenizer_name"} & text.keys()
    return not needs and "multimodal_cfg" not in config
