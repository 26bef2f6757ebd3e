"""`on_bad_sample: skip`: whatever a broken sample is for, it is counted and named."""

import csv
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hardy.core.errors import DataError
from hardy.data.decode import decode
from hardy.data.item import BadSample
from hardy.data.pipeline import SamplePipeline
from hardy.data.preprocess import Preprocess
from hardy.engine.answer import answer
from hardy.engine.checkpoint import Checkpoint
from hardy.engine.fit import fit, fitted_folder
from hardy.engine.journal import Journal
from hardy.engine.left_out import LeftOut
from hardy.engine.progress import Reporter
from hardy.engine.setup import set_up
from hardy.engine.unit import _judge
from hardy.plan.units import make_plan
from hardy.registry.stores import default_stores
from hardy.spec import resolve
from tests.engine.runs import KeptRun, set_up_of
from tests.engine.test_processes import built, experiment

SPEC = """\
name: pair
data:
  dataset: folder
  root: photos
  on_bad_sample: skip
  partition: {fractions: {fit: 0.5, test: 0.5}, part: test}
model: {kind: hardy, weights: random, classes: 2}
method:
  kind: ensemble
  members: [{name: a, method: {kind: source}}]
  temperatures: {part: fit}
explain: {gradcam: {count: 9, choose: uncertain}, view_grids: 9}
compute: {workers: 0, device: cpu, processes: 1}
"""


def jpeg(seed: int) -> bytes:
    stream = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def truncate(sample) -> None:
    sample.path.write_bytes(sample.path.read_bytes()[:900])


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("cat", "dog")):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(6):
            (folder / f"{number}.jpg").write_bytes(jpeg(6 * place + number))
    file = tmp_path / "pair.yaml"
    file.write_text(SPEC)
    root = f"data.root={tmp_path / 'photos'}"
    return lambda *overrides: make_plan(
        resolve(str(file), (root, *overrides)), default_stores(), None
    ).units[0]


def learned(setup, run_id="run"):
    run = KeptRun(run_id)
    fit(setup, Checkpoint(run_id, "f" * 32), run, Reporter())
    return run


def answered(setup, run):
    with Journal(run.run_id, "f" * 32) as journal:
        frame = answer(setup, fitted_folder(run.run_id), journal, Reporter(), "pair")
    _judge(setup, frame, run, Reporter())
    return frame


def named(setup):
    return [(row["id"], row["role"]) for row in csv.DictReader(setup.left_out.csv().splitlines())]


def test_samples_to_fit_on_and_to_answer_are_named_in_the_run(planned):
    unit = planned()
    setup = set_up_of(unit)
    bad = {role: setup.data[role].samples[1] for role in ("fit", "answer")}
    for sample in bad.values():
        truncate(sample)
    run = learned(setup)
    frame = answered(setup, run)
    wanted = [(bad["fit"].id, "fit"), (bad["answer"].id, "answer")]
    assert named(setup) == wanted
    assert run.values["skipped"] == 2
    assert run.values["samples"] == len(frame) == 5
    assert bad["answer"].id not in set(frame["sample"])
    assert run.files["data/skipped.csv"] == setup.left_out.csv()
    assert "truncated" in run.files["data/skipped.csv"]
    line = setup.left_out.line()
    assert line.startswith("2 broken samples left out (1 to fit, 1 to answer): ")
    assert all(id_ in line for id_, _ in wanted)
    # Pictures are of samples that can be read: those that are left.
    assert len([path for path in run.files if path.startswith("gradcam/")]) == 5

    again = set_up_of(unit)  # whoever finds the members' opinions knows who has none
    learned(again, "another")
    assert named(again) == wanted[:1]
    resumed = set_up_of(unit)  # temperatures are there, answers are not
    learned(resumed, "another")
    assert named(resumed) == wanted[:1]


def test_the_line_names_the_first_of_many():
    left_out = LeftOut()
    for n in range(7):
        left_out.add("answer", BadSample(n, f"cat/{n}.jpg", "torn"))
    assert left_out.line() == (
        "7 broken samples left out (7 to answer): cat/0.jpg, cat/1.jpg, cat/2.jpg, cat/3.jpg, "
        "cat/4.jpg and 2 more; data/skipped.csv of the run says why"
    )


def test_what_was_made_without_some_is_not_taken_where_none_may_be_skipped(planned):
    unit = planned()
    setup = set_up_of(unit)
    truncate(setup.data["fit"].samples[0])
    learned(setup)
    strict = unit.unit.experiment.data.model_copy(update={"on_bad_sample": "error"})
    experiment = unit.unit.experiment.model_copy(update={"data": strict})
    with pytest.raises(DataError, match="truncated") as caught:
        learned(set_up(experiment, unit.located, setup.data), "another")
    assert "data.on_bad_sample" in caught.value.hint


@pytest.mark.parametrize("role", ["fit", "answer"])
def test_where_all_are_broken_there_is_nothing_to_go_on_with(planned, role):
    setup = set_up_of(planned())
    for sample in setup.data[role].samples:
        truncate(sample)
    with pytest.raises(DataError, match="no sample is left: 6 are broken, the first: "):
        answered(setup, learned(setup))


def test_samples_that_were_all_unreadable_are_read_again_once_they_are_back(planned):
    """A disk that was away for a moment: the same run goes on, and finds them."""
    unit = planned()
    setup = set_up_of(unit)
    run = learned(setup)
    files = [sample.path for sample in setup.data["answer"].samples]
    kept = [file.read_bytes() for file in files]
    for sample in setup.data["answer"].samples:
        truncate(sample)
    with pytest.raises(DataError, match="no sample is left"):
        answered(setup, run)
    for file, content in zip(files, kept, strict=True):
        file.write_bytes(content)
    again = set_up_of(unit)
    assert len(answered(again, learned(again))) == 6


def broken_at(dataset, place):
    """Return a dataset of which one sample's file is torn."""
    wanted, read = dataset.samples[place].id, dataset.read

    def read_or_fail(sample):
        return decode(jpeg(0)[:900], name=sample.id) if sample.id == wanted else read(sample)

    return replace(dataset, read=read_or_fail)


def test_samples_of_a_training_and_of_its_validation_are_named():
    spec = experiment("contrastive")
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"on_bad_sample": "skip"})})
    setup = built(spec)
    data = {
        "fit": broken_at(setup.data["fit"], 3),
        "validate": broken_at(setup.data["validate"], 2),
    }
    setup = set_up(spec, setup.located, {**setup.data, **data})
    learned(setup)
    wanted = [(data["fit"].samples[3].id, "fit"), (data["validate"].samples[2].id, "validate")]
    assert named(setup) == wanted
    alone = replace(data["fit"], samples=data["fit"].samples[3:4])
    with pytest.raises(DataError, match="no sample is left: 1 are broken"):
        learned(set_up(spec, setup.located, {**setup.data, "fit": alone}), "another")


def test_a_mask_that_cannot_be_read_is_a_broken_sample(tmp_path):
    from hardy.data.masks import open_masks

    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.jpg").write_bytes(jpeg(1))
        Image.fromarray(np.eye(48, dtype=np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "labels.txt").write_text("ground\nline\n")
    mask = tmp_path / "masks" / "b.png"
    dataset = open_masks("folder", tmp_path, tmp_path)
    mask.write_bytes(mask.read_bytes()[:60])
    geometry = Preprocess(
        size=32, resize=32, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    good, bad = SamplePipeline(dataset, geometry, target="mask")
    assert good.targets.mask.shape == (1, 32, 32)
    assert isinstance(bad, BadSample)
    assert "b.png" in bad.reason
