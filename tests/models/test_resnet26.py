import torch
from safetensors.torch import save_file
from torch.nn import functional

from hardy.models.build import build_model, build_network
from hardy.models.resnet26 import Block, ResNet26
from hardy.models.spec import HardyModel


def test_names_and_shapes_are_the_published_checkpoints():
    state = ResNet26().state_dict()
    assert len(state) == 5 + 3 * 4 * 6
    assert state["layer2.0.bn1.weight"].shape == (16,)
    assert state["layer2.0.conv1.weight"].shape == (32, 16, 3, 3)
    assert state["layer3.3.conv2.weight"].shape == (64, 64, 3, 3)
    assert {"conv1.weight", "bn.weight", "bn.bias", "fc.weight", "fc.bias"} < set(state)
    convolutions = 9 * (3 * 16 + 8 * 16**2 + 16 * 32 + 7 * 32**2 + 32 * 64 + 7 * 64**2)
    norms = 2 * (8 * 16 + 16 + 7 * 32 + 32 + 7 * 64 + 64)
    assert sum(v.numel() for v in state.values()) == convolutions + norms + 10 * (64 + 1)


def test_a_block_is_the_papers_equation():
    torch.manual_seed(0)
    block, x = Block(16, 32, 2), torch.randn(2, 16, 8, 8)
    with torch.no_grad():
        h = functional.group_norm(x, 8, block.bn1.weight, block.bn1.bias).clamp(min=0)
        h = functional.conv2d(h, block.conv1.weight, stride=2, padding=1)
        h = functional.group_norm(h, 8, block.bn2.weight, block.bn2.bias).clamp(min=0)
        h = functional.conv2d(h, block.conv2.weight, padding=1)
        means = x.reshape(2, 16, 4, 2, 4, 2).mean((3, 5))
        expected = h + functional.pad(means, (0, 0, 0, 0, 0, 16))
        assert torch.allclose(block(x), expected, atol=1e-6)


def test_the_spec_builds_it_with_its_own_transform(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(ResNet26(3).state_dict(), path)
    model = build_model(HardyModel(weights=f"file:{path}", classes=3))
    preprocess = model.preprocess
    assert (preprocess.size, preprocess.resize) == (32, 32)
    assert preprocess.mean == preprocess.std == (0.5, 0.5, 0.5)
    assert model.outputs() == 3
    one, two = (build_network(HardyModel(), seed=seed)[0].fc.weight for seed in (0, 0))
    assert torch.equal(one, two)
