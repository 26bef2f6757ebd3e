"""Heads: found, made anew and rebuilt under the libraries' own names."""

import pytest
import timm
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision import models

from hardy.core.errors import SpecError, WeightsError
from hardy.data.dataset import Dataset, Sample
from hardy.data.folder import open_dataset as open_folder
from hardy.data.open import open_dataset
from hardy.engine.setup import model_on, set_up
from hardy.methods.evaluate.spec import SourceSpec
from hardy.models import head
from hardy.models.build import build_model
from hardy.models.probe import Before
from hardy.models.resnet26 import ResNet26
from hardy.models.spec import HardyModel, TimmModel, TorchvisionModel
from hardy.models.weights import Located
from hardy.plan.foresee import outputs_in
from hardy.spec.experiment import Experiment
from hardy.tasks.build import task_on
from hardy.tasks.classify.spec import ClassifySpec
from tests.contracts.device import another_device
from tests.models.clips import VIT, tiny, zero_shot

N = 7
TIMM = {
    "resnet18": "fc",
    "tf_efficientnet_lite0": "classifier",
    "vit_tiny_patch16_224": "head",
    "convnext_atto": "head.fc",
    "mobilenetv3_small_050": "classifier",
}
TORCHVISION = {
    "resnet18": "fc",
    "mobilenet_v3_small": "classifier.3",
    "squeezenet1_1": "classifier.1",
    "shufflenet_v2_x0_5": "fc",
}
TINY = "test_efficientnet.r160_in1k"


def timm_network(name, classes=None):
    return timm.create_model(name, **({} if classes is None else {"num_classes": classes})).eval()


def on_meta(name):
    with torch.device("meta"):
        return timm_network(name)


def torchvision_network(name, classes=1000):
    return models.get_model(name, weights=None, num_classes=classes).eval()


CASES = [
    *(pytest.param(timm_network, name, at, id=f"timm-{name}") for name, at in TIMM.items()),
    *(
        pytest.param(torchvision_network, name, at, id=f"torchvision-{name}")
        for name, at in TORCHVISION.items()
    ),
    pytest.param(lambda _, classes=10: ResNet26(classes), "resnet26-gn8", "fc", id="hardy"),
]


@pytest.mark.parametrize(("build", "name", "at"), CASES)
def test_a_new_head_has_the_librarys_names_and_rebuilds_itself(build, name, at):
    network = build(name)
    whole = head.outputs_of(network)
    assert head.find(network) == at
    head.make(network, N, seed=3)
    assert head.outputs_of(network) == N == getattr(network, "num_classes", N)
    tensors = network.state_dict()
    build(name, N).load_state_dict(tensors, strict=True)  # the library itself takes them
    other = build(name)
    head.like(other, tensors)
    other.load_state_dict(tensors, strict=True)
    images = torch.rand(2, 3, 224, 224) if "224" in name else torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert network(images).shape == (2, N) != (2, whole)
        torch.testing.assert_close(other.eval()(images), network.eval()(images))


@pytest.mark.parametrize(("build", "name", "at"), CASES)
def test_features_are_what_the_head_is_given(build, name, at):
    network = build(name)
    images = torch.rand(2, 3, 224, 224) if "224" in name else torch.rand(2, 3, 64, 64)
    layer = network.get_submodule(at)
    with torch.no_grad():
        found = head.features(network, images)
        logits = network(images)
    assert found.ndim == 2
    assert not layer._forward_pre_hooks
    if isinstance(layer, nn.Linear):
        torch.testing.assert_close(functional.linear(found, layer.weight, layer.bias), logits)
    else:  # squeezenet: the head at each place, cut off at 0, then the mean
        assert found.shape == (2, layer.in_channels)
        with torch.no_grad():
            maps = network.features(images)
        torch.testing.assert_close(found, maps.mean((2, 3)))


def test_features_of_an_image_text_model_are_its_images():
    network = zero_shot(tiny({**VIT, "image_size": 16}), ("a", "b", "c"))
    images = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        found = head.features(network, images)
        torch.testing.assert_close(found, functional.normalize(network.clip.encode_image(images)))


def test_the_seed_alone_decides_a_new_head():
    one, two, third = (ResNet26(10) for _ in range(3))  # of different weights
    state = torch.get_rng_state()
    for network, seed in ((one, 3), (two, 3), (third, 4)):
        head.make(network, N, seed)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.fc.weight, two.fc.weight)
    assert not torch.equal(one.fc.weight, third.fc.weight)
    assert one.fc.weight.requires_grad


def test_a_network_without_a_head_gets_one():
    """As those of DINOv2 and SigLIP in timm, which give features."""
    network = timm_network(TINY.partition(".")[0], 0)
    assert head.outputs_of(network) == 0
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(head.features(network, images), network(images))
    again = timm_network(TINY.partition(".")[0], 0)
    head.make(network, N, seed=0)
    timm_network(TINY.partition(".")[0], N).load_state_dict(network.state_dict(), strict=True)
    head.like(again, network.state_dict())
    again.load_state_dict(network.state_dict(), strict=True)
    assert again.num_classes == N


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: timm_network("deit_tiny_distilled_patch16_224"), "several heads: head, head_dist"),
        (lambda: models.get_model("googlenet", init_weights=False), "further heads beside fc"),
        (lambda: on_meta("levit_384_s8"), "further heads beside head.linear"),
        (lambda: on_meta("qwen3_vit_88m_enc"), "no linear layer that gives"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), "no linear layer that gives"),
    ],
)
def test_a_head_that_cannot_be_told_is_an_error(build, said):
    network = build()
    with pytest.raises(SpecError, match=said):
        head.make(network, N, 0)
    before = {name: t.shape for name, t in network.state_dict().items()}
    head.like(network, {name: t[:2] if t.ndim else t for name, t in network.state_dict().items()})
    assert {name: t.shape for name, t in network.state_dict().items()} == before
    assert head.kept(network, (5, 9)) == (5, 9)


def saved(network, path):
    save_file({name: t.contiguous() for name, t in network.state_dict().items()}, path)
    return Located(path, "")


def test_a_weights_file_alone_rebuilds_its_network(tmp_path):
    network = timm_network(TINY.partition(".")[0], N)
    located = saved(network, tmp_path / "w.safetensors")
    spec = TimmModel(name=TINY, weights="file:w.safetensors")
    built = build_model(spec, located=located)
    assert built.outputs() == N
    assert all(
        torch.equal(t, built.network.state_dict()[n]) for n, t in network.state_dict().items()
    )


def test_nothing_but_the_number_of_outputs_may_differ(tmp_path):
    network = ResNet26(N)
    tensors = network.state_dict()
    for name, shape, said in (
        ("fc.weight", (N, 99), r"fc.weight is \(7, 99\), the model's is \(10, 64\)"),
        ("fc.bias", (5,), r"fc.bias is \(5,\), the model's is \(7,\)"),
        ("bn.weight", (3,), r"bn.weight is \(3,\)"),
    ):
        wrong = {**tensors, name: torch.zeros(shape)}
        save_file(wrong, tmp_path / "w.safetensors")
        with pytest.raises(WeightsError, match=said):
            build_model(HardyModel(), located=Located(tmp_path / "w.safetensors", ""))


def test_a_partial_load_leaves_the_head_as_it_is(tmp_path):
    located = saved(ResNet26(N), tmp_path / "w.safetensors")
    weights = {"from": "file:w.safetensors", "partial": True}
    built = build_model(HardyModel.model_validate({"weights": weights}), located=located)
    assert built.outputs() == 10
    assert set(built.loaded.missing) == {"fc.weight", "fc.bias"}


def dataset(classes, indices):
    return Dataset("toy", classes, indices, (Sample("a", 0, None, ""),), lambda sample: None)


@pytest.mark.parametrize(
    ("outputs", "indices", "kept"),
    [
        (1000, (5, 9, 2), (5, 9, 2)),
        (1000, None, None),
        (3, (5, 9, 2), None),  # an output a class
        (3, (2, 0, 1), (2, 0, 1)),  # all of them are there
        (4, (5, 9, 2), (5, 9, 2)),  # fits neither way, which is said of it then
    ],
)
def test_which_outputs_are_kept(outputs, indices, kept):
    assert head.kept(nn.Sequential(nn.Flatten(), nn.Linear(4, outputs)), indices) == kept


@pytest.fixture
def wordnet(tmp_path):
    """Photographs of three of ImageNet's classes in folders named by WordNet ids."""
    from PIL import Image

    for name in ("n01440764", "n02085620", "n02123045"):
        (tmp_path / "own" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), "red").save(tmp_path / "own" / name / "a.png")
    return open_folder(tmp_path / "own")


def test_a_fine_tuned_head_on_imagenets_own_classes_drops_the_thousand(wordnet, tmp_path):
    task = task_on(ClassifySpec(), wordnet)
    assert len(wordnet.model_indices) == 3
    spec = TimmModel(name=TINY, weights="random")
    whole = model_on(spec, Located(None, ""), wordnet, task)
    assert whole.model_indices == list(wordnet.model_indices)
    tuned = model_on(spec, Located(None, ""), wordnet, task, new_head=True)
    assert tuned.model_indices is None
    assert tuned.outputs() == 3
    located = saved(tuned.network, tmp_path / "w.safetensors")
    again = model_on(TimmModel(name=TINY, weights="file:w"), located, wordnet, task)
    images = torch.rand(2, 3, 64, 64)
    assert again.model_indices is None
    with torch.no_grad():
        assert again(images).shape == (2, 3)
        torch.testing.assert_close(again(images), tuned(images))


@pytest.mark.parametrize(
    "spec",
    [
        HardyModel(),
        TimmModel(name=TINY, weights="random"),
        TorchvisionModel(name="shufflenet_v2_x0_5", weights="random"),
    ],
)
def test_a_method_that_makes_heads_gets_one_where_classes_differ(spec):
    own = dataset(("ant", "bee", "cat"), None)
    task = task_on(ClassifySpec(), own)
    with pytest.raises(SpecError, match=r"outputs, but dataset toy needs 3"):
        model_on(spec, Located(None, ""), own, task)
    one, two, other = (
        model_on(spec, Located(None, ""), own, task, seed=seed, new_head=True) for seed in (1, 1, 2)
    )
    name = f"{head.find(one.network)}.weight"
    heads = [model.network.state_dict()[name] for model in (one, two, other)]
    assert one.outputs() == 3
    assert not one.training
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_where_classes_are_the_outputs_the_head_stays():
    own = dataset(tuple("abcdefghij"), None)
    task = task_on(ClassifySpec(), own)
    kept, plain = (
        model_on(HardyModel(), Located(None, ""), own, task, new_head=new) for new in (True, False)
    )
    assert torch.equal(kept.network.fc.weight, plain.network.fc.weight)


def test_a_head_is_made_and_asked_on_another_device():
    with another_device() as device:
        network = ResNet26(10).to(device)
        head.make(network, N, seed=0)
        found = head.features(network, torch.rand(2, 3, 32, 32).to(device))
        assert network.fc(found).shape == (2, N)
        assert found.device == network.fc.weight.device == device


def test_setting_up_asks_the_methods_schema(monkeypatch):
    """The experiment's own model gets the head, from the experiment's seed."""
    asked = {
        "name": "try/head",
        "data": {"dataset": "shapes", "shapes": {"count": 12, "size": 32}},
        "model": {"kind": "hardy"},
        "method": {"kind": "source"},
        "compute": {"device": "cpu"},
    }

    def built(seed):
        spec = Experiment.model_validate(asked | {"seed": seed})
        data = {"answer": open_dataset(spec.data)}
        return set_up(spec, {"model.weights": Located(None, "random")}, data).model.network.fc

    with pytest.raises(ValidationError, match="has 10 outputs, but dataset shapes needs 6"):
        built(3)
    monkeypatch.setattr(SourceSpec, "makes_head", True)
    expected = ResNet26(10)
    head.make(expected, 6, seed=3)
    assert torch.equal(built(3).weight, expected.fc.weight)
    assert not torch.equal(built(4).weight, expected.fc.weight)


BOTH = Before(normalise=True, batch_norm=True)
PROBED = [case for case in CASES if "squeezenet" not in case.id]


@pytest.mark.parametrize("before", [BOTH, Before(normalise=True), Before(batch_norm=True)])
@pytest.mark.parametrize(("build", "name", "at"), PROBED[:3] + PROBED[5:7] + PROBED[-1:])
def test_a_probe_stands_under_the_librarys_names_and_rebuilds_itself(build, name, at, before):
    network = build(name).eval()
    head.make(network, N, seed=3, before=before)
    assert head.find(network) == at
    assert head.outputs_of(network) == N
    layer = network.get_submodule(at)
    if before.batch_norm:
        layer.norm.running_mean += 0.1
        layer.norm.running_var *= 2
    tensors = network.state_dict()
    assert f"{at}.weight" in tensors
    other = build(name)
    head.like(other, tensors)
    other.load_state_dict(tensors, strict=True)
    images = torch.rand(2, 3, 224, 224) if "224" in name else torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = head.features(network, images)
        expected = features.double()
        if before.normalise:
            expected = expected / expected.square().sum(1, keepdim=True).sqrt()
        if before.batch_norm:
            mean, var = layer.norm.running_mean.double(), layer.norm.running_var.double()
            expected = (expected - mean) / (var + 1e-5).sqrt()
        expected = expected @ layer.weight.double().T + layer.bias.double()
        assert torch.equal(other.eval()(images), network(images))
    torch.testing.assert_close(network(images).detach().double(), expected, rtol=1e-4, atol=1e-4)
    # Its next head, for other classes or from another file, is the library's own again.
    plain = build(name, N).state_dict()
    head.like(network, plain)
    network.load_state_dict(plain, strict=True)
    head.like(network, tensors)
    head.make(network, 5, seed=0)
    assert type(network.get_submodule(at)) is nn.Linear


def test_a_place_for_a_head_gets_a_probe():
    network, again = (timm_network(TINY.partition(".")[0], 0) for _ in range(2))
    head.make(network, N, seed=0, before=BOTH)
    head.like(again, network.state_dict())
    again.load_state_dict(network.state_dict(), strict=True)
    assert head.outputs_of(again) == N


def test_a_head_of_convolutions_takes_no_probe():
    network = torchvision_network("squeezenet1_1")
    with pytest.raises(SpecError, match="is no linear layer of features"):
        head.make(network, N, 0, BOTH)


def test_a_new_probe_has_the_tensors_of_a_plain_head():
    one, two = ResNet26(10), ResNet26(10)
    head.make(one, N, seed=3)
    head.make(two, N, seed=3, before=BOTH)
    assert torch.equal(one.fc.weight, two.fc.weight)


def test_a_probe_in_a_file_is_met_by_what_loads_weights(tmp_path):
    network = ResNet26(10)
    head.make(network, N, 0, BOTH)
    located = saved(network, tmp_path / "w.safetensors")
    built = build_model(HardyModel(), located=located)
    assert built.outputs() == outputs_in(located.path) == N
    assert built.network.state_dict().keys() == network.state_dict().keys()
    partial = {"weights": {"from": "file:w.safetensors", "partial": True}}
    left = build_model(HardyModel.model_validate(partial), located=located)
    assert set(left.loaded.unused) >= {"fc.normalise", "fc.weight"}
