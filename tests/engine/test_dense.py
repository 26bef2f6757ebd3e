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
from hardy.methods.build import build_method
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


VIEWS = {"kind": "photometric", "count": 4}


@pytest.mark.parametrize("kind", ["view_ensemble", "memo"])
def test_what_mirrored_views_say_is_mirrored_back_on_the_way(kind):
    """By a network that knows no sides, mirrored views change no answer but by rounding."""
    answers = {}
    for flip in (True, False):
        setup = built(
            experiment("segment", method={"kind": kind, "views": {**VIEWS, "flip": flip}})
        )
        setup.model.network = Sideless(setup.model.network)
        subject = setup.subject(setup.pipeline("answer", [2])[0])
        assert any(subject.mirrored) is flip
        answers[flip] = build_method(setup.experiment.method, setup.models, setup.task).predict(
            subject
        )
    for name in ("source", "view_ensemble", "majority_vote"):
        found, expected = (each.answers[name] for each in answers.values())
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert answers[True].details["selected_views"] == answers[False].details["selected_views"]


class Sideless(torch.nn.Module):
    """A network whose answers for an image and its mirror image mirror each other."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images) + self.network(images.flip(-1)).flip(-1)


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


def test_a_vqvae_is_told_whether_its_outputs_are_an_image():
    sizes = {"name": "vqvae", "hidden": 8, "residual": 4, "layers": 1, "codes": 9, "code_dim": 2}
    model = {"kind": "segmenter", **sizes, "input": {"size": 32}}
    found = {k: built(experiment(k, model=model)).models[0].network.state_dict() for k in KINDS}
    assert "head.weight" in found["segment"].keys() - found["reconstruct"].keys()
    assert "decoder.up.1.weight" in found["reconstruct"].keys() - found["segment"].keys()


def test_answers_at_the_images_own_size_are_held_against_its_own_mask():
    """The pipeline brings the mask, another process the same records."""
    spec = experiment("segment", task={"kind": "segment", "resolution": "image"})
    setup = built(spec)
    found = [plain(row) for _, row in rows(setup, range(6), workers=0)]
    elsewhere = [plain(row) for _, row in rows(setup, range(6), workers=1)]
    assert found == elsewhere
    dataset = setup.data["answer"]
    for row, sample in zip(found, dataset.samples, strict=True):
        mask = np.asarray(dataset.read_mask(sample))
        assert mask.shape == (48, 48)
        assert row["pixels"] == np.bincount(mask.ravel(), minlength=7).tolist()
        assert sum(row["source.predicted"]) == 48 * 48
    frame = table(setup.task, found)
    told = dict(setup.task.report(frame, "source", None))["report/metrics.csv"]
    assert "each image's own size" in told
