from collections import OrderedDict

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from hardy.core.errors import MethodError
from hardy.data.preprocess import Preprocess
from hardy.explain.gradcam import heat_map, target_layer
from hardy.models.model import Model
from tests.contracts.device import another_device

SIZE = 32


def wrapped(network: nn.Module, indices: tuple[int, ...] | None = None) -> Model:
    return Model(network, Preprocess(SIZE, SIZE, "bicubic", (0.5,) * 3, (0.5,) * 3), indices)


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    layers = OrderedDict(
        stem=nn.Conv2d(3, 6, 3, stride=2, padding=1),
        norm=nn.BatchNorm2d(6),
        relu=nn.ReLU(inplace=True),
        conv=nn.Conv2d(6, 8, 3, stride=2, padding=1),
        gelu=nn.GELU(),
        pool=nn.AdaptiveAvgPool2d(1),
        flat=nn.Flatten(),
        head=nn.Linear(8, 5),
    )
    return nn.Sequential(layers)


@pytest.fixture
def image() -> Tensor:
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def by_hand(network: nn.Sequential, image: Tensor, target: int) -> np.ndarray:
    """Write out the paper's equation with autograd; cut the network at its last feature map."""
    network.eval()
    features = network[:5](image).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network[5:](features)[0, target], features)
    alpha = gradient.mean(dim=(2, 3), keepdim=True)
    cam = functional.relu((alpha * features).sum(dim=1, keepdim=True)).detach()
    cam = (cam - cam.min()) / (cam.max() - cam.min())
    large = functional.interpolate(cam, (SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0]
    return ((large - large.min()) / (large.max() - large.min())).numpy()


@pytest.mark.parametrize("target", [0, 3])
def test_the_map_is_the_papers(image: Tensor, target: int) -> None:
    network = convnet()
    got = heat_map(wrapped(network), image, target)
    assert got.shape == (SIZE, SIZE)
    np.testing.assert_allclose(got, by_hand(network, image, target), atol=1e-4)


@pytest.mark.parametrize("indices", [None, (4, 3, 0)])
def test_the_map_is_the_same_on_another_device(image: Tensor, indices) -> None:
    expected = heat_map(wrapped(convnet(), indices), image, 2)
    with another_device() as device:
        found = heat_map(wrapped(convnet(), indices).to(device), image.to(device), 2)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_target_counts_within_the_restricted_classes(image: Tensor) -> None:
    network = convnet()
    got = heat_map(wrapped(network, (4, 3)), image, 1)
    np.testing.assert_allclose(got, by_hand(network, image, 3), atol=1e-4)


def test_frozen_weights_change_nothing(image: Tensor) -> None:
    open_net, frozen = wrapped(convnet()), wrapped(convnet()).requires_grad_(False)
    with torch.inference_mode():
        np.testing.assert_array_equal(heat_map(open_net, image, 2), heat_map(frozen, image, 2))


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._backward_hooks) for m in module.modules())


def test_nothing_is_left_behind(image: Tensor) -> None:
    model = wrapped(convnet())
    model.train()
    model.network.norm.eval()
    model.network.head.bias.requires_grad_(False)
    model.network.conv.weight.grad = torch.ones_like(model.network.conv.weight)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]

    heat_map(model, image, 0)

    assert hooks(model) == 0
    assert [m.training for m in model.modules()] == modes
    assert [p.requires_grad for p in model.parameters()] == wanted
    gradients = {name for name, p in model.named_parameters() if p.grad is not None}
    assert gradients == {"network.conv.weight"}
    assert (model.network.conv.weight.grad == 1).all()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not image.requires_grad


def test_nothing_is_left_behind_by_a_failure(image: Tensor) -> None:
    model = wrapped(convnet())
    model.train()
    with pytest.raises(MethodError, match="class 5 was asked of a model with 5 classes"):
        heat_map(model, image, 5)
    assert hooks(model) == 0
    assert model.network.norm.training
    assert all(p.requires_grad for p in model.parameters())


def test_diverged_weights_are_an_error(image: Tensor) -> None:
    model = wrapped(convnet())
    nn.init.constant_(model.network.conv.weight, float("nan"))
    with pytest.raises(MethodError, match="not finite"):
        heat_map(model, image, 0)


def test_a_network_without_positions_is_an_error(image: Tensor) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 4))
    with pytest.raises(MethodError, match="no layer of Sequential"):
        heat_map(wrapped(flat), image, 0)


def test_modules_that_run_twice_are_passed_over(image: Tensor) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.second(self.relu(self.first(x))))
            return self.head(x.mean(dim=(2, 3)))

    assert target_layer(wrapped(Shared()), image).name == "network.second"
    assert heat_map(wrapped(Shared()), image, 0).shape == (SIZE, SIZE)


def timm_model(name: str, **options: object) -> nn.Module:
    return timm.create_model(name, num_classes=4, **options)


def small_vit() -> nn.Module:
    network = torchvision.models.VisionTransformer(SIZE, 8, 2, 2, 16, 32, num_classes=4)
    nn.init.normal_(network.heads.head.weight)  # zero at first, and so would be the gradients
    return network


VIT = {"img_size": SIZE, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
SWIN = {"img_size": SIZE, "patch_size": 2, "window_size": 4, "embed_dim": 8, "depths": (1, 1)}
ARCHITECTURES = {
    "timm resnet": (lambda: timm_model("resnet18"), "layer4", 64),
    "torchvision resnet": (lambda: torchvision.models.resnet18(num_classes=4), "layer4", 64),
    "efficientnet": (lambda: timm_model("tf_efficientnet_lite0"), "bn2", 64),
    "timm vit": (lambda: timm_model("vit_tiny_patch16_224", **VIT), "blocks.1.norm1", SIZE),
    "deit, two prefix tokens": (
        lambda: timm_model("deit_tiny_distilled_patch16_224", **VIT),
        "blocks.1.norm1",
        SIZE,
    ),
    "torchvision vit": (small_vit, "encoder.layers.encoder_layer_1.ln_1", SIZE),
    "swin, channels last": (
        lambda: timm_model("swin_tiny_patch4_window7_224", num_heads=(2, 2), **SWIN),
        "norm",
        SIZE,
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_layer_is_found_by_architecture(name: str) -> None:
    make, layer, size = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = wrapped(make())
    image = torch.randn(1, 3, size, size)
    assert target_layer(model, image).name == f"network.{layer}"
    heat = heat_map(model, image, 1)
    assert heat.shape == (size, size)
    assert heat.min() >= 0
    assert heat.max() > 0.9


def test_tokens_keep_their_places() -> None:
    """A bright patch moves the layer's output at that patch's place in the maps."""
    model = wrapped(timm_model("vit_tiny_patch16_224", **VIT)).eval()
    dark = torch.zeros(1, 3, SIZE, SIZE)
    lit = dark.clone()
    lit[..., 8:16, 24:32] = 3
    seen: list[Tensor] = []
    # Block 0's normalisation sees tokens before any attention has mixed them.
    model.network.blocks[0].norm1.register_forward_hook(lambda *call: seen.append(call[2]))
    maps = target_layer(model, dark).maps
    seen.clear()
    with torch.no_grad():
        model(dark), model(lit)
    moved = (maps(seen[1]) - maps(seen[0])).abs().sum(dim=1)[0] > 1e-6
    assert moved.nonzero().tolist() == [[1, 3]]


@pytest.mark.parametrize("sides", [(32, 64), (96, 32)])
def test_an_oblong_input_has_an_oblong_map(sides: tuple[int, int]) -> None:
    oblong = torch.randn(1, 3, *sides, generator=torch.Generator().manual_seed(1))
    assert heat_map(wrapped(convnet()), oblong, 3).shape == sides
    vit = timm.create_model("test_vit", img_size=sides)
    assert heat_map(wrapped(vit), oblong, 3).shape == sides


def test_maps_that_are_told_by_equal_sides_need_them() -> None:
    network = convnet()
    network.output_fmt = "NHWC"  # type: ignore[assignment]
    with pytest.raises(MethodError, match="equal sides"):
        heat_map(wrapped(network), torch.zeros(1, 3, 32, 64), 3)
