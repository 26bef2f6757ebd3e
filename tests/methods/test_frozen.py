from types import SimpleNamespace

import torch

from hardy.methods.base import Subject
from hardy.methods.ensemble.frozen import Frozen


def test_its_answer_is_that_of_one_selected_view(monkeypatch):
    answer = torch.tensor([0.25, 0.75]).log()
    found = SimpleNamespace(answers={"source": answer})
    monkeypatch.setattr("hardy.methods.ensemble.frozen.outcome_of", lambda *_: found)
    frozen = Frozen(SimpleNamespace(model=torch.nn.Linear(1, 1)), SimpleNamespace(kind="source"))
    frozen.begin(Subject(torch.zeros(3, 1, 1, 1)))
    assert torch.equal(frozen.logits(), answer[None])
    assert torch.equal(frozen.first, answer[None])
    assert frozen.selected.tolist() == [0]
