"""The small U-Net: any size in, the same size out, as many channels as the task has."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from hardy.core.errors import SpecError, WeightsError
from hardy.data.preprocess import Preprocess
from hardy.models.build import build_model, build_network
from hardy.models.segmenters.encoder_decoder import UNet
from hardy.models.segmenters.spec import UNetSmall
from tests.contracts.device import another_device


@pytest.mark.parametrize("size", [(48, 48), (180, 240), (97, 131), (7, 9), (1, 1)])
def test_planes_have_the_inputs_size(size):
    assert UNet(5, 8)(torch.zeros(2, 3, *size)).shape == (2, 5, *size)


def test_what_is_cut_back_is_the_padding_on_the_far_sides():
    torch.manual_seed(0)
    network, image = UNet(3, 8).eval(), torch.randn(1, 3, 13, 21)
    rows, columns = [*range(13), *[12] * 3], [*range(21), *[20] * 3]
    whole = image[:, :, rows][..., columns]
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(whole)[..., :13, :21])


def test_no_image_sees_another_and_all_weights_learn():
    torch.manual_seed(0)
    network, images = UNet(3, 8).train(), torch.randn(3, 3, 16, 24)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-5, rtol=1e-4)
    network(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_skip_connections_carry_what_the_coarsest_level_does_not():
    torch.manual_seed(0)
    network, image = UNet(2, 8).eval(), torch.randn(1, 3, 16, 16)
    moved = image.clone()
    moved[..., 5, 5] += 3
    network.down[-1].register_forward_hook(lambda *_: torch.zeros(1, 64, 2, 2))
    with torch.no_grad():
        change = (network(moved) - network(image)).abs().amax((0, 1))
    assert change[5, 5] > 1e-3


def test_it_answers_alike_on_another_device():
    torch.manual_seed(0)
    network, images = UNet(3, 8).eval(), torch.randn(1, 3, 13, 10)
    with torch.no_grad():
        expected = network(images)
        with another_device() as device:
            found = network.to(device)(images.to(device)).cpu()
    torch.testing.assert_close(found, expected)


def test_the_task_says_how_many_channels():
    spec = UNetSmall(width=8)
    model = build_model(spec, outputs=7, seed=1)
    assert model.outputs() == 7
    assert model.preprocess == Preprocess(
        64, None, "bilinear", (0.5,) * 3, (0.5,) * 3, fit="squeeze"
    )
    same, other = (build_network(spec, outputs=7, seed=seed)[0].state_dict() for seed in (1, 2))
    own = model.network.state_dict()
    assert all(torch.equal(own[name], same[name]) for name in own)
    assert not torch.equal(own["head.weight"], other["head.weight"])
    with pytest.raises(SpecError, match="as many channels as its task"):
        build_model(spec)


@pytest.mark.parametrize(
    ("stated", "size", "fit"),
    [
        ({"size": 96}, 96, "squeeze"),
        ({"size": (60, 80), "fit": "pad"}, (60, 80), "pad"),
        ({"mean": (0, 0, 0)}, 64, "squeeze"),
    ],
)
def test_a_size_alone_is_squeezed_to(stated, size, fit):
    spec = UNetSmall.model_validate({"input": stated})
    preprocess = build_network(spec, outputs=2)[1]
    assert (preprocess.size, preprocess.fit, preprocess.resize) == (size, fit, None)


def test_weights_of_another_task_fit_but_for_the_head(tmp_path):
    torch.manual_seed(3)
    trained = UNet(3, 8)
    path = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), path)
    whole = {"kind": "segmenter", "width": 8, "weights": f"file:{path}"}
    model = build_model(UNetSmall.model_validate(whole), outputs=3)
    assert torch.equal(model.network.head.weight, trained.head.weight)
    with pytest.raises(WeightsError, match="head"):
        build_model(UNetSmall.model_validate(whole), outputs=7)
    part = {**whole, "weights": {"from": f"file:{path}", "partial": True}}
    model = build_model(UNetSmall.model_validate(part), outputs=7)
    assert torch.equal(model.network.stem.conv1.weight, trained.stem.conv1.weight)
    assert model.loaded.missing == ("head.weight", "head.bias")


def test_its_planes_are_those_of_plain_operations():
    torch.manual_seed(0)
    network, images = UNet(3, 8).eval(), torch.randn(2, 3, 24, 16)
    with torch.no_grad():
        for parameter in network.parameters():  # norms and biases that do something
            parameter += 0.1 * torch.randn_like(parameter)
    state = network.state_dict()

    def block(x, name, stride=1):
        for n in (1, 2):
            x = functional.conv2d(
                x, state[f"{name}.conv{n}.weight"], stride=stride if n == 1 else 1, padding=1
            )
            groups = x.double().unflatten(1, (8, -1))  # of eight groups of channels
            mean = groups.mean((2, 3, 4), keepdim=True)
            deviation = (groups.var((2, 3, 4), keepdim=True, correction=0) + 1e-5).sqrt()
            x = ((groups - mean) / deviation).flatten(1, 2).float()
            gain, shift = (state[f"{name}.norm{n}.{part}"] for part in ("weight", "bias"))
            x = (x * gain[:, None, None] + shift[:, None, None]).clamp(min=0)
        return x

    levels = [block(images, "stem")]
    levels += [x := block(levels[-1], "down.0", 2), x := block(x, "down.1", 2)]
    x = block(x, "down.2", 2)
    assert [level.shape[1:] for level in (*levels, x)] == [
        (8, 24, 16),
        (16, 12, 8),
        (32, 6, 4),
        (64, 3, 2),
    ]
    for n, finer in enumerate(reversed(levels)):
        doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        x = block(torch.cat([doubled, finer], 1), f"up.{n}")
    expected = functional.conv2d(x, state["head.weight"], state["head.bias"])
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
