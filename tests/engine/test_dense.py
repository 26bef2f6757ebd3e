"""Tasks whose answers are planes go the whole way: records, pictures, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hardy.core.errors import SpecError
from hardy.data.open import open_dataset
from hardy.engine.answer import rows, table
from hardy.engine.pictures import draw
from hardy.engine.setup import set_up
from hardy.engine.source_check import check_source
from hardy.measure.records import TIMING
from hardy.models.segmenters.encoder_decoder import UNet
from hardy.models.weights import Located
from hardy.spec.experiment import Experiment

KINDS = ("segment", "reconstruct")
NOISE = {"kind": "gaussian_noise", "severity": 3}


def experiment(kind, **changes):
    given = {
        "name": kind,
        "task": {"kind": kind},
        "data": {"dataset": "shapes", "split": "test", "shift": NOISE, "shapes": {"size": 48}},
        "model": {"kind": "segmenter", "width": 8, "input": {"size": 32}},
        "method": {"kind": "source"},
        "compute": {"device": "cpu"},
    }
    return Experiment.model_validate({**given, **changes})


def built(spec, located=None, count=6):
    dataset = open_dataset(spec.data)
    few = replace(dataset, samples=dataset.samples[:count])
    return set_up(spec, {"model.weights": located or Located(None, "random")}, {"answer": few})


def plain(row):
    return {key: value for key, value in row.items() if not key.startswith(TIMING)}


@pytest.fixture(scope="module")
def made():
    """Rows by task."""
    found = {}
    for kind in KINDS:
        setup = built(experiment(kind))
        found[kind] = {place: plain(row) for place, row in rows(setup, range(6), workers=0)}
    return found


def test_a_row_holds_counts_and_no_plane(made):
    row = made["segment"][0]
    assert sum(row["pixels"]) == sum(row["source.predicted"]) == 32 * 32
    sizes = [np.size(value) for rows in made.values() for value in rows[0].values()]
    assert max(sizes) <= 2 * 7**2  # pairs of classes that were confused, and their pixels


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_panels_without_grad_cam(kind, made):
    setup = built(experiment(kind))
    frame = table(setup.task, list(made[kind].values()))
    found = dict(draw(setup, frame))
    panels = [path for path in found if path.startswith("answers/")]
    assert len(panels) == setup.experiment.explain.gradcam.count
    assert all(found[path].width > 4 * 288 for path in panels)
    assert not [path for path in found if path.startswith("gradcam/")]


def test_the_majoritys_weights_reach_what_the_metric_says_of_it(tmp_path):
    network = UNet(7, 8)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([1.0, *[0.0] * 6]))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    weights = {"weights": f"file:{tmp_path / 'w.safetensors'}"}
    spec = experiment("segment", model={"kind": "segmenter", "width": 8, **weights})
    setup = built(spec, Located(tmp_path / "w.safetensors", "sha256:0"), count=12)
    frame = table(setup.task, [row for _, row in rows(setup, range(12), workers=0)])
    found = setup.task.metrics(frame, "source")
    assert found["miou"] == pytest.approx(found["majority_miou"])
    assert 0.1 < found["miou"] < 0.14  # most pixels are background, of seven classes


def test_the_check_of_the_source_is_of_the_headline():
    data = {**experiment("segment").data.model_dump(), "shapes": {"count": 8}}
    spec = experiment("segment", data={**data, "expect_source_accuracy": {"at_most": 0.5}})
    assert 0 <= check_source(built(spec)) <= 0.5


def test_a_dataset_without_the_truth_is_refused_with_the_task_that_it_has():
    dataset = open_dataset(experiment("segment").data)
    located = {"model.weights": Located(None, "random")}
    masks = replace(dataset, classes=())
    classifier = {"kind": "hardy", "classes": 6}
    spec = experiment("classify", model=classifier)
    with pytest.raises(SpecError, match="task classify needs a label a sample, and shapes") as told:
        set_up(spec, located, {"answer": masks})
    assert "set task: segment" in told.value.hint
    with pytest.raises(SpecError, match="task segment needs a mask a sample") as told:
        set_up(experiment("segment"), located, {"answer": replace(dataset, read_mask=None)})
    assert "set task: classify" in told.value.hint
