"""What `ready` sees to beside moving a model."""

import pytest
import torch
from torch import nn

from hardy.models.build import ready
from hardy.models.model import Model
from tests.contracts.method import PLAIN

FLAGS = ("allow_tf32", "benchmark", "deterministic")


@pytest.fixture(autouse=True)
def flags_as_before():
    cudnn = torch.backends.cudnn
    before = {name: getattr(cudnn, name) for name in FLAGS}
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = True, True, False
    yield
    for name, value in before.items():
        setattr(cudnn, name, value)


@pytest.mark.parametrize(
    ("device", "flags"), [("cpu", (True, True, False)), ("cuda:0", (False, False, True))]
)
def test_a_gpu_computes_in_the_precision_that_was_asked_for_and_repeats(monkeypatch, device, flags):
    """What comes of it on a GPU: tests/engine/test_accelerator.py."""
    model = Model(nn.Linear(2, 2), PLAIN)
    monkeypatch.setattr(model, "to", lambda _: model)
    ready(model, device)
    assert tuple(getattr(torch.backends.cudnn, name) for name in FLAGS) == flags
