"""What was made for classifiers of one tower, on CLIPs: MEMO, Grad-CAM."""

import numpy as np
import pytest
import torch

from hardy.data.preprocess import Preprocess
from hardy.explain.gradcam import heat_map, target_layer
from hardy.methods.base import Subject
from hardy.methods.memo.spec import MemoSpec
from hardy.models.model import Model
from tests.contracts.method import build_method
from tests.models.clips import RESNET, VIT, tiny, zero_shot

NAMES = ("red circle", "blue square", "green star")


@pytest.fixture(params=[VIT, RESNET], ids=["vit", "resnet"])
def model(request):
    size = request.param["image_size"]
    geometry = Preprocess(size, size, "bicubic", (0.5,) * 3, (0.5,) * 3)
    return Model(zero_shot(tiny(request.param), NAMES), geometry).eval()


def views(model, count=4):
    size = model.preprocess.size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("optimizer", [{"kind": "sgd", "lr": 0.01}, {"kind": "adamw", "lr": 1e-3}])
def test_memo_adapts_all_and_puts_every_bit_back(model, optimizer):
    spec = MemoSpec.model_validate(
        {"views": {"kind": "cut", "count": 4}, "optimizer": optimizer, "tune": "all"}
    )
    everything = {**model.state_dict(), "texts": model.network.text_features}
    before = {name: tensor.clone() for name, tensor in everything.items()}
    method = build_method(spec, model)
    answers = method.predict(Subject(views(model))).answers
    assert not torch.equal(answers["memo"], answers["source"])
    towers = {
        "visual": [name for name in before if ".visual." in name],
        "text": [name for name in before if "clip.transformer." in name or name == "texts"],
    }
    assert any(not torch.equal(everything[name], before[name]) for name in towers["visual"])
    assert all(torch.equal(everything[name], before[name]) for name in towers["text"])
    method.reset()
    assert all(torch.equal(everything[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_grad_cam_finds_the_last_layer_with_positions(model):
    image = views(model, 1)
    layer = target_layer(model, image)
    size = model.preprocess.size
    if hasattr(model.network.clip.visual, "attnpool"):
        assert layer.name == "network.clip.visual.layer4"
    else:
        assert layer.name == "network.clip.visual.transformer.resblocks.1.ln_1"
    # Random texts are all alike; what speaks against one class speaks for its opposite.
    model.network.text_features[1] = -model.network.text_features[0]
    heats = np.stack([heat_map(model, image, target) for target in (0, 1)])
    assert heats.shape == (2, size, size)
    assert heats.max() > 0.9
    assert not np.allclose(heats[0], heats[1])
