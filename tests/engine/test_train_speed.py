"""The benchmark of training compares like with like: see benchmarks/train.py for the numbers."""

import pytest

from benchmarks import train, train_memory
from benchmarks.train import Case, compared
from benchmarks.train_memory import GROWTHS, Growth, measured, write_folder

TINY = {"kind": "timm", "name": "test_efficientnet", "weights": "random"}


@pytest.mark.parametrize(("tune", "keeps"), [("all", True), ("head", False)])
def test_both_loops_do_the_same_work(monkeypatch, tune, keeps):
    monkeypatch.setattr(train, "classed", lambda root: write_folder(root, 60))
    monkeypatch.setattr(train, "LITE0", TINY)
    monkeypatch.setattr(train, "WORKERS", (0,))
    monkeypatch.setattr(train, "THREADS", 1)
    found = compared(Case(40, 8, 30, 2, tune, keeps), rounds=1, tries=1)
    for mine, other in train.SAME.items():
        assert found.tracked[mine] == pytest.approx(found.plain[other], rel=1e-3)
    assert found.time.ratio > 0
    assert (found.end > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", GROWTHS)
def test_memory_is_that_of_a_process_that_read_every_image(monkeypatch, size):
    monkeypatch.setattr(train_memory, "VALIDATED", 20)
    growth = Growth(GROWTHS[size].size, GROWTHS[size].write, (20, 60))
    found = measured(growth, 60, budget=1)
    assert found["read"] == 60
    assert found["planned"] <= found["set up"] <= found["trained"]
