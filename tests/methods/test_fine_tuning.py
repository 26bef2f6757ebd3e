"""What fine-tuned transformers ask for: rates that fall from layer to layer, and dropped paths."""

import pytest
import torch
from torch import nn

from hardy.core.errors import SpecError
from hardy.methods.learner import parameter_groups
from hardy.models.build import build_network
from hardy.models.spec import TimmModel
from hardy.plan.units import fingerprint
from hardy.spec.experiment import Experiment
from tests.engine.toys import Rows, Toy, network, spec, trained

DEPTH = 12
LAYERS = {"layer_decay": 0.5, "optimizer": {"kind": "adamw", "lr": 0.1, "weight_decay": 0.3}}


def small_vit(**options):
    import timm

    name = "vit_tiny_patch16_224"
    return timm.create_model(name, img_size=32, embed_dim=16, num_heads=2, num_classes=3, **options)


def layer_of(name: str) -> int:
    """Return the layer of a parameter as BEiT counts them (arXiv:2106.08254), but for the last
    norm, which timm takes to the last block."""
    first, *rest = name.split(".")
    if first == "blocks":
        return int(rest[0]) + 1
    return {"head": DEPTH + 1, "norm": DEPTH}.get(first, 0)


def test_each_layer_learns_slower_than_the_one_above_it():
    net = small_vit()
    names = {id(p): name for name, p in net.named_parameters()}
    found = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(net, spec(**LAYERS))
        for p in group["params"]
    }
    assert found.keys() == set(names.values())
    kept = {name for name, p in net.named_parameters() if p.ndim > 1}
    for name, (rate, decay) in found.items():
        assert rate == pytest.approx(0.1 * 0.5 ** (DEPTH + 1 - layer_of(name))), name
        assert decay == (0.3 if name in kept else 0.0), name
    assert found["head.weight"][0] == 0.1
    assert found["patch_embed.proj.weight"][0] == pytest.approx(0.1 * 0.5**13)


def test_the_rates_that_are_told_are_the_head_s():
    class Vit(Toy):
        def forward(self, batch):
            images = batch.inputs.repeat(1, 768).view(-1, 3, 32, 32)
            return {"loss": nn.functional.cross_entropy(self.network(images), batch.targets.label)}

        def measure(self, batch):
            return self(batch), None

    given = spec(epochs=2, batch=4, scheduler={"kind": "step", "every": 1, "factor": 0.5}, **LAYERS)
    run, _ = trained(given, learner=Vit(small_vit(depth=2), given), fit=Rows(4), validate=Rows(2))
    assert [run.steps[n]["learning_rate"] for n in (1, 2)] == pytest.approx([0.1, 0.05])


def test_a_network_without_layers_is_refused():
    with pytest.raises(SpecError, match="layer_decay needs layers that timm can tell"):
        parameter_groups(network(), spec(layer_decay=0.5))


def test_paths_are_dropped_in_training_alone_and_more_often_further_up():
    model = TimmModel(name="vit_tiny_patch16_224", weights="random", drop_path=0.3)
    net, _ = build_network(model)
    rates = [
        [getattr(part, "drop_prob", 0.0) for part in (block.drop_path1, block.drop_path2)]
        for block in net.blocks
    ]
    assert rates == [[pytest.approx(0.3 * n / 11)] * 2 for n in range(12)]
    plain, _ = build_network(model.model_copy(update={"drop_path": None}))
    plain.load_state_dict(net.state_dict())  # the same tensors
    block, other = net.blocks[11], plain.blocks[11]
    tokens = torch.randn(64, 5, 192)
    with torch.no_grad():
        assert torch.equal(block.eval()(tokens), other.eval()(tokens))
        moved = block.train()(tokens)
    kept = sum(torch.equal(one, two) for one, two in zip(moved, tokens, strict=True))
    assert 1 <= kept <= 20  # both branches of a sample are left out at 0.09: 5.8 of 64


def test_a_model_without_paths_to_drop_is_refused():
    with pytest.raises(SpecError, match="timm's dla46_c has no paths to drop"):
        build_network(TimmModel(name="dla46_c", weights="random", drop_path=0.1))


def test_dropped_paths_are_in_the_fingerprint_and_none_are_not():
    given = {
        "name": "dropping",
        "data": {"dataset": "cifar10", "split": "train"},
        "model": {"kind": "timm", "name": "resnet18", "weights": "random"},
        "method": {"kind": "supervised", "validate_on": {"split": "test"}},
    }
    plain, dropping = (
        Experiment.model_validate({**given, "model": {**given["model"], **more}})
        for more in ({}, {"drop_path": 0.1})
    )
    assert "drop_path" not in plain.model.identity()
    assert fingerprint(plain, "d", "w") != fingerprint(dropping, "d", "w")
