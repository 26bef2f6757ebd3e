from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from hardy.core.errors import DataError
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import DataSpec, Shapes, SourceAccuracy
from hardy.engine.source_check import check_source, gate_places
from hardy.models.model import Model


class Knows(nn.Module):
    """Answers by a table from an image's pixels, wrong for every fourth image."""

    def __init__(self, dataset):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.table = {}
        pipeline = SamplePipeline(dataset, PREPROCESS)
        for n, sample in enumerate(dataset.samples):
            normalised = PREPROCESS.normalise(pipeline[n].pixels)[0]
            self.table[normalised.sum().item()] = (sample.label + (n % 4 == 0)) % 6

    def forward(self, images):
        answers = [self.table[image.sum().item()] for image in images]
        return nn.functional.one_hot(torch.tensor(answers), 6).float()


PREPROCESS = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)


def bench_of(**expected):
    band = SourceAccuracy(**expected) if expected else None
    data = DataSpec(dataset="shapes", shapes=Shapes(count=60, size=32), expect_source_accuracy=band)
    dataset = open_dataset(data)
    return SimpleNamespace(
        experiment=SimpleNamespace(data=data, model=SimpleNamespace(name="knows", weights="none")),
        fabric=Fabric(accelerator="cpu", devices=1),
        dataset=dataset,
        model=Model(Knows(dataset), PREPROCESS),
        pipeline=lambda places: SamplePipeline(dataset, PREPROCESS, indices=places),
    )


def test_the_accuracy_is_that_of_the_samples_drawn():
    places = gate_places(60, 20)
    expected = sum(place % 4 != 0 for place in places) / 20
    assert check_source(bench_of(samples=20)) == expected
    assert check_source(bench_of(at_least=0.75, at_most=0.75, samples=500)) == 0.75


@pytest.mark.parametrize("band", [{"at_least": 0.8}, {"at_most": 0.7}])
def test_outside_the_band_the_likely_causes_are_named(band):
    with pytest.raises(DataError, match=r"75\.0% on 60 samples of shapes") as caught:
        check_source(bench_of(**band))
    for cause in ("normalisation (mean (0.5", "class map", "other weights (none)"):
        assert cause in caught.value.hint


def test_without_a_band_nothing_is_measured():
    assert check_source(SimpleNamespace(**vars(bench_of()) | {"model": None})) is None


def test_places_are_the_same_each_time_and_nested():
    assert gate_places(100, 8) == gate_places(100, 64)[:8]
    assert sorted(gate_places(5, 64)) == [0, 1, 2, 3, 4]
