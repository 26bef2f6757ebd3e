"""The transformer of stated sizes: its tensors and its pass, by a formula of float64 numpy."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from scipy.special import erf
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from hardy.core.errors import WeightsError
from hardy.models import head
from hardy.models.build import build_model, build_network
from hardy.models.spec import HardyModel

SMALL = {"name": "vit", "patch": 8, "dim": 12, "depth": 2, "heads": 3, "mlp": 20, "classes": 5}


def test_the_plain_one_has_the_parameters_of_vit_byols():
    network, prepared = build_network(HardyModel(name="vit"))
    dim, mlp, tokens = 512, 512, (32 // 4) ** 2 + 1
    norm = 2 * dim
    block = 2 * norm + (dim + 1) * 3 * dim + (dim + 1) * dim + (dim + 1) * mlp + (mlp + 1) * dim
    ends = (4 * 4 * 3 + 1) * dim + dim + tokens * dim + norm + (dim + 1) * 10
    assert sum(p.numel() for p in network.parameters()) == 6 * block + ends
    assert network.blocks[0].attn.num_heads == 8
    assert (prepared.size, prepared.fit) == (32, "squeeze")
    assert prepared.mean == (0.4914, 0.4822, 0.4465)
    assert prepared.std == (0.2023, 0.1994, 0.2010)
    rates = [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)]
    attention = [block.attn.attn_drop.p for block in network.blocks]
    assert (set(rates) - {0.0}, attention) == ({0.1}, [0.1] * 6)
    assert network.pos_drop.p == 0.1


def by_hand(w: dict[str, np.ndarray], images: np.ndarray, pool: str) -> np.ndarray:
    """Dosovitskiy et al. 2021, equations 1 to 4, for `SMALL` on 16 x 24 px."""

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        return x * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    count = len(images)
    cells = images.reshape(count, 3, 2, 8, 3, 8).transpose(0, 2, 4, 1, 3, 5).reshape(count, 6, -1)
    tokens = cells @ w["patch_embed.proj.weight"].reshape(12, -1).T + w["patch_embed.proj.bias"]
    first = np.broadcast_to(w["cls_token"], (count, 1, 12))
    x = np.concatenate([first, tokens], 1) + w["pos_embed"]
    for n in range(2):
        qkv = linear(norm(x, f"blocks.{n}.norm1"), f"blocks.{n}.attn.qkv")
        q, k, v = qkv.reshape(count, 7, 3, 3, 4).transpose(2, 0, 3, 1, 4)
        a = np.exp(q @ k.transpose(0, 1, 3, 2) / np.sqrt(4))
        mixed = (a / a.sum(-1, keepdims=True) @ v).transpose(0, 2, 1, 3).reshape(count, 7, 12)
        x = x + linear(mixed, f"blocks.{n}.attn.proj")
        h = linear(norm(x, f"blocks.{n}.norm2"), f"blocks.{n}.mlp.fc1")
        x = x + linear(h * (1 + erf(h / np.sqrt(2))) / 2, f"blocks.{n}.mlp.fc2")
    pooled = norm(x, "norm")[:, 0] if pool == "cls" else norm(x.mean(1), "fc_norm")
    return pooled, linear(pooled, "head")


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_its_pass_is_the_papers(pool):
    spec = HardyModel.model_validate({**SMALL, "pool": pool, "input": {"size": [16, 24]}})
    network = build_network(spec, seed=3)[0].double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    images = torch.randn(4, 3, 16, 24, dtype=torch.float64)
    pooled, outputs = by_hand(weights, images.numpy(), pool)
    with torch.no_grad():
        np.testing.assert_allclose(network(images).numpy(), outputs, atol=1e-10)
        np.testing.assert_allclose(head.features(network, images).numpy(), pooled, atol=1e-10)
    assert head.find(network) == "head"
    assert head.outputs_of(network) == 5


def test_its_weights_are_timms_and_come_from_a_file(tmp_path):
    spec = HardyModel.model_validate({**SMALL, "input": {"size": 16}})
    trained = build_network(spec, seed=1)[0]
    path = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), path)
    model = build_model(spec.model_copy(update={"weights": spec.weights.of(f"file:{path}")}))
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model(images), trained.eval()(images))
    theirs = VisionTransformer(
        img_size=16,
        patch_size=8,
        num_classes=5,
        embed_dim=12,
        depth=2,
        num_heads=3,
        mlp_ratio=5 / 3,
    )
    theirs.load_state_dict(trained.state_dict())
    other = HardyModel.model_validate({**SMALL, "input": {"size": 32}, "weights": f"file:{path}"})
    with pytest.raises(WeightsError, match="pos_embed is"):
        build_model(other)


def test_one_seed_one_network():
    one, two, other = (
        build_network(HardyModel.model_validate(SMALL), seed=s)[0].head.weight for s in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_stated_defaults_are_the_same_and_others_stay_as_they_were():
    plain = HardyModel(name="vit")
    stated = HardyModel(
        name="vit", patch=4, dim=512, depth=6, heads=8, mlp=512, dropout=0.1, pool="cls"
    )
    assert plain == stated
    assert plain.identity() == stated.identity()
    assert HardyModel.model_validate(plain.model_dump()) == plain
    assert set(HardyModel().model_dump()) == {"kind", "name", "weights", "input", "classes"}


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"patch": 8}, "patch is for `name: vit`"),
        ({"name": "vit", "patch": 5}, "patch is 5, and the input of 32 x 32 px"),
        ({"name": "vit", "heads": 7}, "dim is 512, which 7 heads"),
        ({"name": "vit", "input": {"size": [32, 30]}}, "input of 32 x 30 px"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(stated, said):
    with pytest.raises(ValidationError, match=said):
        HardyModel.model_validate(stated)
