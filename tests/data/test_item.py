"""What a batch draws: alike for any number of processes and on any device."""

import pytest
import torch

from hardy.core.seeding import generator
from hardy.data.item import Batch, Targets
from tests.contracts.device import another_device

SHAPE = (3, 4, 5)


def batch(count=7, **changes):
    ids = tuple(f"s{n}" for n in range(count))
    given = {"seed": 3, "epoch": 2, "step": 5} | changes
    return Batch(torch.zeros(count, 3, 4, 5), Targets(), ids, **given)


def put_together(draw, ranks, count=7):
    found = torch.empty_like(draw(batch(count)))
    for rank in range(ranks):
        rows = len(range(rank, count, ranks))
        found[rank::ranks] = draw(batch(rows, rank=rank, ranks=ranks, whole=count))
    return found


DRAWS = [lambda found: found.uniform("x", 3), lambda found: found.normal("x", SHAPE)]


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_the_rows_of_several_ranks_are_those_of_one(draw, ranks):
    assert torch.equal(put_together(draw, ranks), draw(batch()))


@pytest.mark.parametrize("draw", DRAWS)
def test_another_seed_epoch_or_step_draws_other_numbers(draw):
    plain = draw(batch())
    assert torch.equal(plain, draw(batch()))
    for changes in ({"seed": 4}, {"epoch": 3}, {"step": 6}):
        assert not torch.isclose(plain, draw(batch(**changes))).any()
    assert not torch.isclose(batch().uniform("y", 3), batch().uniform("x", 3)).any()


def test_uniform_numbers_come_from_the_house_s_generator():
    found = batch(4000).uniform("x", 2)
    expected = generator(3, "x", 2, 5).random((4000, 2), "float32")
    assert torch.equal(found, torch.from_numpy(expected))
    assert found.min() >= 0
    assert found.max() < 1
    assert found.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_normal_numbers_are():
    found = batch(400).normal("x", SHAPE)
    assert found.shape == (400, *SHAPE)
    assert float(found.mean()) == pytest.approx(0, abs=0.03)
    assert float(found.std()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("draw", DRAWS)
def test_they_lie_on_the_batch_s_device(draw):
    with another_device() as device:
        there = batch()._replace(inputs=torch.zeros(7, 3, 4, 5, device=device))
        found = draw(there)
        assert found.device == there.inputs.device
        found = found.cpu()
    if device.type == "meta":  # a real GPU draws other normal numbers
        assert torch.equal(found, draw(batch()))


def test_a_mover_of_batches_finds_nothing_to_walk_into():
    # Lightning Fabric and DDP go through every list and range of a batch.
    assert all(isinstance(value, int) for value in batch()[3:])
