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


def test_names_tell_timms_outputs_or_nothing() -> None:
    timm = pytest.importorskip("timm")
    records = {
        name: timm.get_pretrained_cfg(name, allow_unregistered=True) for name in names.timm_names()
    }
    bare = sorted(name for name in records if "." not in name)
    if os.environ.get("HARDY_UPDATE"):
        other = [n for n in bare if records[n] is None or records[n].num_classes != 1000]
        (FOLDER / "timm_other.txt").write_text("".join(f"{name}\n" for name in other))
        names._lines.cache_clear()
    told = {name: names.timm_outputs(name) for name in records}
    wrong = {n for n, k in told.items() if k is not None and records[n].num_classes != k}
    assert not wrong
    # Most of those that have ImageNet's classes are known to.
    plain = [n for n, record in records.items() if record and record.num_classes == 1000]
    assert sum(told[name] == 1000 for name in plain) > 0.95 * len(plain)
    assert told["resnet50"] == told["tf_efficientnet_lite0"] == 1000
    assert told["vit_small_patch14_dinov2.lvd142m"] is None
    assert told["vit_base_patch14_dinov2"] is None


@pytest.mark.parametrize(
    "name",
    ["vit_tiny_patch16_224", "deit3_small_patch16_384", "beitv2_base_patch16_224.in1k_ft_in1k"],
)
def test_a_size_that_a_name_tells_is_the_only_one(name: str) -> None:
    timm, torch = pytest.importorskip("timm"), pytest.importorskip("torch")
    size = names.timm_size(name)
    with torch.device("meta"), torch.no_grad():
        network = timm.create_model(name.partition(".")[0]).eval()
        assert network(torch.zeros(1, 3, size, size)).shape[0] == 1
        with pytest.raises(AssertionError):
            network(torch.zeros(1, 3, size + 32, size + 32))


@pytest.mark.parametrize(
    "name", ["resnet50", "vit_intern300m_patch14_448", "vit_base_patch14_dinov2"]
)
def test_other_names_tell_no_size(name: str) -> None:
    assert names.timm_size(name) is None


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
