import threading
import time
from dataclasses import replace
from operator import attrgetter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hardy.core.errors import SpecError
from hardy.core.seeding import generator
from hardy.data import shifts
from hardy.data.folder import open_dataset
from hardy.data.item import BadSample, Prepared
from hardy.data.pipeline import SamplePipeline, loader
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import Corruption, GaussianSigma, Poisson, Speckle
from hardy.data.view_spec import AugMix, Compose, Cut, Identity, Operations, OperationsStep

PREPROCESS = Preprocess(72, 80, "bilinear", (0.5,) * 3, (0.5,) * 3)


@pytest.fixture
def dataset(tmp_path):
    rng = np.random.default_rng(0)
    root = tmp_path / "images"
    for index in range(6):
        path = root / f"class{index % 2}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (90, 100 + index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    (root / "class1" / "broken.png").write_bytes(b"no image")
    return open_dataset(root)


def same(one, other):
    if isinstance(one, BadSample):
        return one == other
    fields = ("index", "id", "names", "targets.label")
    return torch.equal(one.pixels, other.pixels) and all(
        attrgetter(f)(one) == attrgetter(f)(other) for f in fields
    )


def test_samples_come_in_order_and_a_broken_one_says_why(dataset):
    found = list(loader(SamplePipeline(dataset, PREPROCESS), 0))
    assert [s.id for s in found] == [s.id for s in dataset.samples]
    assert [s.index for s in found] == list(range(7))
    bad = [s for s in found if isinstance(s, BadSample)]
    assert [s.id for s in bad] == ["class1/broken.png"]
    assert "broken.png: cannot be decoded" in bad[0].reason
    good = found[0]
    assert isinstance(good, Prepared)
    assert good.pixels.shape == (1, 3, 72, 72)
    assert good.names == [[]]
    assert good.ms > 0


def test_view_0_is_the_geometrys_image(dataset):
    prepared = SamplePipeline(dataset, PREPROCESS, views=Cut(count=2))[1]
    image = PREPROCESS.geometry(dataset.read(dataset.samples[1]))
    assert np.array_equal(prepared.pixels[0].permute(1, 2, 0).numpy(), np.asarray(image))


def test_indices_choose_and_order_without_changing_a_sample(dataset):
    whole = SamplePipeline(dataset, PREPROCESS, views=AugMix(count=3), seed=4)
    part = SamplePipeline(dataset, PREPROCESS, views=AugMix(count=3), seed=4, indices=[5, 1])
    assert len(part) == 2
    assert same(part[0], whole[5])
    assert same(part[1], whole[1])


def test_a_shift_corrupts_the_cropped_image_and_views_are_cut_from_it(dataset):
    shift = Corruption(kind="gaussian_noise", severity=3)
    prepared = SamplePipeline(dataset, PREPROCESS, shift=shift, views=Cut(count=3), seed=2)[0]
    sample = dataset.samples[0]
    plain = PREPROCESS.geometry(dataset.read(sample))
    rng = generator(2, sample.id, "shift", "gaussian_noise-3")
    shifted = np.asarray(shifts.apply(plain, "gaussian_noise", 3, rng))
    assert np.array_equal(prepared.pixels[0].permute(1, 2, 0).numpy(), shifted)
    again = SamplePipeline(dataset, PREPROCESS, shift=shift, views=Cut(count=3), seed=3)[0]
    assert not torch.equal(prepared.pixels[0], again.pixels[0])


COMBO = Compose(
    steps=(OperationsStep(names=("spatial",)), OperationsStep(names=("pixel",), repeat=True))
)
PLANS = [
    (Corruption(kind="shot_noise", severity=2), AugMix(count=4)),
    (GaussianSigma(sigma=0.4, space="normalised"), Identity(count=2)),
    (Poisson(peak=30), COMBO),
    (Speckle(sigma=0.3), AugMix(count=3, variant="torchvision")),
    (None, Operations(count=6, crop="random")),
]


@pytest.mark.parametrize(
    ("shift", "views", "workers"),
    [(*PLANS[0], (1, 2, 4)), *((*plan, (2,)) for plan in PLANS[1:])],
)
def test_any_number_of_workers_gives_the_same_samples(dataset, shift, views, workers):
    made = SamplePipeline(dataset, PREPROCESS, shift=shift, views=views, seed=1)
    state = torch.get_rng_state()
    plain, *others = (list(loader(made, number)) for number in (0, *workers))
    assert torch.equal(state, torch.get_rng_state())
    for other in others:
        assert len(other) == len(plain) == 7
        assert all(same(a, b) for a, b in zip(plain, other, strict=True))


@given(
    plan=st.sampled_from(PLANS),
    order=st.permutations(range(7)),
    shards=st.integers(1, 4),
    seed=st.integers(0, 2),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_neither_order_nor_shard_changes_a_sample(dataset, plan, order, shards, seed):
    shift, views = plan
    made = SamplePipeline(dataset, PREPROCESS, shift=shift, views=views, seed=seed)
    whole = {index: made[index] for index in order[:3]}
    for shard in range(shards):
        part = SamplePipeline(
            dataset,
            PREPROCESS,
            shift=shift,
            views=views,
            seed=seed,
            indices=[index for index in order if index % shards == shard],
        )
        for position, index in enumerate(part.indices):
            if index in whole:
                assert same(part[position], whole[index])


@pytest.mark.parametrize("std", [(0.5, 0.5, 0.5), (0.229, 0.224, 0.225)])
def test_noise_after_the_normalisation_is_exactly_that(dataset, std):
    preprocess = replace(PREPROCESS, std=std, mean=(0.4, 0.5, 0.6))
    shift = GaussianSigma(sigma=0.7, space="normalised")
    noisy = SamplePipeline(dataset, preprocess, shift=shift, views=Identity(count=2), seed=3)[1]
    plain = SamplePipeline(dataset, preprocess)[1]
    assert noisy.pixels.dtype == torch.float32
    assert noisy.pixels.min() < 0  # neither clipped
    assert not torch.equal(noisy.pixels, noisy.pixels.round())  # nor rounded
    assert torch.equal(noisy.pixels[0], noisy.pixels[1])
    rng = generator(3, noisy.id, "shift", "gaussian_sigma-0.7-normalised")
    noise = torch.from_numpy(rng.standard_normal((3, 72, 72), np.float32))
    expected = preprocess.normalise(plain.pixels)[0] + 0.7 * noise
    difference = preprocess.normalise(noisy.pixels)[0] - expected
    assert difference.abs().max() < 2e-6


@pytest.mark.parametrize(("shift", "views"), [*PLANS[:4], (None, Cut(count=3))])
def test_an_epoch_draws_its_own_shift_and_views(dataset, shift, views):
    made = SamplePipeline(dataset, PREPROCESS, shift=shift, views=views, seed=1)
    plain, first, second = (made.of_epoch(epoch)[1] for epoch in (0, 1, 2))
    assert same(plain, made[1])
    assert same(second, made.of_epoch(2)[1])
    for one, other in ((plain, first), (plain, second), (first, second)):
        assert not torch.equal(one.pixels[-1], other.pixels[-1])
        # View 0 is the unchanged image, but for the shift.
        assert torch.equal(one.pixels[0], other.pixels[0]) == (shift is None)


def test_noise_after_the_normalisation_under_views_is_refused(dataset):
    shift = GaussianSigma(sigma=0.7, space="normalised")
    with pytest.raises(SpecError, match="under views of kind augmix") as caught:
        SamplePipeline(dataset, PREPROCESS, shift=shift, views=AugMix())
    assert "data.shift.space" in caught.value.hint


def test_views_apart_from_the_original_take_their_room(dataset):
    views = Identity(count=3, include_original=False)
    item = SamplePipeline(dataset, PREPROCESS, views=views)[0]
    assert len(item.pixels) == 4


def test_leaving_early_ends_the_threads(dataset):
    many = SamplePipeline(dataset, PREPROCESS, indices=[0] * 200)
    before = set(threading.enumerate())
    samples = loader(many, 2)
    next(samples)
    assert set(threading.enumerate()) > before
    samples.close()
    assert set(threading.enumerate()) == before


def test_no_more_is_prepared_than_is_soon_needed(dataset, monkeypatch):
    made = []
    real = SamplePipeline.__getitem__

    def counted(self, position):
        made.append(position)
        return real(self, position)

    monkeypatch.setattr(SamplePipeline, "__getitem__", counted)
    samples = loader(SamplePipeline(dataset, PREPROCESS, indices=[0] * 200), 2)
    next(samples)
    time.sleep(0.3)
    assert len(made) <= 6
    samples.close()


def test_an_unforeseen_error_in_a_thread_arrives(dataset, monkeypatch):
    def broken(self, position):
        raise ZeroDivisionError(position)

    monkeypatch.setattr(SamplePipeline, "__getitem__", broken)
    with pytest.raises(ZeroDivisionError):
        list(loader(SamplePipeline(dataset, PREPROCESS), 2))
