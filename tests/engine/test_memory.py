"""What is said where memory does not suffice."""

from types import SimpleNamespace

import torch

from hardy.engine.memory import too_large


class Waiting:
    """What would wait for ever for other processes, were it asked for a pass."""

    def __getattr__(self, name):
        message = f"{name} was asked of one process among several"
        raise AssertionError(message)


def test_one_process_among_several_tries_nothing():
    batch = SimpleNamespace(ids=("a",) * 8, inputs=torch.zeros(8, 3, 4, 4))
    error = too_large(Waiting(), batch, SimpleNamespace(batch=16, accumulate=None), ranks=2)
    assert str(error) == "a batch of 16 does not fit into the memory of cpu"
    assert "method.batch, such as to 8" in error.hint
