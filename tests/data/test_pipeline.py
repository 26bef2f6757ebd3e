import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from hardy.core.errors import SpecError
from hardy.core.seeding import generator
from hardy.data import pipeline as module
from hardy.data import shifts
from hardy.data.folder import open_dataset
from hardy.data.pipeline import BadSample, Prepared, SamplePipeline, loader
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
    fields = ("index", "id", "label", "names")
    return torch.equal(one.pixels, other.pixels) and all(
        getattr(one, f) == getattr(other, f) for f in fields
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
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


def test_noise_after_the_normalisation_under_views_is_refused(dataset):
    shift = GaussianSigma(sigma=0.7, space="normalised")
    with pytest.raises(SpecError, match="under views of kind augmix") as caught:
        SamplePipeline(dataset, PREPROCESS, shift=shift, views=AugMix())
    assert "data.shift.space" in caught.value.hint


def test_views_apart_from_the_original_take_their_room(dataset):
    views = Cut(count=3, include_original=False)
    made = SamplePipeline(dataset, PREPROCESS, views=views)
    assert len(made[1].pixels) == 4
    assert made.sample_bytes == 4 * 3 * 72 * 72 * 4


def test_small_shared_memory_means_fewer_workers(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_SHARED_MEMORY", tmp_path)
    usage = type("Usage", (), {"free": 64 << 20})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    assert module._affordable(64 * 3 * 224**2 * 4) == 0
    assert module._affordable(16 * 3 * 224**2 * 4) == 2
    monkeypatch.setattr(module, "DataLoader", None)  # would be called with workers
    huge = SamplePipeline(dataset, PREPROCESS, views=AugMix(count=400), indices=[6])
    assert len(list(loader(huge, 4))) == 1


SCRIPT = """
import sys
from contextlib import closing
from pathlib import Path
from hardy.data.folder import open_dataset
from hardy.data.pipeline import SamplePipeline, loader
from hardy.data.preprocess import Preprocess
from hardy.data.view_spec import AugMix

if __name__ == "__main__":
    made = SamplePipeline(
        open_dataset(Path(sys.argv[1])),
        Preprocess(72, 80, "bilinear", (0.5,) * 3, (0.5,) * 3),
        views=AugMix(count=int(sys.argv[2])),
        indices=[0, 1, 2, 3] * int(sys.argv[3]),
    )
    print("start", flush=True)
    try:
        with closing(loader(made, 2)) as samples:
            for position, sample in enumerate(samples):
                print(sample.id, flush=True)
                if position == 9:
                    break
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def start_script(tmp_path, dataset, *arguments):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = dataset.samples[0].path.parents[1]
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(script), str(root), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def group_is_gone(group):
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 50], ids=["used up", "left early"])
def test_nothing_is_leaked_and_nothing_is_said(tmp_path_factory, dataset, repeats):
    child = start_script(tmp_path_factory.mktemp("script"), dataset, 2, repeats)
    output, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, "")
    assert len(output.split()) == 1 + min(4 * repeats, 10)
    assert group_is_gone(child.pid)


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.3, 1.0, None], ids=["starting", "importing", "running"])
def test_ctrl_c_ends_the_workers_without_a_word(tmp_path_factory, dataset, wait):
    child = start_script(tmp_path_factory.mktemp("script"), dataset, 64, 1000)
    child.stdout.readline()
    if wait is None:
        child.stdout.readline()
    else:
        time.sleep(wait)
    os.killpg(child.pid, signal.SIGINT)
    output, errors = child.communicate(timeout=60)
    assert output.endswith("interrupted\n")
    assert (child.returncode, errors) == (0, "")
    assert group_is_gone(child.pid)


@pytest.mark.slow
def test_leaving_early_closes_every_file_descriptor(dataset):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    made = SamplePipeline(dataset, PREPROCESS, views=Cut(count=2))

    def visit():
        with closing(loader(made, 1)) as samples:
            next(samples)

    visit()  # the first visit starts multiprocessing's own helper, which stays
    before = len(list(descriptors.iterdir()))
    visit()
    assert len(os.listdir(descriptors)) == before  # noqa: PTH208
