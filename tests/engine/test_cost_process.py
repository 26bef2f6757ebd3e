"""What a model costs: counted by hand, and the estimate of MEMO against MEMO itself."""

import pytest
import timm
import torch
from torch import nn

from hardy.core.errors import MethodError, SpecError
from hardy.data.preprocess import Preprocess
from hardy.engine.cost_process import answer, count_flops
from hardy.engine.model_cost import model_cost
from hardy.methods.base import Subject
from hardy.models.model import Model
from hardy.plan.measured import recall
from tests.contracts.method import build_method
from tests.plan.helpers import experiment

TINY = {"kind": "timm", "name": "test_efficientnet", "weights": "random"}


def both_ways(network: nn.Module, images: torch.Tensor) -> None:
    torch.autograd.backward(network(images).sum())


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_a_convolution_forward_and_backward(groups):
    layer = nn.Conv2d(8, 16, 3, padding=1, groups=groups, bias=False)
    images = torch.zeros(1, 8, 10, 10, requires_grad=True)
    forward = 2 * 10 * 10 * 16 * (8 // groups) * 9
    assert count_flops(lambda: layer(images)) == forward
    # As much again for the gradient of the kernel, and for that of the images.
    assert count_flops(lambda: both_ways(layer, images)) == 3 * forward
    assert count_flops(lambda: both_ways(layer, images.detach())) == 2 * forward


@pytest.mark.parametrize("steps", [1, 2])
def test_memo_does_the_passes_that_it_states(steps):
    asked = experiment(
        model=TINY,
        method={
            "kind": "memo",
            "views": {"kind": "cut", "count": 4},
            "select": 0.5,
            "steps": steps,
        },
    )
    network = timm.create_model("test_efficientnet").eval()
    geometry = Preprocess(64, 64, "bilinear", (0.5,) * 3, (0.5,) * 3)
    method = build_method(asked.method, Model(network, geometry))
    image = torch.zeros(1, 3, 64, 64)
    forward = count_flops(lambda: network(image).detach())
    backward = count_flops(lambda: both_ways(network, image)) - forward
    passes = asked.method.cost()
    stated = passes.forward * forward + passes.backward * backward
    counted = count_flops(lambda: method.predict(Subject(torch.rand(4, 3, 64, 64))))
    assert counted == pytest.approx(stated, rel=1e-3)


@pytest.mark.slow
def test_a_model_is_measured_once(monkeypatch):
    asked = experiment(model=TINY, compute={"device": "cpu"})
    held = torch.ones(400_000_000)  # what the process that asks holds is not the model's
    cost = model_cost(asked)
    del held
    assert cost.size == 160
    network = timm.create_model("test_efficientnet").eval()
    image = torch.zeros(1, 3, 160, 160)
    assert cost.forward_flops == count_flops(lambda: network(image).detach())
    assert cost.backward_flops > cost.forward_flops
    assert 0 < cost.forward_seconds < 10
    assert 0 < cost.forward_bytes < cost.image_bytes
    assert 50_000_000 < cost.base_bytes < 1_200_000_000  # the interpreter and torch are in it
    monkeypatch.setattr("subprocess.run", None)
    assert model_cost(asked) == cost == recall(asked)


@pytest.mark.slow
def test_a_model_that_cannot_be_built_is_told():
    asked = experiment(model={**TINY, "name": "no_such_model"})
    with pytest.raises(MethodError, match="no_such_model could not be measured"):
        model_cost(asked)
    assert recall(asked) is None


def test_a_size_that_the_network_does_not_take_is_refused_as_by_a_run():
    asked = experiment(
        model={
            "kind": "segmenter",
            "name": "segnet",
            "width": 4,
            "weights": "random",
            "input": {"size": 8, "fit": "squeeze"},
        },
        task={"kind": "segment"},
        method={"kind": "evaluate"},
    )
    told = answer(asked.model_dump_json(by_alias=True))
    assert told["refused"].startswith("model.input.size: segnet does not take 8")
    assert "state such a size" in told["hint"]


@pytest.mark.parametrize(
    ("does", "error", "message"),
    [
        ("exit 3", MethodError, "could not be measured: it gave no reason$"),
        ("echo first >&2; echo last >&2; exit 3", MethodError, "could not be measured: last$"),
        ('echo noise; echo \'{"refused": "no", "hint": ""}\'', SpecError, "^no$"),
    ],
)
def test_what_the_process_says_is_understood(tmp_path, monkeypatch, does, error, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat > /dev/null\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    monkeypatch.setattr("hardy.engine.model_cost.recall", lambda asked: None)
    with pytest.raises(error, match=message):
        model_cost(experiment(model=TINY))
