from dataclasses import replace

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from hardy.core.errors import DataError
from hardy.data.open import open_dataset
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.data.spec import DataSpec, SourceAccuracy
from hardy.engine.setup import Setup
from hardy.engine.source_check import check_source, drawn_places
from hardy.methods.build import build_method
from hardy.models.model import Model
from hardy.spec.experiment import Experiment
from hardy.tasks.build import task_on


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
        answers = [self.table[image.contiguous().sum().item()] for image in images]
        return nn.functional.one_hot(torch.tensor(answers), 6).float()


PREPROCESS = Preprocess(32, 32, "bilinear", (0.5,) * 3, (0.5,) * 3)


def setup_of(**expected):
    band = SourceAccuracy(**expected) if expected else None
    given = {"dataset": "shapes", "shapes": {"count": 60, "size": 32}}
    data = DataSpec.model_validate({**given, "expect_source_accuracy": band})
    dataset = open_dataset(data)
    experiment = Experiment.model_validate(
        {
            "name": "knows",
            "data": data.model_dump(),
            "model": {"kind": "hardy", "weights": "random", "classes": 6},
            "method": {"kind": "source"},
        }
    )
    model = Model(Knows(dataset), PREPROCESS)
    task = task_on(experiment.task, dataset)
    fabric = Fabric(accelerator="cpu", devices=1)
    method = build_method(experiment.method, [model], task)
    return Setup(experiment, {}, fabric, task, {"answer": dataset}, (model,), method)


def test_the_accuracy_is_that_of_the_samples_drawn():
    places = drawn_places(60, 20)
    expected = sum(place % 4 != 0 for place in places) / 20
    assert check_source(setup_of(samples=20)) == expected
    assert check_source(setup_of(at_least=0.75, at_most=0.75, samples=500)) == 0.75


@pytest.mark.parametrize("band", [{"at_least": 0.8}, {"at_most": 0.7}])
def test_outside_the_band_the_likely_causes_are_named(band):
    with pytest.raises(DataError, match=r"75\.0% on 60 samples of shapes") as caught:
        check_source(setup_of(**band))
    for cause in ("normalisation (mean (0.5", "class map", "other weights (random)"):
        assert cause in caught.value.hint


def test_without_a_band_nothing_is_measured():
    assert check_source(replace(setup_of(), models=())) is None


def test_places_are_the_same_each_time_and_nested():
    assert drawn_places(100, 8) == drawn_places(100, 64)[:8]
    assert sorted(drawn_places(5, 64)) == [0, 1, 2, 3, 4]
