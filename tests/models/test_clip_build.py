"""open_clip's models as specs name them: seeds, transforms, activations, files."""

import logging

import open_clip
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from hardy.core.errors import SpecError, WeightsError
from hardy.models.build import build_model, build_network
from hardy.models.names import open_clip_tags
from hardy.models.spec import ModelSpec, OpenClipModel
from hardy.models.state import bare, state_sha256
from hardy.registry.bundle import WEIGHTS, write_weights
from tests.models.clips import TEXT, VIT

CLASSES = ("red circle", "blue square")
OWN = OpenClipModel(name="hardy-shapes", weights="random")


def own(**changes) -> OpenClipModel:
    return OpenClipModel.model_validate({**OWN.model_dump(), **changes})


def test_the_own_architecture_is_small_and_for_small_images():
    network, preprocess = build_network(OWN)
    assert sum(p.numel() for p in network.parameters()) < 5_000_000
    assert (preprocess.size, preprocess.resize, preprocess.interpolation) == (64, 64, "bicubic")
    assert preprocess.mean == preprocess.std == (0.5, 0.5, 0.5)
    assert network.tokenizer(["x"]).shape == (1, 32)


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (build_model(OWN, classes=CLASSES, seed=s).network for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert state_sha256(a) == state_sha256(b) != state_sha256(c)
    assert torch.equal(a.text_features, b.text_features)


def test_a_classifier_has_an_output_a_class_and_its_texts_read():
    model = build_model(OWN, (7, 3), classes=CLASSES)
    assert model.outputs() == 2
    assert model.model_indices is None
    assert model.class_texts == tuple(open_clip.IMAGENET_CLASSNAMES[n] for n in (7, 3))
    assert not model.training


def test_nothing_is_said_of_random_weights(capfd):
    root = logging.getLogger()
    before, disabled = list(root.handlers), logging.root.manager.disable
    build_network(OWN)
    assert (root.handlers, logging.root.manager.disable) == (before, disabled)
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def small(monkeypatch):
    """Give published names an architecture that is built in no time."""
    config = open_clip.get_model_config("RN50") | {"vision_cfg": VIT, "text_cfg": TEXT}
    known = open_clip.factory._MODEL_CONFIGS
    for name in ("ViT-B-16", "ViT-B-32", "MobileCLIP-S1"):
        monkeypatch.setitem(known, name, config)
    monkeypatch.setitem(known, "ViT-B-16-quickgelu", config | {"quick_gelu": True})


def activations(**spec) -> set[str]:
    network, _ = build_network(OpenClipModel(**spec))
    names = {type(module).__name__ for module in network.modules()}
    return names & {"GELU", "QuickGELU"}


@pytest.mark.usefixtures("small")
def test_the_activation_is_the_tags_own():
    assert activations(name="ViT-B-16", weights="openai") == {"QuickGELU"}
    assert activations(name="ViT-B/16", weights="laion2b_s34b_b88k") == {"GELU"}
    assert activations(name="ViT-B-16", weights="file:x") == {"GELU"}
    assert activations(name="ViT-B-16", weights="file:x", quick_gelu=True) == {"QuickGELU"}
    assert activations(name="ViT-B-16-quickgelu", weights="random") == {"QuickGELU"}
    quick = {"name": "ViT-B-16-quickgelu", "weights": "random", "quick_gelu": False}
    assert activations(**quick) == {"GELU"}


@pytest.mark.usefixtures("small")
def test_the_transform_is_the_tags_own():
    plain = build_network(OpenClipModel(name="ViT-B-16", weights="laion2b_s34b_b88k"))[1]
    other = build_network(OpenClipModel(name="MobileCLIP-S1", weights="random"))[1]
    assert (plain.size, plain.resize, plain.interpolation) == (32, 32, "bicubic")
    assert plain.mean == (0.48145466, 0.4578275, 0.40821073)
    assert plain.std == (0.26862954, 0.26130258, 0.27577711)
    assert (other.interpolation, other.mean, other.std) == ("bilinear", (0.0,) * 3, (1.0,) * 3)


def test_what_cannot_be_built_says_why():
    with pytest.raises(SpecError, match="prepares images for ViT-H-14 dfn5b by `squash`"):
        build_network(OpenClipModel(name="ViT-H-14", weights="dfn5b"))
    for name in ("hf-hub:laion/x", "local-dir:x", "ViT-B-16-SigLIP", "coca_ViT-B-32"):
        with pytest.raises(SpecError, match="open_clip has no CLIP"):
            build_network(OpenClipModel(name=name, weights="random"))


@pytest.mark.usefixtures("small")
def test_weights_that_cannot_be_had_are_named(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(open_clip.factory, "download_pretrained", fail)
    spec = OpenClipModel(name="ViT-B-32", weights="openai")
    with pytest.raises(WeightsError, match=r"ViT-B-32 could not be had: .*no route to host"):
        build_model(spec, classes=CLASSES)


@pytest.fixture(scope="module")
def state():
    return {k: v.clone() for k, v in bare(build_network(OWN, seed=9)[0]).state_dict().items()}


def matches(spec: OpenClipModel, state) -> bool:
    loaded = bare(build_model(spec, classes=CLASSES).network).state_dict()
    assert loaded.keys() == state.keys()
    return all(torch.equal(loaded[name], state[name].float()) for name in state)


def test_open_clips_files_load(state, tmp_path):
    save_file(state, tmp_path / "a.safetensors")
    training = {"epoch": 3, "name": "x", "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(training, tmp_path / "b.pt")
    for name in ("a.safetensors", "b.pt"):
        assert matches(own(weights=f"file:{tmp_path / name}"), state)


def test_openais_layout_loads_and_asks_for_its_activation(state, tmp_path):
    halves = {name: tensor.half() for name, tensor in state.items()}
    notes = {"input_resolution": 64, "context_length": 32, "vocab_size": 49408}
    path = tmp_path / "openai.pt"
    torch.save(halves | {name: torch.tensor(n) for name, n in notes.items()}, path)
    assert matches(own(weights=f"file:{path}", quick_gelu=True), halves)
    with pytest.raises(WeightsError, match="QuickGELU, not GELU") as caught:
        build_model(own(weights=f"file:{path}"), classes=CLASSES)
    assert "quick_gelu" in caught.value.hint


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_a_torchscript_archive_is_refused_by_name(tmp_path):
    path = tmp_path / "ViT-B-32.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(WeightsError, match=r"ViT-B-32\.pt is a TorchScript archive") as caught:
        build_model(own(weights=f"file:{path}"), classes=CLASSES)
    assert "torch.jit.load" in caught.value.hint


def test_every_misfit_is_named_by_open_clips_own_key(state, tmp_path):
    save_file(
        {k: v for k, v in state.items() if k != "text_projection"}, tmp_path / "a.safetensors"
    )
    with pytest.raises(WeightsError, match=r"missing text_projection"):
        build_model(own(weights=f"file:{tmp_path}/a.safetensors"), classes=CLASSES)


def test_written_weights_have_open_clips_own_keys(state, tmp_path):
    network = build_model(OWN, classes=CLASSES, seed=9).network
    write_weights(network, tmp_path)
    assert matches(own(weights=f"file:{tmp_path / WEIGHTS}"), state)
    assert state_sha256(network) == state_sha256(network.clip)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"templates": ()}, "at least 1 item"),
        ({"templates": ("a photo",)}, "has 0"),
        ({"templates": ("a {} {}",)}, "has 2"),
        ({"class_names": "mine"}, "pattern"),
        ({"weights": "package:x"}, "pattern"),
    ],
)
def test_wrong_values(changes, told):
    with pytest.raises(ValidationError, match=told):
        TypeAdapter(ModelSpec).validate_python({"kind": "open_clip", "name": "RN50"} | changes)


def test_a_slash_is_a_dash():
    assert OpenClipModel(name="ViT-B/16") == OpenClipModel(name="ViT-B-16")
    assert "ViT-B-16" in open_clip_tags()


@pytest.mark.slow
@torch.no_grad()
def test_a_whole_vit_b_32():
    model = build_model(OpenClipModel(name="ViT-B-32", weights="random"), classes=CLASSES)
    network, images = model.network, torch.randn(2, 3, 224, 224)
    texts = network.tokenizer([f"a photo of a {name}." for name in CLASSES])
    features, words, scale = network.clip(images, texts)
    torch.testing.assert_close(model(images), scale * features @ words.T, rtol=1e-4, atol=1e-5)
