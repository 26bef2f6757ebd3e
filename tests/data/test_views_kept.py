"""Views from the cache: the same bits as made ones, known by all that they are made of."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hardy.core.cache import Cache
from hardy.data.dataset import Dataset, Sample
from hardy.data.pipeline import SamplePipeline, ViewSet, loader
from hardy.data.preprocess import Preprocess
from hardy.data.shift_spec import Corruption
from hardy.data.view_spec import (
    AugMix,
    Compose,
    Cut,
    CutStep,
    Identity,
    Operations,
    OperationsStep,
    Photometric,
)
from hardy.data.views import kept as module
from hardy.data.views import kept_bytes, make_views
from hardy.data.views import make as maker
from hardy.data.views.kept import ViewStore

P = Preprocess(40, 48, "bilinear", (0.5,) * 3, (0.5,) * 3)
WIDE = replace(P, size=(40, 56))
SPECS = {
    "cut": Cut(),
    **{v: AugMix(variant=v) for v in ("memo", "memo-imagenet", "memo-cifar", "tpt", "torchvision")},
    "photometric": Photometric(),
    "memo_plus": Operations(),
    "pixel": Operations(names=("pixel",)),
    "spatial": Operations(names=("spatial",)),
    "normalize": Operations(names=("normalize", "flip"), repeat=True, weights=(1, 2)),
    "native": Operations(names=("memo_plus",), act_on="native"),
    "point": Operations(names=("crop", "zoom"), crop="gradcam"),
    "native point": Operations(names=("crop", "zoom"), crop="gradcam", act_on="native"),
    "compose": Compose(
        steps=(OperationsStep(names=("spatial",)), OperationsStep(names=("pixel",), repeat=True))
    ),
    "native compose": Compose(steps=(OperationsStep(act_on="native"), CutStep())),
}


def photo(seed=0, width=90, height=70):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def views_of(spec, cache=None, **changed):
    image = changed.pop("image", photo())
    preprocess = changed.pop("preprocess", P)
    given = {
        "image": image,
        "spec": spec,
        "preprocess": preprocess,
        "seed": 3,
        "sample_id": "a",
        "plain": preprocess.geometry(image),
        "point": (0.3, 0.6),
        **changed,
    }
    return make_views(**given, cache=cache)


def same(one, other):
    return (
        one.pixels.dtype == other.pixels.dtype
        and torch.equal(one.pixels, other.pixels)
        and one.names == other.names
    )


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@pytest.fixture
def made(monkeypatch):
    """Keep a list of the rows that are made, not read."""
    rows = []
    real = maker._fill

    def counted(scene, spec, pixels, which):
        rows.extend(which)
        return real(scene, spec, pixels, which)

    monkeypatch.setattr(maker, "_fill", counted)
    return rows


@pytest.mark.parametrize("kind", SPECS)
def test_kept_views_are_made_views_bit_for_bit_whatever_their_count(kind, cache, made):
    few, many = (SPECS[kind].model_copy(update={"count": count}) for count in (8, 19))
    for spec in (few, many):
        plain = views_of(spec)
        made.clear()
        first = views_of(spec, cache)
        # Of 19, the first eight were there; those that are made are the same beside fewer others.
        assert made == list(range(1, 8) if spec is few else range(8, 19))
        again = views_of(spec, cache)
        assert len(made) == len(first.names) - (1 if spec is few else 8)
        assert same(plain, first)
        assert same(plain, again)
    assert len(cache.entries()) == 3
    assert {entry.kind for entry in cache.entries()} == {"views"}


CHANGES = {
    "seed": {"seed": 4},
    "sample": {"sample_id": "b"},
    "point": {"point": (0.3, 0.5)},
    "geometry": {"preprocess": replace(P, resize=50)},
    "size": {"preprocess": WIDE},
    "filter": {"preprocess": replace(P, interpolation="bicubic")},
    "spec": {"spec": AugMix(variant="tpt", count=4)},
    "kind": {"spec": Cut(count=4)},
    "another image": {"image": photo(1)},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_views_are_made_of_is_what_they_are_known_by(what, cache, made):
    spec = AugMix(count=4)
    views_of(spec, cache)
    changed = {"spec": spec, **CHANGES[what]}
    made.clear()
    other = views_of(changed.pop("spec"), cache, **changed)
    assert made == [1, 2, 3]
    assert same(other, views_of(CHANGES[what].get("spec", spec), **changed))
    assert len(cache.entries()) == 2


@pytest.mark.parametrize("which", ["image", "plain"])
def test_a_level_of_either_image_makes_another(which, cache, made):
    images = {"image": photo(), "plain": P.geometry(photo())}
    views_of(AugMix(count=4), cache, **images)
    images[which].putpixel((5, 5), (1, 2, 3))
    made.clear()
    views_of(AugMix(count=4), cache, **images)
    assert made == [1, 2, 3]


def test_another_version_of_a_library_or_of_the_code_makes_others(cache, made, monkeypatch):
    views_of(Cut(count=4), cache)
    monkeypatch.setattr(Cut, "VERSION", Cut.VERSION + 1)
    views_of(Cut(count=4), cache)
    monkeypatch.setattr(module, "_libraries", lambda: ["0.1"])
    views_of(Cut(count=4), cache)
    assert made == [1, 2, 3] * 3


def test_what_changes_no_pixel_finds_them(cache, made):
    views_of(Cut(count=8), cache)
    made.clear()
    views_of(Cut(count=7, include_original=False), cache)
    views_of(Cut(count=8), cache, preprocess=replace(P, mean=(0.4,) * 3, std=(0.2,) * 3))
    assert not made


def test_a_damaged_entry_is_made_anew(cache, made):
    plain = views_of(AugMix(count=4))
    views_of(AugMix(count=4), cache)
    (file,) = (cache.folder / "views").iterdir()
    whole = file.read_bytes()
    for content in (b"", whole[:500], whole[:200] + b"x" + whole[201:], whole + b"x"):
        file.write_bytes(content)
        made.clear()
        assert same(views_of(AugMix(count=4), cache), plain)
        assert made == [1, 2, 3]
        assert file.read_bytes() == whole


@pytest.mark.parametrize("spec", [Identity(count=4), AugMix(count=4, backend="tensor")])
def test_what_is_made_at_once_or_all_together_is_not_kept(spec, cache):
    assert same(views_of(spec, cache), views_of(spec))
    assert not cache.entries()
    assert kept_bytes(spec, P) == 0


@pytest.mark.parametrize("kind", ["cut", "memo", "compose"])
def test_a_sample_takes_as_many_bytes_as_are_foreseen(kind, cache):
    spec = SPECS[kind].model_copy(update={"count": 19})
    names = views_of(spec, cache).names
    stored = sum(entry.size for entry in cache.entries())
    assert 0 < stored - kept_bytes(spec, P) < 200 * len(names)


# Through the pipeline.


@pytest.fixture
def dataset():
    samples = tuple(Sample(f"{n}.png", 0, str(n), "") for n in range(5))
    return Dataset("five", ("thing",), None, samples, lambda sample: photo(int(sample.path)))


def pipeline(dataset, cache=None, room=10**9, **changed):
    store = None if cache is None else ViewStore(cache, room)
    given = {"views": AugMix(count=9), "seed": 1, **changed}
    return SamplePipeline(dataset, P, store=store, **given)


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("shift", [None, Corruption(kind="shot_noise", severity=2)])
def test_a_pipeline_finds_what_another_made(dataset, cache, made, shift, workers):
    further = (ViewSet(replace(P, size=32), Cut(count=3)), ViewSet(P, Identity(count=2)))
    changed = {"shift": shift, "further": further}
    plain = list(loader(pipeline(dataset, **changed), 0))
    for _ in range(2):
        found = list(loader(pipeline(dataset, cache, **changed), workers))
        for one, other in zip(plain, found, strict=True):
            assert torch.equal(one.pixels, other.pixels)
            assert one.names == other.names
            assert all(map(torch.equal, one.others, other.others))
    assert len(made) == 2 * 5 * (8 + 2 + 1) + 5  # copies are made each time
    assert len(cache.entries()) == 5 * (2 + 1)


def test_views_of_an_epoch_are_never_kept(dataset, cache):
    made = pipeline(dataset, cache)
    assert not torch.equal(made.of_epoch(1)[0].pixels, pipeline(dataset)[0].pixels)
    assert not cache.entries()
    assert made.of_epoch(0)[0].names == made[0].names
    assert cache.entries()


def test_only_the_first_samples_are_kept_where_not_all_have_room(dataset, cache, made):
    views = AugMix(count=9)
    room = 2 * kept_bytes(views, P) + kept_bytes(views, P) // 2
    for _ in range(2):
        for sample in loader(pipeline(dataset, cache, room, indices=[4, 1, 0]), 0):
            assert torch.equal(sample.pixels, pipeline(dataset)[sample.index].pixels)
    assert {n for n in (0, 1, 4) if _is_read(pipeline(dataset, cache, room), n, made)} == {0, 1}


def _is_read(made_by, position, made):
    made.clear()
    made_by[position]
    return not made


def test_reading_takes_the_time_that_it_takes(dataset, cache, monkeypatch):
    further = (ViewSet(P, Cut(count=3)),)
    whole = pipeline(dataset, cache, further=further)
    whole[0]
    real = Cache.get

    def slow(self, kind, key):
        time.sleep(0.05)
        return real(self, kind, key)

    monkeypatch.setattr(Cache, "get", slow)
    found = whole[0]
    assert found.ms > 1000 * 3 * 0.05  # two entries and one
    assert found.stages["views.0"] > 1000 * 0.05
    assert found.stages["image"] < 50
