"""The codebook against numpy in 64 bits: nearest codes, gradients, moving means, dead codes."""

import copy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from hardy.models.segmenters import codebook
from hardy.models.segmenters.codebook import Codebook, Coded
from hardy.models.segmenters.spec import VqVae
from hardy.models.segmenters.vqvae import VQVAE
from tests.contracts.device import another_device

COUNT, DIM = 7, 3
ROOT = Path(__file__).parents[2]


def made(**options):
    torch.manual_seed(0)
    return Codebook(COUNT, DIM, **options)


def vectors(seed, count=2, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(count, DIM, 4, 5, generator=generator)


def rows(batch):
    return batch.detach().double().numpy().transpose(0, 2, 3, 1).reshape(-1, DIM)


def nearest(points, codes):
    """Return the place of the nearest of `codes` (D, K) to each of `points` (N, D)."""
    return ((points[:, :, None] - codes[None]) ** 2).sum(1).argmin(1)


class Plain:
    """Sonnet's moving means in 64 bits."""

    def __init__(self, codes, decay):
        self.codes, self.decay, self.step = codes.double().numpy(), decay, 0
        self.counts, self.sums = np.zeros(COUNT), np.zeros((DIM, COUNT))

    def move(self, points):
        places = nearest(points, self.codes)
        count, total = np.zeros(COUNT), np.zeros((DIM, COUNT))
        for point, place in zip(points, places, strict=True):
            count[place] += 1
            total[:, place] += point
        self.step += 1
        self.counts -= (self.counts - count) * (1 - self.decay)
        self.sums -= (self.sums - total) * (1 - self.decay)
        bias = 1 - self.decay**self.step
        mean, whole = self.counts / bias, (self.counts / bias).sum()
        self.codes = self.sums / bias / ((mean + 1e-5) / (whole + COUNT * 1e-5) * whole)
        return places


def test_each_vector_becomes_the_nearest_code():
    book, batch = made().eval(), vectors(1)
    found = book(batch)
    expected = book.codes.double().numpy()[:, nearest(rows(batch), book.codes.double().numpy())].T
    np.testing.assert_allclose(rows(found), expected, atol=1e-6)
    assert torch.equal(book.at(book.nearest(batch)), book.at(book.nearest(found)))


def test_the_gradient_passes_straight_through():
    book, batch = made().train(), vectors(1).requires_grad_()
    weight = vectors(2)
    (book(batch) * weight).sum().backward()
    assert torch.equal(batch.grad, weight)


@pytest.mark.parametrize("learned", [False, True])
def test_losses_and_their_gradients_are_those_of_the_paper(learned):
    book, batch = made(learned=learned).train(), vectors(3).requires_grad_()
    codes = book.codes.detach().double().numpy()
    book(batch)
    losses = book.losses
    points = rows(batch)
    places = nearest(points, codes)
    gap = points - codes[:, places].T
    assert float(losses["commitment"].detach()) == pytest.approx((gap**2).mean(), rel=1e-5)
    (gradient,) = torch.autograd.grad(losses["commitment"], batch, retain_graph=True)
    np.testing.assert_allclose(rows(gradient), 2 * gap / gap.size, atol=1e-6)
    assert set(losses) == ({"commitment", "dictionary"} if learned else {"commitment"})
    if learned:
        assert float(losses["dictionary"].detach()) == pytest.approx((gap**2).mean(), rel=1e-5)
        (gradient,) = torch.autograd.grad(losses["dictionary"], book.codes)
        expected = np.zeros((DIM, COUNT))
        for row, place in zip(gap, places, strict=True):
            expected[:, place] -= 2 * row / gap.size
        np.testing.assert_allclose(gradient.double().numpy(), expected, atol=1e-6)
        assert not isinstance(dict(book.named_buffers()).get("counts"), torch.Tensor)


@pytest.mark.parametrize("decay", [0.99, 0.5, 0.0])
def test_codes_follow_corrected_moving_means(decay):
    book = made(decay=decay).train()
    plain = Plain(book.codes, decay)
    for step in range(6):
        batch = vectors(step)
        book(batch)
        plain.move(rows(batch))
    assert int(book.steps_tracked) == 6
    np.testing.assert_allclose(book.codes.double().numpy(), plain.codes, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(book.counts.double().numpy(), plain.counts, rtol=1e-4, atol=1e-6)


def test_a_step_quantises_by_the_codes_before_it():
    book, batch = made().train(), vectors(1)
    before = book.codes.clone()
    torch.testing.assert_close(book(batch), made().eval()(batch))
    assert not torch.equal(book.codes, before)


@pytest.mark.parametrize("options", [{}, {"restart": 1}, {"learned": True}])
def test_nothing_of_it_changes_in_evaluation(options):
    book = made(**options).train()
    book(vectors(1))
    before = {name: t.clone() for name, t in book.state_dict().items()}
    book.eval()(vectors(2))
    assert all(torch.equal(t, before[name]) for name, t in book.state_dict().items())


@pytest.mark.parametrize("options", [{}, {"restart": 2}])
def test_saved_and_loaded_it_goes_on_bit_for_bit(options):
    book = made(**options).train()
    for step in range(3):
        book(vectors(step))
    state = {name: t.clone() for name, t in book.state_dict().items()}
    assert {"codes", "counts", "sums", "steps_tracked", "idle", "used"} == set(state)
    torch.manual_seed(5)  # no global generator takes part
    other = Codebook(COUNT, DIM, **options).train()
    other.load_state_dict(state)
    for step in range(3, 6):
        book(vectors(step))
        other(vectors(step))
    assert all(torch.equal(t, other.state_dict()[n]) for n, t in book.state_dict().items())
    assert int(other.steps_tracked) == 6


def test_codes_begin_uniform_with_a_variance_of_one():
    torch.manual_seed(0)
    codes = Codebook(4096, 4).codes
    assert float(codes.abs().max()) == pytest.approx(3**0.5, rel=1e-3)
    assert float(codes.var()) == pytest.approx(1, rel=0.03)
    assert float(codes.mean()) == pytest.approx(0, abs=0.03)


def test_what_other_processes_saw_moves_the_codes_too(monkeypatch):
    """Another process with the same vectors, and one that drew what is restarted."""
    alone = made().train()
    for step in range(3):
        alone(torch.cat([vectors(step), vectors(step)]))
    others = SimpleNamespace(
        all_reduce=lambda tensor: tensor.mul_(2), broadcast=lambda tensor, _: tensor.fill_(9.0)
    )
    monkeypatch.setattr(codebook, "distributed", others)
    monkeypatch.setattr(codebook, "_several", lambda: True)
    book = made().train()
    for step in range(3):
        book(vectors(step))
    torch.testing.assert_close(book.codes, alone.codes)
    torch.testing.assert_close(book.counts, alone.counts)
    assert torch.equal(book.used, alone.used)
    dead = made(restart=1).train()
    dead.codes[:, 2] = 1e4
    dead(vectors(0))
    assert dead.codes[:, 2].tolist() == [9.0] * DIM


def test_a_code_that_nothing_takes_becomes_a_vector_of_the_batch():
    book = made(restart=3).train()
    book.codes[:, 2] = 1e4  # far from all
    for step in range(2):
        book(vectors(step))
        assert abs(float(book.codes[0, 2])) < 1e-3  # no mean of vectors, which is 0 / 0 but for ε
        book.codes[:, 2] = 1e4
    assert int(book.idle[2]) == 2
    last = vectors(2)
    book(last)
    restarted = book.codes[:, 2].double().numpy()
    assert np.abs(rows(last) - restarted).sum(1).min() == 0
    assert int(book.idle[2]) == 0
    # A mean count of 1, as a moving mean that began with zero has it after three steps.
    assert float(book.counts[2]) == pytest.approx(1 - 0.99**3, rel=1e-4)
    book(vectors(2))  # its mean goes on from there, with others that came
    assert np.isfinite(book.codes.numpy()).all()


def test_what_takes_a_dead_codes_place_is_drawn_by_the_step_alone():
    """The same step draws the same rows, whatever was drawn before; another draws others."""
    found = []
    for steps in (1, 1, 2):
        book = made(restart=steps).train()
        for _ in range(steps):
            book.codes[:, 2] = 1e4
            book(vectors(0))
        found.append(book.codes[:, 2].clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_dead_codes_stay_dead_where_nothing_restarts_them():
    book = made().train()
    book.codes[:, 2] = 1e4
    book(vectors(0))
    for step in range(1, 9):
        book.codes[:, 2] = 1e4
        book(vectors(step))
    assert int(book.idle[2]) == 9
    assert float(book.counts[2]) == 0


def test_learned_codes_restart_too():
    book = made(learned=True, restart=2).train()
    with torch.no_grad():
        book.codes[:, 1] = 1e4
    book(vectors(0))
    book(vectors(1))
    found = book.codes[:, 1].detach().double().numpy()
    assert np.abs(rows(vectors(1)) - found).sum(1).min() == 0
    assert isinstance(book.codes, nn.Parameter)


def test_usage_and_perplexity_are_of_the_steps_since_they_were_asked():
    book = made().train()
    codes = book.codes.double().numpy()
    book.decay = 1.0 - 1e-12  # codes would move; what counts is who took them before
    places = nearest(rows(vectors(1)), codes)
    book(vectors(1))
    shares = np.bincount(places, minlength=COUNT) / len(places)
    found = book.epoch_measures()
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    assert found["codebook_usage"] == pytest.approx((shares > 0).mean())
    assert found["perplexity"] == pytest.approx(np.exp(entropy), rel=1e-5)
    assert book.epoch_measures() == {}
    book.used[1:3] = torch.tensor([1, 3])
    found = book.epoch_measures()
    assert found["codebook_usage"] == pytest.approx(2 / COUNT)
    assert found["perplexity"] == pytest.approx(4 / 27**0.25)  # of 1/4 and 3/4
    book.eval()(vectors(2))
    assert book.epoch_measures() == {}


def test_half_precision_around_it_changes_nothing_of_it():
    book, other = made().train(), made().train()
    batch = vectors(1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = book(batch)
        places = book.nearest(batch)
    other(batch.float())
    assert found.dtype == torch.float32
    assert torch.equal(book.codes, other.codes)
    assert torch.equal(places, other.nearest(batch.float()))


def test_it_moves_alike_on_another_device():
    book = made(restart=1).train()
    expected = [book(vectors(n)) for n in range(2)][-1]
    with another_device() as device:
        there = made(restart=1).to(device).train()
        found = [there(vectors(n).to(device)) for n in range(2)][-1].cpu()
        codes, measures = there.codes.cpu(), there.epoch_measures()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(codes, book.codes)
    assert measures == pytest.approx(book.epoch_measures())


def test_a_network_can_be_copied_after_a_pass():
    spec = VqVae(name="vqvae", hidden=8, residual=4, layers=1, codes=9, code_dim=2)
    network = VQVAE(3, spec).train()
    network(torch.rand(2, 3, 8, 8))
    assert isinstance(network, Coded)
    assert set(network.aux_losses()) == spec.aux == {"commitment"}
    assert copy.deepcopy(network).aux_losses() == {}
    assert network.aux_losses()["commitment"].requires_grad


_RANK = """
import sys, torch
from torch import distributed
from hardy.models.segmenters.codebook import Codebook
rank, file = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
for restart in (None, 1):
    torch.manual_seed(0)
    book = Codebook(7, 3, restart=restart).train()
    for step in range(3):
        batch = 2 * torch.randn(4, 3, 4, 5, generator=torch.Generator().manual_seed(step))
        book(batch[rank * 2 : rank * 2 + 2])
    torch.save(book.state_dict(), f"{file}.{restart}.{rank}")
"""


@pytest.mark.slow
def test_processes_that_share_a_batch_have_one_codebook(tmp_path):
    command, file = [sys.executable, "-c", _RANK], str(tmp_path / "meet")
    ranks = [subprocess.Popen([*command, str(n), file], cwd=ROOT / "src") for n in range(2)]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    for restart in (None, 1):
        one, other = (torch.load(f"{file}.{restart}.{n}", weights_only=True) for n in range(2))
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())
        if restart is None:
            alone = made().train()
            for step in range(3):
                alone(vectors(step, count=4))
            torch.testing.assert_close(one["codes"], alone.codes)
            assert torch.equal(one["used"], alone.used)
